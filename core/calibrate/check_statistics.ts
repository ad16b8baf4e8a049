/**
 * Whether statistics out of a file can be what a calibration wrote: sizes that fit each other, and finite numbers.
 * Gram matrices are looked at where they are read.
 * @module
 */
import type { Tensor } from "../model/types.ts";
import { STRUCTURES } from "../model/units.ts";
import { halfLength } from "./gram_halves.ts";
import type { KindStatistics, Statistics } from "./types.ts";

/**
 * What is wrong with statistics.
 *
 * @param statistics The statistics, out of a file
 * @returns The end of a sentence, or undefined where nothing is
 */
export function statisticsFault(statistics: Statistics): string | undefined {
  const { layers, domains, model } = statistics;
  // Unfinished calibrations keep single layers without the words about them.
  if (model.layers.length > 0 && model.layers.length !== layers.length) {
    return `it has ${layers.length} layers, and its model has ${model.layers.length}`;
  }
  if (model.layers.length > 0 && domains.length === 0) return "it has no domains";
  if (new Set(domains.map(({ name }) => name)).size < domains.length) {
    return "it has two domains of one name";
  }
  for (const [index, layer] of layers.entries()) {
    for (const structure of STRUCTURES) {
      const kind = layer[structure];
      if (domains.length > 0 && kind.domains.length !== domains.length) {
        return `layer ${index} has sums of ${kind.domains.length} domains, and there are ${domains.length}`;
      }
      const shape = model.layers[index];
      const units = shape && (structure === "ffn" ? shape.ffnWidth : shape.queryHeads);
      const groups = shape && (structure === "ffn" ? shape.ffnWidth : shape.keyValueHeads);
      if (shape !== undefined && shape.queryHeads % shape.keyValueHeads !== 0) {
        return `layer ${index} has ${shape.queryHeads} query heads for ${shape.keyValueHeads} key/value heads`;
      }
      const fault = sizeFault(kind, units, groups) ?? numberFault(kind);
      if (fault !== undefined) return `${fault} of layer ${index}, ${structure}`;
    }
  }
  return windowFault(statistics) ?? learnedFault(statistics);
}

/**
 * Why the numbers of one layer and kind are none that weights and texts can give.
 *
 * @param kind Its statistics
 * @returns The beginning of a sentence, or undefined where nothing is wrong
 */
export function numberFault({ domains, weights, obs }: KindStatistics): string | undefined {
  const strangeSum = domains.some(({ tokens, sum, sumOfSquares }) =>
    !(tokens >= 0) || !Number.isFinite(tokens) || !sum.every(Number.isFinite) ||
    !isNonNegative(sumOfSquares)
  );
  if (strangeSum) return "a sum is negative, infinite or not a number";
  const norms = [weights.columnNorm, weights.columnMeanAbsolute, weights.rowNorm];
  if (!norms.every(isNonNegative)) return "a norm is negative, infinite or not a number";
  const errors = obs === undefined ? [] : [obs.refittedError, obs.plainError];
  return errors.every((each) => each.every(Number.isFinite))
    ? undefined
    : "an error is infinite or not a number";
}

function sizeFault(
  { domains, weights, obs, heldOutGram }: KindStatistics,
  units: number | undefined,
  groups: number | undefined,
): string | undefined {
  const channels = weights.columnNorm.length;
  if (units !== undefined && (channels === 0 || channels % units !== 0)) {
    return `there are ${channels} channels for ${units} units`;
  }
  const arrays = [
    ...domains.flatMap(({ sum, sumOfSquares }) => [sum, sumOfSquares]),
    weights.columnMeanAbsolute,
    weights.rowNorm,
  ];
  const strange = arrays.find((array) => array.length !== channels);
  if (strange !== undefined) return `${strange.length} numbers stand for ${channels} channels`;
  const grams = [...domains.map(({ gram }) => gram), heldOutGram].filter((gram) => gram);
  if (grams.some((gram) => !isGram(gram!, channels))) {
    return `a Gram matrix is not of ${channels} channels in F32`;
  }
  if (obs === undefined) return undefined;
  const count = obs.order.length;
  const sorted = obs.order.toSorted();
  const wrong = (groups !== undefined && count !== groups) ||
    sorted.some((unit, index) => unit !== index) ||
    [obs.refittedError, obs.plainError].some(({ length }) => length !== count + 1);
  return wrong ? "the removal order is none" : undefined;
}

function isGram(gram: Tensor, channels: number): boolean {
  const shapes = [[channels, channels], [halfLength(channels)]].map(String);
  const plain = !("dataType" in gram) || gram.dataType === "F32";
  return plain && shapes.includes(String(gram.shape));
}

function isNonNegative(numbers: Float64Array): boolean {
  return numbers.every((number) => number >= 0 && number !== Infinity);
}

function windowFault({ windows }: Statistics): string | undefined {
  for (const { name, calibration, heldOut } of windows ?? []) {
    for (const window of [...calibration, ...heldOut]) {
      if (window.some((token) => token < 0)) return `a window of '${name}' has a negative token`;
    }
  }
  return undefined;
}

function learnedFault({ learned, layers }: Statistics): string | undefined {
  for (const curve of learned?.curves ?? []) {
    const { layer, fractions, relativeErrors, damage, damagePerDomain } = curve;
    const lengths = [relativeErrors, damage, damagePerDomain].map(({ length }) => length);
    const fits = Number.isInteger(layer) && layer >= 0 && layer < layers.length &&
      lengths.every((length) => length === fractions.length) &&
      damagePerDomain.every(({ length }) => length === learned!.domains.length);
    if (!fits) return `a damage curve of layer ${layer} does not fit`;
  }
  return undefined;
}
