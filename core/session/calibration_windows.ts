/**
 * The windows of a calibration: those of its texts, and those of the model's own.
 * @module
 */
import { clusterWindows, type SampleOptions, sampleSelf } from "../calibrate/self.ts";
import type { DomainRecord, DomainWindows } from "../calibrate/types.ts";
import type { Engine } from "../engine/types.ts";
import type { Model } from "../model/types.ts";
import { scoreDomains } from "../plan/order.ts";
import type { PlanRequest } from "../plan/types.ts";
import { selfDomain } from "../plan/weights.ts";
import type { Domain } from "../text/domains.ts";
import { windowsOf } from "../text/texts.ts";
import { hashWindows, heldOutCount, sampleWindows } from "../text/windows.ts";

/** Groups that `self` is split into where it is the only domain. */
const selfGroups = 4;

/**
 * The windows of all domains, those of the model's own text among them.
 *
 * @param prepared The calibration
 * @param self The model's own text
 * @returns Windows by domain, sorted by name
 * @throws {OptionError} if a domain that is to give the scores is not there
 */
export function domainWindows(
  { given, seed, request }: {
    readonly given: readonly DomainWindows[];
    readonly seed: number;
    readonly request: PlanRequest;
  },
  self: readonly Int32Array[],
): readonly DomainWindows[] {
  const windows = withSelf(given, self, seed).toSorted((a, b) => a.name < b.name ? -1 : 1);
  scoreDomains(windows.map(({ name }) => name), request);
  return windows;
}

/**
 * The windows of texts.
 *
 * @param model The model, whose tokenizer cuts
 * @param domains The texts
 * @param samples Windows of each, at most
 * @param seqLen Tokens in each
 * @param seed Seed of sampling
 * @returns Windows by domain
 * @throws {TextError} if a text is too short
 */
export async function givenWindows(
  model: Model,
  domains: readonly Domain[],
  samples: number,
  seqLen: number,
  seed: number,
): Promise<readonly DomainWindows[]> {
  const result: DomainWindows[] = [];
  for (const domain of domains) {
    const all = await windowsOf(model, domain, seqLen);
    result.push({ name: domain.name, ...sampleWindows(domain.name, all, samples, seed) });
  }
  return result;
}

/**
 * The model's own text.
 *
 * @param engine What runs the model
 * @param model The model
 * @param prepared The calibration
 * @param options Progress and cancelling; sequences that are known
 * @returns Windows; none where the text is left out
 */
export async function selfWindows(
  engine: Engine,
  model: Model,
  { samples, seqLen, seed, self }: {
    readonly samples: number;
    readonly seqLen: number;
    readonly seed: number;
    readonly self: boolean;
  },
  options: Pick<SampleOptions, "known" | "onGroup" | "signal" | "onProgress">,
): Promise<readonly Int32Array[]> {
  if (!self) return [];
  // Self-text is free and covers the most: where texts are sampled thinly, it is sampled more.
  const summed = Math.max(samples, Math.min(128, 4 * samples));
  const windows = summed + heldOutCount(summed);
  const { known, onGroup, signal, onProgress } = options;
  const sampling = { windows, seqLen, seed, known, onGroup, signal, onProgress };
  return await sampleSelf(engine, model, sampling);
}

/** `self` is one more domain, or several where it is alone. */
function withSelf(
  given: readonly DomainWindows[],
  self: readonly Int32Array[],
  seed: number,
): readonly DomainWindows[] {
  if (self.length === 0) return given;
  const groups = given.length === 0 ? clusterWindows(self, selfGroups, seed) : [self];
  return [
    ...given,
    ...groups.map((windows, index) => {
      const heldOut = Math.min(heldOutCount(windows.length), Math.floor(windows.length / 2));
      const summed = windows.length - heldOut;
      return {
        name: given.length === 0 ? `${selfDomain}-${index + 1}` : selfDomain,
        calibration: windows.slice(0, summed),
        heldOut: windows.slice(summed),
      };
    }),
  ];
}

/**
 * Says which texts gave fewer windows than were asked for.
 *
 * @param windows Windows by domain
 * @param samples Windows asked for
 * @param onNote Told, one sentence each
 */
export function noteShortTexts(
  windows: readonly DomainWindows[],
  samples: number,
  onNote?: (message: string) => void,
): void {
  for (const { name, calibration, heldOut } of windows) {
    if (name.startsWith(selfDomain)) continue;
    if (calibration.length < samples) {
      onNote?.(
        `Text '${name}' gives ${calibration.length} of ${samples} windows, and ${heldOut.length} to learn on; more text would calibrate better`,
      );
    }
  }
}

/**
 * What statistics say of a domain.
 *
 * @param domain Its windows
 * @param texts Hashes of the texts
 * @param seqLen Tokens in each window
 * @returns The record
 */
export function recordOf(
  domain: DomainWindows,
  texts: readonly { readonly name: string; readonly sha256: string }[],
  seqLen: number,
): DomainRecord {
  const text = texts.find(({ name }) => name === domain.name);
  return {
    name: domain.name,
    tokens: domain.calibration.length * seqLen,
    windows: domain.calibration.length,
    heldOutWindows: domain.heldOut.length,
    seqLen,
    sha256: text?.sha256 ?? hashWindows([...domain.calibration, ...domain.heldOut]),
  };
}
