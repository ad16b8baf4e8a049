/**
 * Texts to windows: what a job calibrates and evaluates on, from files or from the embedded generator.
 * @module
 */
import { type Domain, domainOf, openDomains } from "./domains.ts";
import {
  embeddedCalibrationKinds,
  type EmbeddedKind,
  embeddedKinds,
  generateEmbeddedText,
} from "./embedded/mod.ts";
import { cutWindowsOf } from "./windows.ts";
import { OptionError } from "../errors.ts";
import type { Model } from "../model/types.ts";

/** Characters of each embedded text: enough for 128 windows of 256 tokens and those kept back. */
const embeddedCharacters = { calibration: 200_000, "held-out": 60_000 } as const;

/**
 * Opens the texts to calibrate on.
 *
 * @param paths Named paths; the embedded texts if absent
 * @returns The domains, sorted by name, so that the order in which they were given plays no part
 * @throws {TextError} if a text cannot be used
 */
export async function calibrationDomains(
  paths?: readonly { readonly name: string; readonly path: string }[],
): Promise<readonly Domain[]> {
  const domains = paths === undefined
    ? embeddedDomains("calibration", embeddedCalibrationKinds)
    : await openDomains(paths);
  return domains.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/**
 * Opens the texts to evaluate on.
 *
 * @param paths Named paths; the embedded held-out texts if absent
 * @returns The domains, in the order given
 * @throws {TextError} if a text cannot be used
 */
export async function evaluationDomains(
  paths?: readonly { readonly name: string; readonly path: string }[],
): Promise<readonly Domain[]> {
  return paths === undefined
    ? embeddedDomains("held-out", embeddedKinds)
    : await openDomains(paths);
}

/**
 * Makes the embedded texts: no file is needed.
 *
 * @param part Which stream of passages; the parts share none
 * @param kinds Which kinds of text
 * @returns One domain per kind
 */
export function embeddedDomains(
  part: "calibration" | "held-out",
  kinds: readonly EmbeddedKind[],
): readonly Domain[] {
  return kinds.map((kind) =>
    domainOf(kind, generateEmbeddedText(kind, part, embeddedCharacters[part], 0))
  );
}

/**
 * The window length to use.
 *
 * @param model The model
 * @param asked What the user asked for, if anything
 * @returns Tokens per window: what was asked, or min(2048, the model's own limit)
 * @throws {OptionError} if it is no whole number from 2 up, or longer than the model's limit
 */
export function windowLength(model: Model, asked?: number): number {
  const limit = model.architecture.maxPositions;
  const seqLen = asked ?? Math.min(2048, limit);
  if (!Number.isInteger(seqLen) || seqLen < 2) {
    throw new OptionError(`Cannot use windows of ${seqLen} tokens: give --seq-len 2 or more`);
  }
  if (seqLen > limit) {
    throw new OptionError(
      `Cannot use windows of ${seqLen} tokens: '${model.name}' was made for at most ${limit}; give a smaller --seq-len`,
    );
  }
  return seqLen;
}

/**
 * Cuts a domain's whole text into consecutive windows.
 *
 * @param model The model whose tokenizer is used
 * @param domain The text
 * @param seqLen Tokens per window
 * @returns At least one window
 * @throws {TextError} if the text is shorter than a window
 */
export async function windowsOf(
  model: Model,
  domain: Domain,
  seqLen: number,
): Promise<readonly Int32Array[]> {
  const tokenizer = await model.tokenizer();
  return cutWindowsOf(domain.name, tokenizer.encode(domain.text), seqLen);
}
