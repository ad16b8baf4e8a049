/**
 * Putting the parts of a calibration together. The units of all parts are added in the order in which one run would
 * have added them, so that the statistics are those of one run, byte for byte, in whatever order the parts are given.
 * @module
 */
import { LayerSums } from "../../calibrate/layer_sums.ts";
import type { DomainWindows, LayerStatistics, Statistics } from "../../calibrate/types.ts";
import type { SumUnit } from "../../calibrate/units.ts";
import { OptionError, StatisticsError } from "../../errors.ts";
import { memoryOf } from "../../engine/memory.ts";
import { multiplier } from "../../engine/multiply.ts";
import type { Multiply } from "../../linear/product.ts";
import { blockTensors } from "../../model/open.ts";
import type { Model } from "../../model/types.ts";
import { breathe, type WorkOptions } from "../../progress.ts";
import { blankStatistics, scored, statisticsOf, withLearned } from "../calibrate.ts";
import { differences } from "../resume/conditions.ts";
import { Journal } from "../resume/journal.ts";
import { placeStatistics, requireNewFile } from "../jobs.ts";
import { KeptCalibration } from "../resume/kept_calibration.ts";
import { loadPart, type PartWords, type StatisticsPart } from "./part_store.ts";
import { memoryTask } from "../memory/memory_tasks.ts";
import { withModel } from "../setup.ts";
import type { JobOptions } from "../types.ts";

/** Options of {@linkcode mergeJob}. */
export interface MergeOptions extends JobOptions {
  /** Files of parts, in any order. */
  readonly parts: readonly string[];
  /** The model; where the parts say it is, if absent. */
  readonly model?: string;
  /** The file to write statistics to. */
  readonly save: string;
  /** Replace it if it exists. Default false. */
  readonly force?: boolean;
  /** Go on from what an interrupted run left. Default false. */
  readonly resume?: boolean;
}

/**
 * Adds the parts of a calibration, and works out what needs the whole sum: the order in which units can go and, if it
 * was asked for, what their loss costs.
 *
 * @param options The parts, where to
 * @returns The statistics of the whole
 * @throws {OptionError} if a part is missing or given twice
 * @throws {StatisticsError} if a file is no part, or parts are of another model, other options or other texts
 * @throws {GpruneError} if anything else cannot be done
 */
export async function mergeJob(options: MergeOptions): Promise<Statistics> {
  const parts = await loadParts(options.parts);
  const [{ words }] = parts;
  await requireNewFile(options.save, options.force);
  return await withModel({ ...options, model: options.model ?? words.model.source }, async (
    engine,
    model,
  ) => {
    if (model.fingerprint !== words.model.fingerprint) {
      throw new StatisticsError(
        `Cannot merge parts of the model '${words.model.source}' with '${model.source}': it is another model, or has changed since`,
      );
    }
    const workFolder = `${options.save}.unfinished`;
    const journal = await Journal.open(workFolder, {
      resume: options.resume,
      conditions: [
        ...words.conditions,
        { name: "the engine that learns", value: `${engine.name} on ${engine.device}` },
      ],
      onNote: (message) => options.onEvent?.({ type: "note", message }),
    });
    const kept = new KeptCalibration(
      journal,
      model.architecture.layers.length,
      memoryOf(engine).limits.gramBytes,
    );
    const { request, seqLen, seed, texts, learn } = words;
    const units = await wholeUnits(parts);
    const windows = windowsOf(units);
    // The path that the model had for the parts: the whole says what it would say without them.
    const own = { ...model, source: words.model.source };
    const whole = { model: own, request, seqLen, seed, windows, texts };
    if (words.gram) {
      await kept.layOut(blankStatistics(whole));
    }
    const adding = { ...options, multiply: multiplier(engine) };
    const layers = await kept.during(() => addLayers(model, parts, units, windows, kept, adding));
    const sums = statisticsOf({ ...whole, layers });
    const run = { engine, model, statistics: sums, request, kept };
    const statistics = learn ? await withLearned(run, options) : sums;
    await placeStatistics(statistics, options.save, workFolder);
    return statistics;
  }, (model) =>
    memoryTask(model, {
      seqLen: words.seqLen,
      requests: [words.request],
      calibration: {
        samples: words.samples,
        texts: words.texts.length,
        self: words.conditions.some(({ name, value }) =>
          name.includes("--no-self") && value === "in"
        ),
        gram: words.gram,
        learn: words.learn,
      },
      applies: false,
      evaluates: false,
    }));
}

async function loadParts(paths: readonly string[]): Promise<readonly StatisticsPart[]> {
  const parts: StatisticsPart[] = [];
  for (const path of paths) parts.push(await loadPart(path));
  const [first] = parts;
  if (first === undefined) {
    throw new OptionError("Cannot merge nothing: give the files of all parts");
  }
  for (const part of parts) requireAlike(first, part);
  const { count } = first.words.shard;
  const byIndex = new Map<number, StatisticsPart>();
  for (const part of parts) {
    const { index } = part.words.shard;
    const other = byIndex.get(index);
    if (other !== undefined) {
      throw new OptionError(
        `Cannot merge part ${index} of ${count} twice: '${other.path}' and '${part.path}' are both it; leave one out`,
      );
    }
    byIndex.set(index, part);
  }
  const missing = Array.from({ length: count }, (_, at) => at + 1).filter((at) => !byIndex.has(at));
  if (missing.length > 0) {
    throw new OptionError(
      `Cannot merge ${parts.length} of ${count} parts: part ${
        missing.join(", ")
      } of ${count} is missing; run 'gprune calibrate --shard ${
        missing[0]
      }/${count}' and give its file too`,
    );
  }
  const ordered = parts.toSorted((a, b) => a.words.shard.index - b.words.shard.index);
  requireCovering(ordered);
  return ordered;
}

function requireAlike(first: StatisticsPart, part: StatisticsPart): void {
  const count = ({ shard }: PartWords) => ({
    name: "the number of parts",
    value: `${shard.count}`,
  });
  const differing = differences(
    [count(first.words), ...first.words.conditions],
    [count(part.words), ...part.words.conditions],
  );
  if (differing.length > 0) {
    throw new StatisticsError(
      `Cannot merge '${first.path}' and '${part.path}': ${
        differing.map(({ name, before, after }) =>
          `${name} is ${before} in the first and ${after} in the second`
        )
          .join("; ")
      }; calibrate all parts with the same options`,
    );
  }
  const plain = ({ units, request, seed, samples, seqLen, gram, learn, texts }: PartWords) =>
    JSON.stringify([units, request, seed, samples, seqLen, gram, learn, texts]);
  if (plain(first.words) !== plain(part.words)) {
    throw new StatisticsError(
      `Cannot merge '${first.path}' and '${part.path}': they share a calibration out in different ways; calibrate all parts with one version of gprune`,
    );
  }
}

/** Every unit must be in exactly one part. */
function requireCovering(parts: readonly StatisticsPart[]): void {
  const held = parts.flatMap(({ words }) => words.own);
  const { units } = parts[0].words;
  const expected = units.map((_, index) => index).join();
  if (held.join() === expected) return;
  throw new StatisticsError(
    `Cannot merge '${parts[0].path}' with its ${
      parts.length - 1
    } other parts: together they do not hold each of ${units.length} units once; calibrate again`,
  );
}

async function wholeUnits(parts: readonly StatisticsPart[]): Promise<readonly SumUnit[]> {
  const units: SumUnit[] = [];
  for (const { words, windows } of parts) {
    for (const index of words.own) {
      const { count: _, ...record } = words.units[index];
      units.push({ index, ...record, windows: await windows(index) });
    }
  }
  return units;
}

function windowsOf(units: readonly SumUnit[]): readonly DomainWindows[] {
  const names = [...new Set(units.map(({ domain }) => domain))];
  return names.map((name) => {
    const own = units.filter(({ domain }) => domain === name);
    const windows = (isHeldOut: boolean) =>
      own.filter(({ heldOut }) => heldOut === isHeldOut).flatMap((unit) => unit.windows);
    return { name, calibration: windows(false), heldOut: windows(true) };
  });
}

async function addLayers(
  model: Model,
  parts: readonly StatisticsPart[],
  units: readonly SumUnit[],
  windows: readonly DomainWindows[],
  kept: KeptCalibration,
  options: WorkOptions & { readonly multiply: Multiply },
): Promise<readonly LayerStatistics[]> {
  const { request, gram } = parts[0].words;
  const domains = windows.map(({ name }) => name);
  const work = { model, request, gram, domains, multiply: options.multiply };
  const partOf = new Map(parts.flatMap((part) => part.words.own.map((unit) => [unit, part])));
  const finished = await kept.readLayers();
  const layers: LayerStatistics[] = [];
  const total = model.architecture.layers.length;
  for (let layer = 0; layer < total; layer++) {
    const known = finished.get(layer);
    if (known === undefined) {
      const sums = new LayerSums(model, layer, units, {
        gram,
        onGram: (place, matrix) => kept.keepGram(place, matrix),
      });
      for (const unit of units) {
        await sums.add(unit, await partOf.get(unit.index)!.sums(layer, unit.index));
        await breathe(options.signal);
      }
      const statistics = await scored(
        work,
        layer,
        sums.result(blockTensors(model, layer)),
        options,
      );
      layers.push(await kept.writeLayer(layer, statistics));
    } else layers.push(known);
    options.onProgress?.({ stage: "merge", done: layer + 1, total, unit: "layers" });
  }
  return layers;
}
