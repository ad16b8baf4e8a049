/**
 * The model families that gprune knows, as data. A new family is a new descriptor here and a parity test: nothing else
 * asks what a model is called.
 * @module
 */
import { ModelError } from "../errors.ts";
import type { FamilyDescriptor } from "./families/descriptor.ts";
import { GEMMA2, GEMMA3 } from "./families/gemma.ts";
import { GPT2, GPT_NEOX, OPT } from "./families/gpt.ts";
import { LLAMA, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, SMOLLM3 } from "./families/llama.ts";
import type { BlockRole } from "./types.ts";

export type { AttentionPattern, BiasSwitch, FamilyDescriptor } from "./families/descriptor.ts";

/** All families that gprune can prune. */
export const FAMILIES: readonly FamilyDescriptor[] = [
  LLAMA,
  MISTRAL,
  QWEN2,
  QWEN3,
  SMOLLM3,
  OLMO2,
  PHI3,
  GEMMA2,
  GEMMA3,
  GPT_NEOX,
  GPT2,
  OPT,
];

/**
 * Finds the family of a `model_type`.
 *
 * @param modelType The `model_type` of a `config.json`
 * @returns Its descriptor
 * @throws {ModelError} if gprune does not know it; the message lists what it knows
 *
 * @example
 * ```ts
 * import { familyOf } from "./families.ts";
 * import { assertEquals } from "@std/assert";
 * assertEquals(familyOf("mistral").biases, []);
 * ```
 */
export function familyOf(modelType: string): FamilyDescriptor {
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (family === undefined) {
    const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(", ");
    throw new ModelError(
      `Cannot use model type '${modelType}': gprune prunes models of the types ${known}`,
    );
  }
  return family;
}

/**
 * The name of a block's tensor in the files.
 *
 * @param family The model's family
 * @param role The part that the tensor plays
 * @param layer The block's number, from 0
 * @returns Its name
 * @throws {ModelError} if the family has no such tensor
 */
export function blockTensorName(family: FamilyDescriptor, role: BlockRole, layer: number): string {
  const template = family.blockTensors[role];
  if (template === undefined) {
    throw new ModelError(`Cannot name tensor '${role}': models of ${family.name} have none`);
  }
  return template.replace("{layer}", String(layer));
}
