/**
 * The architectures of llama.cpp that gprune writes, and what each can hold of a model.
 * @module
 */
import { familyOf } from "../../model/families.ts";
import type { Architecture, BlockRole } from "../../model/types.ts";
import { blockRoles } from "../../model/units.ts";
import type { PlannedCut } from "../planned_cut.ts";

/** The architectures of llama.cpp that gprune writes. */
export type GgufArchitecture =
  | "llama"
  | "deci"
  | "qwen3"
  | "smollm3"
  | "olmo2"
  | "gemma2"
  | "gemma3"
  | "gptneox"
  | "gpt2";

/** The architecture for each family; `llama` stands for `deci` too. A family that is missing has none. */
export const llamaCppKinds: Readonly<Record<string, Exclude<GgufArchitecture, "deci">>> = {
  llama: "llama",
  mistral: "llama",
  qwen2: "llama",
  phi3: "llama",
  qwen3: "qwen3",
  smollm3: "smollm3",
  olmo2: "olmo2",
  gemma2: "gemma2",
  gemma3: "gemma3",
  gpt_neox: "gptneox",
  gpt2: "gpt2",
};

type Check = (architecture: Architecture) => string | undefined;

const CHECKS: Readonly<Record<Exclude<GgufArchitecture, "deci">, readonly Check[]>> = {
  llama: [activation("silu")],
  qwen3: [activation("silu"), plainRotation, noBiases],
  smollm3: [
    activation("silu"),
    plainRotation,
    noBiases,
    attention((layer) => (layer + 1) % 4 === 0 ? "unrotated" : "global"),
  ],
  olmo2: [activation("silu"), plainRotation, noBiases, headsFillStream],
  gemma2: [
    activation("gelu_tanh"),
    plainRotation,
    noBiases,
    plainScale,
    capped,
    attention((layer) => (layer + 1) % 2 === 0 ? "global" : "local"),
  ],
  gemma3: [
    activation("gelu_tanh"),
    plainOrLinearRotation,
    noBiases,
    plainScale,
    uncapped,
    attention((layer) => (layer + 1) % 6 === 0 ? "global" : "local"),
  ],
  gptneox: [activation("gelu", "gelu_tanh"), plainRotation, headsFillStream, allBiases],
  gpt2: [activation("gelu", "gelu_tanh"), headsFillStream, allBiases],
};

/**
 * Why an architecture does not compute what a model does.
 *
 * @param kind The architecture
 * @param architecture What the model computes
 * @returns The reason, as part of a sentence; undefined if it does
 */
export function whyNotKind(
  kind: Exclude<GgufArchitecture, "deci">,
  architecture: Architecture,
): string | undefined {
  for (const check of CHECKS[kind]) {
    const reason = check(architecture);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/**
 * Why an architecture will not hold what pruning makes of a model that it holds.
 *
 * @param kind The architecture
 * @param architecture What the model computes
 * @param cut How it is going to be pruned
 * @returns The reason and what to do, as part of a sentence; undefined if it will
 */
export function whyNotAfter(
  kind: GgufArchitecture,
  { family }: Architecture,
  { shape, structures }: PlannedCut,
): string | undefined {
  if (kind === "llama" || kind === "deci") return undefined;
  if (shape === "adaptive") {
    return `'${kind}' in llama.cpp has one size for all layers; use --shape uniform, or --format hf or onnx`;
  }
  // Where stock classes want whole heads, the uniform shape takes none.
  const losesHeads = structures.includes("heads") && familyOf(family).headsInStream !== "fill";
  return losesHeads && CHECKS[kind].includes(headsFillStream)
    ? `'${kind}' in llama.cpp wants as many channels in heads as in the stream; use --structures ffn, or --format hf or onnx`
    : undefined;
}

function activation(...known: readonly Architecture["activation"][]): Check {
  const words = { silu: "SiLU", gelu: "GELU", gelu_tanh: "GELU", relu: "ReLU" };
  return ({ activation: own }) =>
    known.includes(own)
      ? undefined
      : `its activation is '${own}', and llama.cpp computes ${
        words[known[0]]
      } in models of this kind`;
}

function noBiases({ biases = [] }: Architecture): string | undefined {
  return biases.length === 0
    ? undefined
    : `it has biases on ${
      biases.map((role) => role.split(".")[0]).join(", ")
    }, for which llama.cpp has no place`;
}

function allBiases(architecture: Architecture): string | undefined {
  const roles = new Set(blockRoles(architecture));
  const missing = [...roles].map((role) => role.replace(".weight", ".bias") as BlockRole)
    .find((role) => !roles.has(role));
  return missing && `it has no '${missing}', and llama.cpp wants one in models of this kind`;
}

function headsFillStream({ layers, headSize, hiddenSize }: Architecture): string | undefined {
  return layers.every(({ queryHeads }) => queryHeads * headSize === hiddenSize)
    ? undefined
    : `it has lost heads, and llama.cpp wants as many channels in heads as in the stream in models of this kind; prune with --structures ffn, or pad it first with gprune export --zero-pad`;
}

function plainRotation({ rotary }: Architecture): string | undefined {
  return rotary.scaling === "default"
    ? undefined
    : `its rotary scaling is '${rotary.scaling}', and gprune writes models of this kind without any`;
}

function plainOrLinearRotation(architecture: Architecture): string | undefined {
  return architecture.rotary.scaling === "linear" ? undefined : plainRotation(architecture);
}

/** llama.cpp knows the largest models by their number of layers, and their scale is another. */
const LARGEST_GEMMAS: readonly number[] = [46, 62];

function plainScale({ attentionScale, headSize, hiddenSize, layers }: Architecture) {
  const largest = LARGEST_GEMMAS.includes(layers.length);
  const wanted = 1 / Math.sqrt(largest ? hiddenSize / layers[0].queryHeads : headSize);
  return Math.abs((attentionScale ?? wanted) / wanted - 1) < 1e-6
    ? undefined
    : `its 'query_pre_attn_scalar' is ${
      Math.round((attentionScale ?? 1) ** -2)
    }, and llama.cpp takes ${Math.round(wanted ** -2)}`;
}

function capped({ attentionSoftCap, logitSoftCap }: Architecture): string | undefined {
  return attentionSoftCap !== undefined && logitSoftCap !== undefined
    ? undefined
    : "it caps no scores or no logits, and llama.cpp caps both";
}

function uncapped({ attentionSoftCap, logitSoftCap }: Architecture): string | undefined {
  return attentionSoftCap === undefined && logitSoftCap === undefined
    ? undefined
    : "it caps scores or logits, and llama.cpp caps none";
}

function attention(wanted: (layer: number) => string): Check {
  return ({ layers }) =>
    layers.every(({ attention: own = "global" }, layer) => own === wanted(layer))
      ? undefined
      : "its layers attend in another order than llama.cpp's do";
}
