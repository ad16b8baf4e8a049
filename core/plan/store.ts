/**
 * Plans in files: JSON with a schema.
 * @module
 */
import { dirname, isAbsolute, relative, resolve } from "@std/path";
import { z } from "zod";
import { attentionKinds } from "../model/config/attention.ts";
import { PlanError } from "../errors.ts";
import { parseJson, readTextFile, unusableReason } from "../json.ts";
import {
  groupings,
  methods,
  metrics,
  moduleShares,
  refits,
  shapes,
  structures,
  switches,
} from "./request.ts";
import type { Plan } from "./types.ts";

const count = z.number().int().min(0);
/** A request in a file. */
export const requestShape = z.object({
  method: z.enum(methods),
  metric: z.enum(metrics),
  sparsity: z.number().min(0).lt(1),
  structures: z.array(z.enum(structures)),
  shape: z.enum(shapes),
  refit: z.enum(refits),
  modules: count,
  multiple: count,
  switch: z.enum(switches),
  scoreDomains: z.array(z.string()).optional(),
  objective: z.enum(["mean", "worst"]),
  seed: z.number(),
  protectedLayers: z.array(count).optional(),
  layerBudgets: z.array(z.object({ layer: count, factor: z.number().positive() })).optional(),
  grouping: z.enum(groupings).optional(),
  moduleShares: z.enum(moduleShares).optional(),
});
const planShape = z.object({
  schema: z.literal("gprune.plan/1"),
  model: z.object({
    source: z.string(),
    fingerprint: z.string(),
    layers: z.array(z.object({
      ffnWidth: count,
      keyValueHeads: count,
      queryHeads: count,
      attention: z.enum(attentionKinds).optional(),
    })),
  }),
  request: requestShape,
  layers: z.array(z.object({
    layer: count,
    ffnKept: z.array(count),
    keyValueHeadsKept: z.array(count),
  })),
  modules: z.array(z.object({
    layer: count,
    structure: z.enum(structures),
    module: count,
    units: count,
    kept: count,
    sensitivity: z.number(),
    reliability: z.number(),
    source: z.enum(["activation", "magnitude", "blend"]),
    sparsity: z.number(),
  })),
  result: z.object({ sparsity: z.number(), prunableBefore: count, prunableAfter: count }),
  statistics: z.string().optional(),
});

/** A plan as it lies in a file. */
export interface PlanFile {
  /** The plan. */
  readonly plan: Plan;
  /** The file of statistics that it was made from, if it was made from one, as seen from the plan's folder. */
  readonly statistics?: string;
}

/**
 * Writes a plan to a file.
 *
 * @param plan The plan
 * @param path The file; replaced if it is there
 * @param options The path of the statistics that it was made from; what is not absolute is meant from the plan's folder
 */
export async function savePlan(
  plan: Plan,
  path: string,
  options: { readonly statistics?: string } = {},
): Promise<void> {
  const words = options.statistics === undefined
    ? plan
    : { ...plan, statistics: fromFolderOf(path, options.statistics) };
  await Deno.writeTextFile(path, `${JSON.stringify(words, null, 1)}\n`);
}

/** Relative, so that plan and statistics can move together, and the same plan is the same file on any machine. */
function fromFolderOf(plan: string, statistics: string): string {
  return isAbsolute(statistics) ? relative(dirname(resolve(plan)), statistics) : statistics;
}

/**
 * Reads a plan from a file.
 *
 * @param path A file that {@linkcode savePlan} wrote
 * @returns The plan
 * @throws {PlanError} if the file is missing, damaged or something else
 */
export async function loadPlan(path: string): Promise<PlanFile> {
  try {
    const parsed = planShape.safeParse(
      parseJson(await readTextFile(path), { repeatedKeys: "refuse" }),
    );
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new Error(`field '${issue.path.join(".")}': ${issue.message}`);
    }
    const { statistics, ...plan } = parsed.data;
    return { plan, statistics };
  } catch (cause) {
    throw new PlanError(`Cannot read plan '${path}': ${unusableReason(cause)}`, { cause });
  }
}
