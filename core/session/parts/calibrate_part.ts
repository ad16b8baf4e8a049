/**
 * One part of a calibration that several machines share: the sums over some of its units.
 * @module
 */
import { collectUnits } from "../../calibrate/collect.ts";
import type { DomainWindows } from "../../calibrate/types.ts";
import {
  type Shard,
  type SumUnit,
  sumUnits,
  unitsOf,
  type UnitSums,
} from "../../calibrate/units.ts";
import type { Engine } from "../../engine/types.ts";
import { OptionError } from "../../errors.ts";
import type { TensorEntry } from "../../model/safetensors.ts";
import { readTensorBytes } from "../../model/tensor_reader.ts";
import type { Model } from "../../model/types.ts";
import { selfDomain } from "../../plan/weights.ts";
import { calibrationDomains } from "../../text/texts.ts";
import type { Domain } from "../../text/domains.ts";
import {
  type CalibrationSettings,
  prepareCalibration,
  type PreparedCalibration,
} from "../calibrate.ts";
import { domainWindows, selfWindows } from "../calibration_windows.ts";
import { Journal } from "../resume/journal.ts";
import { calibrationTask, requireNewFile } from "../jobs.ts";
import { KeptCalibration } from "../resume/kept_calibration.ts";
import { type PartWords, savePart, unitEntries } from "./part_store.ts";
import { withModel } from "../setup.ts";
import type { CalibrateOptions } from "../types.ts";

/** Options of {@linkcode calibratePartJob}. */
export interface CalibratePartOptions extends CalibrateOptions {
  /** Which part. */
  readonly shard: Shard;
}

/**
 * Takes the sums of one part of a calibration and writes them to a file. Parts are put together by `mergeJob`.
 *
 * @param options Which model, on which texts, which part, where to; the same for all parts but for part and file
 * @returns What the file says
 * @throws {OptionError} if there are fewer units than parts, or a setting makes no sense
 * @throws {GpruneError} if anything cannot be done
 */
export async function calibratePartJob(options: CalibratePartOptions): Promise<PartWords> {
  checkShard(options.shard);
  await requireNewFile(options.save, options.force);
  return await withModel(options, async (engine, model) => {
    const domains = await calibrationDomains(options.calibration);
    const settings: CalibrationSettings = {
      ...options,
      request: { ...options, shape: options.shape ?? "adaptive" },
      gram: true,
    };
    const prepared = await prepareCalibration(engine, model, domains, settings);
    const journal = await Journal.open(`${options.save}.unfinished`, {
      resume: options.resume,
      conditions: [
        ...prepared.conditions,
        { name: "--shard", value: `${options.shard.index}/${options.shard.count}` },
      ],
      onNote: (message) => options.onEvent?.({ type: "note", message }),
    });
    const run = { engine, model, prepared, domains, journal, shard: options.shard };
    const { words, windows, entries } = await collectPart(run, options);
    const path = await journal.writeFile("part", "safetensors", async (path) => {
      await savePart(path, words, windows, entries);
    });
    await Deno.rename(path!, options.save);
    await journal.close();
    return words;
  }, (model) => calibrationTask(model, { ...options, shape: options.shape ?? "adaptive" }));
}

function checkShard({ index, count }: Shard): void {
  const whole = Number.isSafeInteger(index) && Number.isSafeInteger(count);
  if (whole && index >= 1 && index <= count) return;
  throw new OptionError(
    `Cannot calibrate part ${index} of ${count}: parts count from 1, as in --shard 1/4 to --shard 4/4`,
  );
}

interface PartRun {
  readonly engine: Engine;
  readonly model: Model;
  readonly prepared: PreparedCalibration;
  readonly domains: readonly Domain[];
  readonly journal: Journal;
  readonly shard: Shard;
}

interface PartContents {
  readonly words: PartWords;
  readonly windows: readonly (readonly Int32Array[])[];
  readonly entries: readonly TensorEntry[];
}

async function collectPart(run: PartRun, options: CalibratePartOptions): Promise<PartContents> {
  const { engine, model, prepared, journal, shard } = run;
  const { signal, onProgress } = options;
  const depth = model.architecture.layers.length;
  const kept = new KeptCalibration(journal, depth);
  const windows = await partWindows(run, kept, options);
  const units = sumUnits(windows);
  requireUnits(units, shard);
  const own = unitsOf(units, shard);
  const stepOf = (layer: number) => `sums of layer ${layer}`;
  const finished = new Set<number>();
  for (let layer = 0; layer < depth; layer++) {
    if (await journal.readTensors(stepOf(layer)) !== undefined) finished.add(layer);
  }
  if (finished.size < depth) {
    await collectUnits(engine, model, own, {
      gram: prepared.gram,
      signal,
      onProgress,
      openLayer: (layer) => {
        if (finished.has(layer)) return undefined;
        const found: [SumUnit, UnitSums][] = [];
        return {
          add: (unit, sums) => void found.push([unit, sums]),
          finish: () =>
            journal.writeTensors(
              stepOf(layer),
              null,
              found.flatMap(([unit, sums]) => unitEntries(layer, unit.index, sums)),
            ),
        };
      },
    });
  }
  const entries: TensorEntry[] = [];
  for (let layer = 0; layer < depth; layer++) {
    const { tensors } = (await journal.readTensors(stepOf(layer)))!;
    for (const tensor of tensors.values()) {
      const { name, dataType, shape } = tensor;
      entries.push({ name, dataType, shape, bytes: () => readTensorBytes(tensor) });
    }
  }
  const words = partWords(run, units, own);
  return { words, windows: own.map((unit) => unit.windows), entries };
}

function partWords(
  { model, prepared, domains, shard }: PartRun,
  units: readonly SumUnit[],
  own: readonly SumUnit[],
): PartWords {
  const { request, seed, samples, seqLen, gram, learn, conditions } = prepared;
  const { source, fingerprint, architecture: { layers, headSize } } = model;
  return {
    schema: "gprune.statistics-part/1",
    shard,
    model: { source, fingerprint, layers, headSize },
    conditions,
    request,
    seed,
    samples,
    seqLen,
    gram,
    learn,
    texts: domains.map(({ name, sha256 }) => ({ name, sha256 })),
    units: units.map(({ domain, heldOut, first, windows }) => ({
      domain,
      heldOut,
      first,
      count: windows.length,
    })),
    own: own.map(({ index }) => index),
  };
}

function requireUnits(units: readonly SumUnit[], { count }: Shard): void {
  if (count <= units.length) return;
  throw new OptionError(
    `Cannot share this calibration among ${count} parts: its windows make ${units.length} units; give --shard I/${units.length} or less, or more --samples`,
  );
}

/**
 * The windows of all domains. Of the model's own text, only what the part sums is sampled, in the groups that a whole
 * run samples it in; the rest is blank. Where that text is split into domains by what it says, all of it is needed.
 */
async function partWindows(
  { engine, model, prepared, shard }: PartRun,
  kept: KeptCalibration,
  { signal, onProgress }: CalibratePartOptions,
): Promise<readonly DomainWindows[]> {
  const { seqLen } = prepared;
  const blank = (count: number) => Array.from({ length: count }, () => new Int32Array(seqLen));
  const isWanted = prepared.given.length === 0 ? () => true : wantedGroups(
    prepared,
    shard,
    await selfWindows(engine, model, prepared, {
      known: (_, count) => Promise.resolve(blank(count)),
    }),
  );
  const self = await selfWindows(engine, model, prepared, {
    signal,
    onProgress,
    known: async (first, count) =>
      isWanted(first, count) ? await kept.readGroup(first, count, seqLen) : blank(count),
    onGroup: (first, windows) => kept.writeGroup(first, windows),
  });
  return domainWindows(prepared, self);
}

/** Which groups of the model's own text a part sums, found with a blank text of the same size. */
function wantedGroups(
  prepared: PreparedCalibration,
  shard: Shard,
  blankText: readonly Int32Array[],
): (first: number, count: number) => boolean {
  const windows = domainWindows(prepared, blankText);
  const units = sumUnits(windows);
  requireUnits(units, shard);
  const summed = windows.find(({ name }) => name === selfDomain)?.calibration.length ?? 0;
  const ranges = unitsOf(units, shard).filter(({ domain }) => domain === selfDomain)
    .map(({ heldOut, first, windows }) => {
      const start = heldOut ? summed + first : first;
      return [start, start + windows.length] as const;
    });
  return (first, count) => ranges.some(([start, end]) => start < first + count && end > first);
}
