/**
 * Under which conditions numbers were measured: machine, commit, command, model and texts.
 * @module
 */
import type { Model } from "../../core/model/types.ts";
import type { EvaluationText } from "../../core/evaluate/perplexity.ts";
import type { Domain } from "../../core/text/domains.ts";
import { markdownTable } from "./markdown.ts";

/** The first digits of a hash, enough to tell texts and models apart. */
export function shortHash(hash: string): string {
  return hash.slice(0, 16);
}

/**
 * Where and when numbers were measured.
 *
 * @param code The hash of the code in core/
 * @param command How the bench was called
 * @returns Sentences
 */
export async function runConditions(code: string, command: string): Promise<string> {
  const changed = (await git("status", "--porcelain", "core", "bench")) !== "";
  const commit = (await git("rev-parse", "--short=12", "HEAD")) || "unknown";
  const date = new Date().toISOString().slice(0, 10);
  return [
    `Measured on ${date} at commit ${commit}${changed ? " with changes on top" : ""} (code ${
      shortHash(code)
    }), Deno ${Deno.version.deno} on ${Deno.build.os} ${Deno.build.arch}, ${navigator.hardwareConcurrency} × ${processor()}, with`,
    "",
    "```sh",
    command,
    "```",
  ].join("\n");
}

/**
 * The model and the texts, with hashes.
 *
 * @param model The model
 * @param calibration Calibration texts
 * @param evaluation Evaluation texts as windows
 * @param samples Windows per calibration text
 * @returns Markdown
 */
export function textConditions(
  model: Model,
  calibration: readonly Domain[],
  evaluation: readonly EvaluationText[],
  samples: number,
): string {
  const seqLen = evaluation[0].windows[0].length;
  const rows = [
    ...calibration.map(({ name, sha256 }) => [
      name,
      "calibration",
      shortHash(sha256),
      `${samples}, seeded`,
      String(samples * seqLen),
    ]),
    ...evaluation.map(({ name, sha256, windows }) => [
      name,
      "held out",
      shortHash(sha256),
      `first ${windows.length}`,
      String(windows.length * (seqLen - 1)),
    ]),
  ];
  return [
    `Model ${model.name}: ${model.architecture.family}, ${model.architecture.layers.length} layers, ${model.parameters} parameters, SHA-256 ${
      shortHash(model.fingerprint)
    }…; windows of ${seqLen} tokens.\n`,
    markdownTable({
      left: ["text", "split", "SHA-256 begins", "windows"],
      right: ["tokens"],
      rows,
    }),
  ].join("\n");
}

async function git(...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command("git", { args: [...args], stderr: "null" }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "";
  }
}

function processor(): string {
  try {
    const info = Deno.readTextFileSync("/proc/cpuinfo");
    return /^model name\s*:\s*(.+)$/m.exec(info)?.[1] ?? "processor";
  } catch {
    return "processor";
  }
}
