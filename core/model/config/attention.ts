/**
 * Which layers look back how far, and which know no positions.
 * @module
 */
import { z } from "zod";
import type { FamilyDescriptor } from "../families/descriptor.ts";
import type { AttentionKind } from "../types.ts";
import { cannotUse, check, show } from "./check.ts";

const whole = z.int().min(1).max(1_073_741_824);

/** All kinds. */
export const attentionKinds = [
  "global",
  "local",
  "unrotated",
  "local-unrotated",
] as const satisfies readonly AttentionKind[];

/** How the layers of a model attend. */
export interface ParsedAttention {
  /** Tokens that layers with a window look back on; absent where no layer has one. */
  readonly slidingWindow?: number;
  /** How each layer attends; absent where all attend alike. */
  readonly kinds?: readonly AttentionKind[];
}

/**
 * Reads how the layers of a config attend.
 *
 * @param fields The fields of the config under Llama's names, with stand-ins
 * @param family The model's family
 * @param layers How many layers there are
 * @param path The file's name, for messages
 * @returns Window and kinds
 * @throws {ModelError} if a field makes no sense
 */
export function parseAttention(
  fields: Readonly<Record<string, unknown>>,
  family: FamilyDescriptor,
  layers: number,
  path: string,
): ParsedAttention {
  const pattern = family.attention;
  if (pattern === undefined) return {};
  const { switchKey } = pattern;
  const on = switchKey === undefined ||
    check(z.boolean(), fields[switchKey] ?? false, { path, field: switchKey });
  const window = on ? fields.sliding_window ?? undefined : undefined;
  const slidingWindow = window === undefined
    ? undefined
    : check(whole, window, { path, field: "sliding_window" });
  const each = (of: (layer: number) => boolean) => Array.from({ length: layers }, (_, i) => of(i));
  const local = slidingWindow === undefined
    ? each(() => false)
    : localLayers(fields, family, layers, path);
  const unrotated = unrotatedLayers(fields, family, layers, path);
  const someLocal = local.includes(true);
  const alike = new Set(local).size === 1 && !unrotated.includes(true);
  // Where every layer has a window and there are no others to tell from, the window alone says so.
  if (alike && !(someLocal && pattern.localTheta !== undefined)) {
    return someLocal ? { slidingWindow } : {};
  }
  const kinds = local.map((isLocal, layer): AttentionKind =>
    isLocal
      ? unrotated[layer] ? "local-unrotated" : "local"
      : unrotated[layer]
      ? "unrotated"
      : "global"
  );
  return { ...(someLocal ? { slidingWindow } : {}), kinds };
}

function localLayers(
  fields: Readonly<Record<string, unknown>>,
  { attention: pattern = {} }: FamilyDescriptor,
  layers: number,
  path: string,
): readonly boolean[] {
  const types = fields.layer_types ?? undefined;
  if (types !== undefined) {
    const list = check(z.array(z.string()), types, { path, field: "layer_types" });
    const stranger = list.find((type) => type !== "full_attention" && type !== "sliding_attention");
    if (stranger !== undefined) {
      throw cannotUse(
        path,
        `'layer_types' has ${
          show(stranger)
        }, and gprune knows "full_attention" and "sliding_attention"`,
      );
    }
    if (list.length !== layers) {
      throw cannotUse(path, `'layer_types' has ${list.length} entries for ${layers} layers`);
    }
    return list.map((type) => type === "sliding_attention");
  }
  const { globalEvery, globalUntilKey, unrotated } = pattern;
  const number = (field: string, value: unknown) => check(z.int().min(0), value, { path, field });
  const key = globalEvery?.configKey ?? "";
  const every = globalEvery && number(key, fields[key] ?? globalEvery.standIn);
  const until = globalUntilKey === undefined ? 0 : number(globalUntilKey, fields[globalUntilKey]);
  const noPositions = unrotatedLayers(fields, { attention: pattern }, layers, path);
  return Array.from({ length: layers }, (_, layer) => {
    // SmolLM3 gives a window to the layers without rotary embedding alone.
    if (unrotated !== undefined) return noPositions[layer];
    return layer >= until && (every === undefined || every === 0 || (layer + 1) % every !== 0);
  });
}

function unrotatedLayers(
  fields: Readonly<Record<string, unknown>>,
  { attention }: Pick<FamilyDescriptor, "attention">,
  layers: number,
  path: string,
): readonly boolean[] {
  const keys = attention?.unrotated;
  if (keys === undefined) return Array.from({ length: layers }, () => false);
  const given = fields[keys.listKey] ?? undefined;
  if (given === undefined) {
    const field = keys.intervalKey;
    const interval = check(whole, fields[field], { path, field });
    return Array.from({ length: layers }, (_, layer) => (layer + 1) % interval === 0);
  }
  const list = check(z.array(z.number()), given, { path, field: keys.listKey });
  if (list.length < layers) {
    throw cannotUse(path, `'${keys.listKey}' has ${list.length} entries for ${layers} layers`);
  }
  return Array.from({ length: layers }, (_, layer) => list[layer] === 0);
}
