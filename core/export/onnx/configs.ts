/**
 * What runtimes want to know beside an ONNX decoder: `transformers.js_config` in `config.json`, and
 * `genai_config.json` for onnxruntime-genai.
 * @module
 */
import { basename, join } from "@std/path";
import { ExportError } from "../../errors.ts";
import { decimalFields, stringifyWithDecimals } from "../../model/config/decimals.ts";
import type { Model } from "../../model/types.ts";

/** A decoder that was written. */
export interface WrittenDecoder {
  /** Its path in the folder. */
  readonly file: string;
  /** How many files of weights lie beside it. */
  readonly dataFiles: number;
}

type Json = Record<string, unknown>;

/**
 * Adds a decoder to the configs of a folder. Several decoders share the folder: transformers.js chooses by `dtype`,
 * onnxruntime-genai takes the one that was written first.
 *
 * @param model The model
 * @param directory The folder; its `config.json` is there already
 * @param decoder The decoder
 * @throws {ExportError} if the disk refuses
 */
export async function writeRuntimeConfigs(
  model: Model,
  directory: string,
  decoder: WrittenDecoder,
): Promise<void> {
  const configPath = join(directory, "config.json");
  const genaiPath = join(directory, "genai_config.json");
  try {
    const source = await Deno.readTextFile(configPath);
    const config = withDecoder(JSON.parse(source) as Json, decoder);
    const text = stringifyWithDecimals(config, decimalFields(source));
    await Deno.writeTextFile(configPath, `${text}\n`);
    const known = await Deno.stat(genaiPath).then(() => true, () => false);
    if (!known) await writeJson(genaiPath, await genaiConfig(model, decoder.file));
  } catch (error) {
    const reason = (error as Error).message;
    throw new ExportError(`Cannot write the configs of '${directory}': ${reason}`, {
      cause: error,
    });
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.writeTextFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

function withDecoder(config: Json, { file, dataFiles }: WrittenDecoder): Json {
  const before = (config["transformers.js_config"] ?? {}) as Json;
  const external = (before.use_external_data_format ?? {}) as Json;
  return {
    ...config,
    "transformers.js_config": {
      ...before,
      // The first decoder is what a pipeline loads that asks for no dtype.
      dtype: before.dtype ?? dtypeOf(file),
      use_external_data_format: {
        ...external,
        ...(dataFiles === 0 ? {} : { [basename(file)]: dataFiles }),
      },
    },
  };
}

function dtypeOf(file: string): string {
  const suffix = /model(.*)\.onnx$/.exec(file)?.[1];
  return { _fp16: "fp16", _quantized: "q8", _q4: "q4" }[suffix ?? ""] ?? "fp32";
}

async function genaiConfig(model: Model, file: string): Promise<Json> {
  const { architecture, config } = model;
  const { layers } = architecture;
  const generation = await generationConfig(model);
  const token = (name: string) => generation[name] ?? config[name] ?? undefined;
  const end = token("eos_token_id") ?? 0;
  const first = Array.isArray(end) ? end[0] : end;
  return {
    model: {
      type: architecture.family,
      vocab_size: architecture.vocabularySize,
      context_length: architecture.maxPositions,
      bos_token_id: token("bos_token_id") ?? first,
      eos_token_id: end,
      pad_token_id: token("pad_token_id") ?? first,
      decoder: {
        session_options: { log_id: "onnxruntime-genai", provider_options: [] },
        filename: file,
        head_size: architecture.headSize,
        hidden_size: architecture.hiddenSize,
        num_attention_heads: layers[0].queryHeads,
        // The caches of layers that differ take their sizes from the graph's inputs.
        num_key_value_heads: layers[0].keyValueHeads,
        num_hidden_layers: layers.length,
        inputs: {
          input_ids: "input_ids",
          attention_mask: "attention_mask",
          position_ids: "position_ids",
          past_key_names: "past_key_values.%d.key",
          past_value_names: "past_key_values.%d.value",
        },
        outputs: {
          logits: "logits",
          present_key_names: "present.%d.key",
          present_value_names: "present.%d.value",
        },
      },
    },
    search: {
      max_length: architecture.maxPositions,
      do_sample: false,
      temperature: 1,
      top_k: 1,
      top_p: 1,
      past_present_share_buffer: false,
    },
  };
}

async function generationConfig({ folder }: Model): Promise<Json> {
  const text = await Deno.readTextFile(join(folder, "generation_config.json")).catch(() => "{}");
  return JSON.parse(text) as Json;
}
