/**
 * All readers that are fuzzed, by name.
 * @module
 */
import type { FuzzedReader } from "../reader.ts";
import { config } from "./config.ts";
import { gguf, ggufTokenizer } from "./gguf.ts";
import { hubListing, hubRecord } from "./hub.ts";
import { index } from "./index.ts";
import { taskLines, textLines } from "./json_lines.ts";
import { journal } from "./journal.ts";
import { model } from "./model.ts";
import type { ReaderName } from "./names.ts";
import { onnx } from "./onnx.ts";
import { part } from "./part.ts";
import { plan } from "./plan.ts";
import { safetensors } from "./safetensors.ts";
import { sessions } from "./sessions.ts";
import { statistics } from "./statistics.ts";
import { tokenizer } from "./tokenizer.ts";

/** The readers. */
export const readers: Readonly<Record<ReaderName, FuzzedReader>> = {
  safetensors,
  index,
  config,
  tokenizer,
  statistics,
  part,
  journal,
  plan,
  "text-jsonl": textLines,
  "task-jsonl": taskLines,
  sessions,
  "hub-listing": hubListing,
  "hub-record": hubRecord,
  model,
  gguf,
  "gguf-tokenizer": ggufTokenizer,
  onnx,
};
