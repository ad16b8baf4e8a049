/**
 * Which of llama.cpp's architectures holds a model, and the keys that describe it there.
 *
 * `llama` has one size for all layers; `deci` computes the same and lets every layer have its own. Both norm by the root
 * mean square, gate with SiLU, rotate neighbouring channels, and take biases everywhere.
 * @module
 */
import { ExportError } from "../../errors.ts";
import { isUniform } from "../../model/inspect.ts";
import { DEFAULT_ROTARY, rotaryEmbedding } from "../../model/rotary.ts";
import type { Architecture, LayerShape } from "../../model/types.ts";
import { BLOCK_SIZE, type GgufValue, storedBytes } from "./format.ts";
import type { GgufQuantization } from "./names.ts";

/** The architectures of llama.cpp that gprune writes. */
export type GgufArchitecture = "llama" | "deci";

/** llama.cpp's numbers for what a file mostly holds. */
const FILE_TYPES: Readonly<Record<GgufQuantization, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7 };

/** Its number for the quantized kinds as they are today. */
const QUANTIZATION_VERSION = 2;

/**
 * Chooses the architecture of llama.cpp that holds a model.
 *
 * @param name The model's name, for messages
 * @param architecture What it computes
 * @returns `llama` where all layers are alike, `deci` where they differ
 * @throws {ExportError} if none holds it; the message says what does
 */
export function ggufArchitecture(name: string, architecture: Architecture): GgufArchitecture {
  const { activation, layers } = architecture;
  if (activation !== "silu") {
    throw new ExportError(
      `Cannot write '${name}' as GGUF: its activation is '${activation}', and llama.cpp computes SiLU in models of this kind; use --format hf or onnx`,
    );
  }
  return isUniform(layers) ? "llama" : "deci";
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
  const { headSize, rotary } = architecture;
  const whole = (value: number): GgufValue => ({ type: "uint32", value });
  const decimal = (value: number): GgufValue => ({ type: "float32", value });
  const text = (value: string): GgufValue => ({ type: "string", value });
  // llama.cpp wants arrays of signed numbers, as long as there are layers.
  const perLayer = (size: (shape: LayerShape) => number): GgufValue =>
    kind === "llama" ? whole(size(layers[0])) : { type: "int32", value: layers.map(size) };
  const quantized = quantization === "q8_0" || quantization === "q4_0";
  return new Map<string, GgufValue>([
    ["general.architecture", text(kind)],
    ["general.type", text("model")],
    ["general.name", text(name)],
    ["general.file_type", whole(FILE_TYPES[quantization])],
    ...(quantized ? [["general.quantization_version", whole(QUANTIZATION_VERSION)] as const] : []),
    [`${kind}.vocab_size`, whole(architecture.vocabularySize)],
    [`${kind}.context_length`, whole(contextLength(architecture))],
    [`${kind}.embedding_length`, whole(architecture.hiddenSize)],
    [`${kind}.block_count`, whole(layers.length)],
    [`${kind}.feed_forward_length`, perLayer(({ ffnWidth }) => ffnWidth)],
    [`${kind}.attention.head_count`, perLayer(({ queryHeads }) => queryHeads)],
    [`${kind}.attention.head_count_kv`, perLayer(({ keyValueHeads }) => keyValueHeads)],
    [`${kind}.attention.key_length`, whole(headSize)],
    [`${kind}.attention.value_length`, whole(headSize)],
    [`${kind}.attention.layer_norm_rms_epsilon`, decimal(architecture.normEpsilon)],
    [`${kind}.rope.dimension_count`, whole(headSize)],
    [`${kind}.rope.freq_base`, decimal(rotary.theta)],
    ...(rotary.attentionFactor === 1
      ? []
      : [[`${kind}.rope.scaling.attn_factor`, decimal(rotary.attentionFactor)] as const]),
  ]);
}

/**
 * The longest text that the file promises: no longer than attention looks back, since llama.cpp would look further.
 *
 * @param architecture What the model computes
 * @returns Tokens
 */
export function contextLength({ maxPositions, slidingWindow }: Architecture): number {
  return Math.min(maxPositions, slidingWindow ?? maxPositions);
}

/**
 * What the frequencies of the rotary embedding are divided by, as the tensor `rope_freqs.weight` holds it. It says
 * exactly what every kind of scaling comes to, which keys do for some kinds alone.
 *
 * @param architecture What the model computes
 * @returns `[headSize / 2]`; undefined where nothing is scaled
 */
export function rotaryDivisors({ headSize, rotary }: Architecture): Float32Array | undefined {
  const plain = rotaryEmbedding({ ...DEFAULT_ROTARY, headSize, theta: rotary.theta });
  const divisors = Float32Array.from(
    plain.inverseFrequencies,
    (frequency, pair) => frequency / rotary.inverseFrequencies[pair],
  );
  return divisors.every((divisor) => divisor === 1) ? undefined : divisors;
}
