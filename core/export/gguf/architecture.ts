/**
 * Which of llama.cpp's architectures holds a model, and the keys that describe it there.
 *
 * `llama` has one size for all layers; `deci` computes the same and lets every layer have its own. Both norm by the root
 * mean square, gate with SiLU, rotate neighbouring channels, and take biases everywhere: they hold Llama, Mistral, Qwen 2
 * and, since channels that are not rotated can be rotated by nothing, Phi-3 and 4. The others have architectures of their
 * own, with one size for all layers.
 * @module
 */
import { ExportError } from "../../errors.ts";
import { familyOf } from "../../model/families.ts";
import { isUniform } from "../../model/inspect.ts";
import { DEFAULT_ROTARY, rotaryEmbedding } from "../../model/rotary.ts";
import type { Architecture, LayerShape } from "../../model/types.ts";
import { layerAttention } from "../../onnx/attention.ts";
import { BLOCK_SIZE, type GgufValue, storedBytes } from "./format.ts";
import type { GgufQuantization } from "./names.ts";
import { type GgufArchitecture, llamaCppKinds, whyNotKind } from "./kinds.ts";

/** llama.cpp's numbers for what a file mostly holds. */
const FILE_TYPES: Readonly<Record<GgufQuantization, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

/** Its number for the quantized kinds as they are today. */
const QUANTIZATION_VERSION = 2;

/**
 * Chooses the architecture of llama.cpp that holds a model.
 *
 * @param name The model's name, for messages
 * @param architecture What it computes
 * @returns Its name, such as `llama` where all layers are alike and `deci` where they differ
 * @throws {ExportError} if none holds it; the message says why, and what does
 */
export function ggufArchitecture(name: string, architecture: Architecture): GgufArchitecture {
  const uniform = isUniform(architecture.layers);
  const { name: family } = familyOf(architecture.family);
  const refuse = (reason: string) =>
    new ExportError(`Cannot write '${name}' as GGUF: ${reason}; use --format hf or onnx`);
  const kind = llamaCppKinds[family];
  if (kind === undefined) throw refuse(`llama.cpp has no architecture for ${family}`);
  const reason = whyNotKind(kind, architecture);
  if (reason !== undefined) throw refuse(reason);
  if (kind === "llama") return uniform ? "llama" : "deci";
  if (uniform) return kind;
  throw refuse(`its layers have different sizes, and '${kind}' in llama.cpp has one for all`);
}

/**
 * The sizes of layers as they are stored. Rows of `down_proj` are quantized in blocks of 32: where a width is no
 * multiple, neurons of zeros are added if that takes fewer bytes than float16 would.
 *
 * @param architecture What the model computes
 * @param quantization How numbers are stored
 * @returns Sizes by layer; only `ffnWidth` ever differs from the model's own
 */
export function storedLayers(
  architecture: Architecture,
  quantization: GgufQuantization,
): readonly LayerShape[] {
  if (quantization === "f32" || quantization === "f16") return architecture.layers;
  const type = quantization === "q8_0" ? "Q8_0" : "Q4_0";
  const hidden = architecture.hiddenSize;
  const ofGateAndUp = (width: number) =>
    2 *
    (hidden % BLOCK_SIZE === 0
      ? storedBytes(type, width * hidden)
      : storedBytes("F16", width * hidden));
  return architecture.layers.map((shape) => {
    const { ffnWidth } = shape;
    const padded = Math.ceil(ffnWidth / BLOCK_SIZE) * BLOCK_SIZE;
    const asHalf = ofGateAndUp(ffnWidth) + storedBytes("F16", ffnWidth * hidden);
    const asBlocks = ofGateAndUp(padded) + storedBytes(type, padded * hidden);
    return asBlocks < asHalf ? { ...shape, ffnWidth: padded } : shape;
  });
}

/** What {@linkcode architectureKeys} describes. */
export interface DescribedModel {
  /** The model's name. */
  readonly name: string;
  /** What it computes. */
  readonly architecture: Architecture;
  /** Sizes of its layers as they are stored. */
  readonly layers: readonly LayerShape[];
  /** How numbers are stored. */
  readonly quantization: GgufQuantization;
}

/**
 * The keys that describe a model, without its tokenizer.
 *
 * @param kind llama.cpp's architecture
 * @param model Name, sizes, quantization
 * @returns Keys and values
 */
export function architectureKeys(
  kind: GgufArchitecture,
  { name, architecture, layers, quantization }: DescribedModel,
): ReadonlyMap<string, GgufValue> {
  const { headSize, rotary, localRotary } = architecture;
  const whole = (value: number): GgufValue => ({ type: "uint32", value });
  const decimal = (value: number): GgufValue => ({ type: "float32", value });
  const text = (value: string): GgufValue => ({ type: "string", value });
  // llama.cpp wants arrays of signed numbers, as long as there are layers.
  const perLayer = (size: (shape: LayerShape) => number): GgufValue =>
    kind === "deci" ? { type: "int32", value: layers.map(size) } : whole(size(layers[0]));
  const quantized = quantization === "q8_0" || quantization === "q4_0";
  const epsilon = architecture.norm === "layer" ? "layer_norm_epsilon" : "layer_norm_rms_epsilon";
  const optional: readonly (readonly [string, GgufValue | undefined])[] = [
    ["attention.sliding_window", hasWindows(kind) ? whole(architecture.slidingWindow!) : undefined],
    ["attn_logit_softcapping", decimalIf(architecture.attentionSoftCap)],
    ["final_logit_softcapping", decimalIf(architecture.logitSoftCap)],
    ["rope.freq_base_swa", decimalIf(localRotary?.theta)],
    [
      "use_parallel_residual",
      kind !== "gptneox" ? undefined : {
        type: "bool",
        value: architecture.parallelResidual === true,
      },
    ],
    ...linearScaling(kind, architecture),
  ];
  const rotated = 2 * rotary.inverseFrequencies.length;
  return new Map<string, GgufValue>([
    ["general.architecture", text(kind)],
    ["general.type", text("model")],
    ["general.name", text(name)],
    ["general.file_type", whole(FILE_TYPES[quantization])],
    ...(quantized ? [["general.quantization_version", whole(QUANTIZATION_VERSION)] as const] : []),
    [`${kind}.vocab_size`, whole(architecture.vocabularySize)],
    [`${kind}.context_length`, whole(contextLength(architecture, kind))],
    [`${kind}.embedding_length`, whole(architecture.hiddenSize)],
    [`${kind}.block_count`, whole(layers.length)],
    [`${kind}.feed_forward_length`, perLayer(({ ffnWidth }) => ffnWidth)],
    [`${kind}.attention.head_count`, perLayer(({ queryHeads }) => queryHeads)],
    [`${kind}.attention.head_count_kv`, perLayer(({ keyValueHeads }) => keyValueHeads)],
    [`${kind}.attention.key_length`, whole(headSize)],
    [`${kind}.attention.value_length`, whole(headSize)],
    [`${kind}.attention.${epsilon}`, decimal(architecture.normEpsilon)],
    ...(rotated === 0 ? [] : [
      [`${kind}.rope.dimension_count`, whole(kind === "gptneox" ? rotated : headSize)] as const,
      [`${kind}.rope.freq_base`, decimal(rotary.theta)] as const,
    ]),
    ...(rotary.attentionFactor === 1
      ? []
      : [[`${kind}.rope.scaling.attn_factor`, decimal(rotary.attentionFactor)] as const]),
    ...optional.flatMap(([key, value]) =>
      value === undefined ? [] : [[`${kind}.${key}`, value] as const]
    ),
  ]);
}

function decimalIf(value: number | undefined): GgufValue | undefined {
  return value === undefined ? undefined : { type: "float32", value };
}

/** The only scaling of `gemma3`, whose rotations take no divisors. */
function linearScaling(
  kind: GgufArchitecture,
  { rotary }: Architecture,
): readonly (readonly [string, GgufValue])[] {
  if (kind !== "gemma3" || rotary.scaling !== "linear") return [];
  return [
    ["rope.scaling.type", { type: "string", value: "linear" }],
    ["rope.scaling.factor", { type: "float32", value: 1 / rotary.inverseFrequencies[0] }],
  ];
}

function hasWindows(kind: GgufArchitecture): boolean {
  return kind === "gemma2" || kind === "gemma3";
}

/**
 * The longest text that the file promises: no longer than attention looks back, where llama.cpp would look further.
 *
 * @param architecture What the model computes
 * @param kind llama.cpp's architecture
 * @returns Tokens
 */
export function contextLength(architecture: Architecture, kind: GgufArchitecture): number {
  const { maxPositions, layers } = architecture;
  if (hasWindows(kind)) return maxPositions;
  const windows = layers.map((shape) => layerAttention(architecture, shape).window ?? maxPositions);
  return Math.min(maxPositions, ...windows);
}

/** A divisor of a frequency that turns it into none: channels that are not rotated. */
const NO_ROTATION = 1e30;

/**
 * What the frequencies of the rotary embedding are divided by, as the tensor `rope_freqs.weight` holds it. It says
 * exactly what every kind of scaling comes to, which keys do for some kinds alone.
 *
 * @param architecture What the model computes
 * @param kind llama.cpp's architecture
 * @returns `[headSize / 2]`; undefined where nothing is scaled, or the architecture takes no divisors
 */
export function rotaryDivisors(
  { headSize, rotary }: Architecture,
  kind: GgufArchitecture,
): Float32Array | undefined {
  if (kind !== "llama" && kind !== "deci") return undefined;
  const plain = rotaryEmbedding({ ...DEFAULT_ROTARY, headSize, theta: rotary.theta });
  const divisors = Float32Array.from(plain.inverseFrequencies, (frequency, pair) => {
    const own = rotary.inverseFrequencies[pair];
    return own === undefined ? NO_ROTATION : frequency / own;
  });
  return divisors.every((divisor) => divisor === 1) ? undefined : divisors;
}
