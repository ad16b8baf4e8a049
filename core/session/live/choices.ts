/**
 * What a person has chosen in a live session, and the way back.
 * @module
 */
import type { LayerShape, Structure } from "../../model/types.ts";
import { type PlanOptions, resolveRequest, structures } from "../../plan/request.ts";
import type { Metric, PlanRequest, Refit } from "../../plan/types.ts";

/** Metrics that a session goes through, the default first. */
export const sessionMetrics: readonly Metric[] = ["obs", "wanda-sp", "wifv", "rms"];
/** Refits that a session goes through, the default first. */
export const sessionRefits: readonly Refit[] = ["lsq", "bias", "none"];
/** Numbers of modules that a session goes through. */
export const sessionModules: readonly number[] = [1, 2, 4, 8];
/** Kinds of unit that a session goes through, the default first. */
export const sessionStructures: readonly (readonly Structure[])[] = [
  structures,
  ["ffn"],
  ["heads"],
];
/** What one press shifts a layer's budget by: three presses double it. */
const budgetStep = 1.25;
/** The least and the most that can be asked for. */
const sparsityRange = { least: 0, most: 0.95 } as const;

/** One thing that a person changes. */
export type Change =
  | { readonly type: "sparsity"; readonly by: number }
  | { readonly type: "sparsity-to"; readonly sparsity: number }
  | { readonly type: "structures" | "modules" | "metric" | "refit" | "shape" }
  | { readonly type: "protect"; readonly layer: number }
  | { readonly type: "budget"; readonly layer: number; readonly direction: 1 | -1 };

/** What was changed, or why it cannot be. */
export type Changed =
  | { readonly request: PlanRequest }
  | { readonly refused: string };

/**
 * Changes a request as a key asks for.
 *
 * @param request What is chosen
 * @param change What to change
 * @param layers Sizes of the model's layers
 * @returns The new request, or a sentence that says why there is none
 */
export function changeRequest(
  request: PlanRequest,
  change: Change,
  layers: readonly LayerShape[],
): Changed {
  const refused = refusal(request, change);
  if (refused !== undefined) return { refused };
  try {
    return { request: resolveRequest(changedOptions(request, change), layers) };
  } catch (error) {
    return { refused: (error as Error).message };
  }
}

function refusal(request: PlanRequest, change: Change): string | undefined {
  const ownMethod = request.method === "gprune";
  if (!ownMethod && ["metric", "modules"].includes(change.type)) {
    return `The method ${request.method} has its own; it was chosen on the command line`;
  }
  const single = change.type === "protect" || change.type === "budget";
  if (single && request.shape === "uniform") {
    return "In the uniform shape all layers lose the same; press u for the adaptive shape first";
  }
  if (change.type === "budget" && !ownMethod) return `The method ${request.method} has no budgets`;
  if (change.type === "budget" && request.protectedLayers?.includes(change.layer)) {
    return `Layer ${change.layer} is protected; press p to release it first`;
  }
  return undefined;
}

function changedOptions(request: PlanRequest, change: Change): PlanOptions {
  switch (change.type) {
    case "sparsity":
      return { ...request, sparsity: movedSparsity(request.sparsity, change.by) };
    case "sparsity-to":
      return { ...request, sparsity: change.sparsity };
    case "structures": {
      const at = sessionStructures.findIndex((each) =>
        each.length === request.structures.length &&
        each.every((structure) => request.structures.includes(structure))
      );
      return { ...request, structures: sessionStructures[(at + 1) % sessionStructures.length] };
    }
    case "modules":
      return { ...request, modules: next(sessionModules, request.modules) };
    case "metric":
      return { ...request, metric: next(sessionMetrics, request.metric) };
    case "refit":
      return { ...request, refit: next(sessionRefits, request.refit) };
    case "shape":
      // The uniform shape has no place for what is said of single layers.
      return request.shape === "adaptive"
        ? { ...request, shape: "uniform", protectedLayers: undefined, layerBudgets: undefined }
        : { ...request, shape: "adaptive" };
    case "protect": {
      const before = request.protectedLayers ?? [];
      const after = before.includes(change.layer)
        ? before.filter((layer) => layer !== change.layer)
        : [...before, change.layer].sort((a, b) => a - b);
      return { ...request, protectedLayers: after.length === 0 ? undefined : after };
    }
    case "budget":
      return { ...request, layerBudgets: movedBudget(request, change.layer, change.direction) };
  }
}

function next<T>(list: readonly T[], value: T): T {
  return list[(list.indexOf(value) + 1) % list.length];
}

/** Moves on a grid of whole percents, so that a sparsity reads as it will be typed. */
function movedSparsity(sparsity: number, by: number): number {
  const percent = Math.round(100 * sparsity) + Math.round(100 * by);
  const { least, most } = sparsityRange;
  return Math.min(100 * most, Math.max(100 * least, percent)) / 100;
}

function movedBudget(
  { layerBudgets = [] }: PlanRequest,
  layer: number,
  direction: 1 | -1,
): PlanRequest["layerBudgets"] {
  const steps = layerBudgets.map((budget) => ({
    layer: budget.layer,
    steps: Math.round(Math.log(budget.factor) / Math.log(budgetStep)),
  }));
  const own = (steps.find((each) => each.layer === layer)?.steps ?? 0) + direction;
  const others = steps.filter((each) => each.layer !== layer);
  // Rounded so that the factor reads the same on a command line.
  const all = [...others, { layer, steps: own }]
    .filter((each) => each.steps !== 0)
    .map((each) => ({
      layer: each.layer,
      factor: Number(Math.pow(budgetStep, each.steps).toPrecision(3)),
    }))
    .sort((a, b) => a.layer - b.layer);
  return all.length === 0 ? undefined : all;
}

/** What is chosen, what was before, and what was taken back. */
export interface History {
  /** Before, the latest last. */
  readonly past: readonly PlanRequest[];
  /** Now. */
  readonly present: PlanRequest;
  /** Taken back, the latest last. */
  readonly future: readonly PlanRequest[];
  /** What the last change was; moves of the sparsity in a row are one change. */
  readonly last?: Change["type"];
}

/**
 * Adds a change to a history.
 *
 * @param history The history
 * @param request What is chosen now
 * @param type What was changed
 * @returns The longer history
 */
export function remember(history: History, request: PlanRequest, type: Change["type"]): History {
  const goesOn = type === "sparsity" && history.last === "sparsity";
  const past = goesOn ? history.past : [...history.past, history.present];
  return { past, present: request, future: [], last: type };
}

/**
 * Takes the last change back.
 *
 * @param history The history
 * @returns The history before it, or the same where there is none
 */
export function undo(history: History): History {
  const before = history.past.at(-1);
  if (before === undefined) return history;
  return {
    past: history.past.slice(0, -1),
    present: before,
    future: [...history.future, history.present],
  };
}

/**
 * Makes a change again that was taken back.
 *
 * @param history The history
 * @returns The history after it, or the same where there is none
 */
export function redo(history: History): History {
  const after = history.future.at(-1);
  if (after === undefined) return history;
  return {
    past: [...history.past, history.present],
    present: after,
    future: history.future.slice(0, -1),
  };
}
