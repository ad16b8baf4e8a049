/**
 * The `config.json` of a pruned model.
 * @module
 */
import { PlanError } from "../errors.ts";
import { familyOf } from "../model/families.ts";
import type { Architecture, BlockRole, LayerShape, Model, Structure } from "../model/types.ts";
import { unitCount } from "../model/units.ts";
import type { Plan, Refit } from "../plan/types.ts";
import { type OutputDataType, withDataType } from "./model_folder.ts";
import { closingRoles, keptUnits } from "./slice.ts";

/**
 * The biases that a pruned model has: those of the dense one, and for the refit `bias` those of the closing projections
 * that were cut, with the sister projections' that stock runtimes load together with them.
 *
 * @param architecture What the dense model computes
 * @param plan What stays of it
 * @param refit The refit
 * @returns Roles of biases
 * @throws {PlanError} if the family has no slot for a bias that the refit needs
 */
export function biasesAfter(
  architecture: Architecture,
  plan: Plan,
  refit: Refit,
): readonly BlockRole[] {
  const biases = new Set(architecture.biases ?? []);
  for (const role of refit === "bias" ? closingBiases(architecture, plan) : []) {
    if (biases.has(role)) continue;
    const slot = familyOf(architecture.family).biases.find(({ roles }) => roles.includes(role));
    if (slot === undefined) {
      const projection = role.replace(".bias", "");
      throw new PlanError(
        `Cannot refit by 'bias': models of type '${architecture.family}' have no bias on '${projection}'; use --refit lsq or --refit none`,
      );
    }
    for (const sister of slot.roles) biases.add(sister);
  }
  return [...biases];
}

/**
 * The config of a pruned model: sizes that stock runtimes read where all layers are alike, `per_layer_config` besides
 * where they differ, and a word on where the model comes from.
 *
 * @param model The dense model
 * @param plan What stays of it
 * @param after What the pruned model computes, its refit and data type
 * @returns The fields of `config.json`
 */
export function configAfter(
  model: Model,
  plan: Plan,
  after: {
    readonly architecture: Architecture;
    readonly refit: Refit;
    readonly dataType: OutputDataType;
  },
): Record<string, unknown> {
  const { layers, biases = [], family } = after.architecture;
  const { per_layer_config: _, ...config } = withDataType(model.config, after.dataType);
  const largest = (size: (shape: LayerShape) => number) => Math.max(...layers.map(size));
  const alike = new Set(layers.map((shape) => JSON.stringify(fieldsOf(shape)))).size === 1;
  const switches = familyOf(family).biases.filter(({ configKey, roles }) =>
    configKey !== undefined && roles.every((role) => biases.includes(role))
  );
  const sizes = {
    ffnWidth: largest(({ ffnWidth }) => ffnWidth),
    queryHeads: largest(({ queryHeads }) => queryHeads),
    keyValueHeads: largest(({ keyValueHeads }) => keyValueHeads),
  };
  return {
    ...config,
    ...sizeFields(after.architecture, sizes),
    ...Object.fromEntries(switches.map(({ configKey }) => [configKey, true])),
    ...(alike ? {} : {
      per_layer_config: Object.fromEntries(
        layers.map((shape, layer) => [String(layer), fieldsOf(shape)]),
      ),
    }),
    gprune: {
      schema: "gprune.config/1",
      // The name alone: a path would tell where its maker keeps things.
      base: model.name,
      base_fingerprint: plan.model.fingerprint,
      method: plan.request.method,
      metric: plan.request.metric,
      shape: plan.request.shape,
      structures: plan.request.structures,
      refit: after.refit,
      sparsity: plan.result.sparsity,
    },
  };
}

/**
 * The fields of a config for the sizes of its layers, by the names that the family gives them.
 *
 * @param architecture What the model computes
 * @param shape Sizes that all layers have or fit into
 * @returns Fields; families whose heads fill the stream say the size of a head only where they do not
 */
export function sizeFields(
  { family: modelType, headSize, hiddenSize }: Architecture,
  shape: LayerShape,
): Readonly<Record<string, number>> {
  const { configKeys = {}, headsInStream } = familyOf(modelType);
  const headsFillStream = headsInStream === "fill";
  const filled = headsFillStream && shape.queryHeads * headSize === hiddenSize;
  return {
    [configKeys.intermediate_size ?? "intermediate_size"]: shape.ffnWidth,
    [configKeys.num_attention_heads ?? "num_attention_heads"]: shape.queryHeads,
    ...(headsFillStream ? {} : { num_key_value_heads: shape.keyValueHeads }),
    ...(filled ? {} : { head_dim: headSize }),
  };
}

function fieldsOf(shape: LayerShape): Readonly<Record<string, number>> {
  return {
    intermediate_size: shape.ffnWidth,
    num_attention_heads: shape.queryHeads,
    num_key_value_heads: shape.keyValueHeads,
  };
}

/** The biases of projections that lose columns in some layer. */
function closingBiases(architecture: Architecture, plan: Plan): readonly BlockRole[] {
  const isCut = (structure: Structure) =>
    plan.layers.some((layer) =>
      keptUnits(layer, structure).length < unitCount(architecture.layers[layer.layer], structure)
    );
  return (["ffn", "heads"] as const).filter(isCut).map((structure) =>
    closingRoles(architecture, architecture.layers[0], structure).bias
  );
}
