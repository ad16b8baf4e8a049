/**
 * Every switch of the families on the card: random models that transformers computed, and made-up blocks with each
 * switch by itself on heads of many sizes.
 */
import { collect } from "../../../core/calibrate/collect.ts";
import type { BlockSpecification, Engine, KeyValueCache } from "../../../core/engine/types.ts";
import { openModel } from "../../../core/model/open.ts";
import {
  DEFAULT_ROTARY,
  rotaryEmbedding,
  type RotarySettings,
} from "../../../core/model/rotary.ts";
import type {
  Architecture,
  BlockRole,
  LayerShape,
  MemoryTensor,
} from "../../../core/model/types.ts";
import { blockTensorShape, STRUCTURES } from "../../../core/model/units.ts";
import { familyFixtures } from "../../helpers/family-fixtures.ts";
import { normalNumbers } from "../../helpers/random-model.ts";
import { assertClose, unpack, wholeLogits } from "../helpers.ts";
import { adapterIsMissing, assertSame, withEngines } from "./helpers.ts";

const ignore = await adapterIsMissing();

Deno.test({
  name: "openWebGpuEngine() gives the logits of transformers on a random model of every family",
  ignore,
  fn: async (t) => {
    await withEngines(async (webgpu, onnx) => {
      for (const { name, folder, reference } of familyFixtures) {
        await t.step(name, async () => {
          const model = await openModel(folder);
          const windows = reference.tokens.map((row) => Int32Array.from(row));
          const logits = await wholeLogits(webgpu, model, windows);
          assertClose(logits, unpack(reference.logits), 1e-4);
          assertSame("logits", logits, await wholeLogits(onnx, model, windows));
          const head = await webgpu.openHead(model);
          const rows = new Float32Array(3 * model.architecture.hiddenSize).fill(0.5);
          const [losses, own] = [
            await head.negativeLogLikelihoods(rows, Int32Array.of(1, 2, 3)),
            await head.logits(rows),
          ];
          assertClose(losses, lossesOf(own, [1, 2, 3]), 1e-5);
          await head.close();
        });
      }
    });
  },
});

Deno.test({
  name: "collect() gives the statistics of ONNX Runtime on a random model of every family",
  ignore,
  fn: async (t) => {
    await withEngines(async (webgpu, onnx) => {
      for (const { name, folder, reference } of familyFixtures) {
        await t.step(name, async () => {
          const model = await openModel(folder);
          const calibration = reference.tokens.map((row) => Int32Array.from(row));
          const domains = [{ name: "tokens", calibration, heldOut: [] }];
          const expected = await collect(onnx, model, domains, { gram: true });
          const actual = await collect(webgpu, model, domains, { gram: true });
          for (const [layer, statistics] of expected.entries()) {
            for (const structure of STRUCTURES) {
              const [own] = actual[layer][structure].domains;
              const [other] = statistics[structure].domains;
              assertSame(`Σ x² of ${layer}`, own.sumOfSquares, other.sumOfSquares);
              const grams = [own.gram, other.gram] as MemoryTensor[];
              assertSame(`Gram matrix of ${layer}`, grams[0].data, grams[1].data);
            }
          }
        });
      }
    });
  },
});

/** Negative log-likelihoods from logits, in float64. */
function lossesOf(logits: Float32Array, targets: readonly number[]): number[] {
  const vocabulary = logits.length / targets.length;
  return targets.map((target, row) => {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    return Math.log(own.reduce((sum, logit) => sum + Math.exp(logit), 0)) - own[target];
  });
}

interface Variant {
  readonly headSize: number;
  readonly queryHeads?: number;
  readonly keyValueHeads?: number;
  readonly architecture?: Partial<Architecture>;
  readonly attention?: LayerShape["attention"];
  readonly rotated?: number;
  readonly scaling?: Partial<RotarySettings>;
  readonly add?: readonly BlockRole[];
  readonly leave?: readonly BlockRole[];
}

const LLAMA: readonly BlockRole[] = [
  "attentionNorm.weight",
  "q_proj.weight",
  "k_proj.weight",
  "v_proj.weight",
  "o_proj.weight",
  "ffnNorm.weight",
  "gate_proj.weight",
  "up_proj.weight",
  "down_proj.weight",
];

const headNorms = { add: ["q_norm.weight", "k_norm.weight"] } as const;
const layerNorm = {
  architecture: { norm: "layer" },
  add: ["attentionNorm.bias", "ffnNorm.bias"],
} as const;

const variants: Readonly<Record<string, Variant>> = {
  "q/k norm of each head, 64": { headSize: 64, ...headNorms },
  "q/k norm of each head, 24": { headSize: 24, queryHeads: 3, keyValueHeads: 1, ...headNorms },
  "q/k norm of each head, 10": { headSize: 10, queryHeads: 3, keyValueHeads: 3, ...headNorms },
  "q/k norm of each head, 256": { headSize: 256, queryHeads: 2, keyValueHeads: 1, ...headNorms },
  "q/k norm of all heads, 80": {
    headSize: 80,
    architecture: { queryKeyNorm: "all-heads" },
    ...headNorms,
  },
  "LayerNorm with biases, 24": { headSize: 24, ...layerNorm },
  "LayerNorm, parallel residual, a quarter rotated, 80": {
    headSize: 80,
    rotated: 20,
    ...layerNorm,
    architecture: { norm: "layer", parallelResidual: true, activation: "gelu" },
  },
  "no gate, relu, learned positions, 128": {
    headSize: 128,
    queryHeads: 2,
    keyValueHeads: 2,
    rotated: 0,
    architecture: { activation: "relu" },
    leave: ["gate_proj.weight"],
  },
  "norms before and after counted from 1, soft cap, own scale, 256": {
    headSize: 256,
    queryHeads: 2,
    keyValueHeads: 1,
    architecture: {
      normOffset: 1,
      attentionSoftCap: 0.7,
      attentionScale: 0.11,
      activation: "gelu_tanh",
    },
    add: ["attentionPostNorm.weight", "ffnPostNorm.weight"],
  },
  "norms after alone, 64": {
    headSize: 64,
    leave: ["attentionNorm.weight", "ffnNorm.weight"],
    add: ["attentionPostNorm.weight", "ffnPostNorm.weight"],
  },
  "a local layer with a rotation of its own, 64": {
    headSize: 64,
    attention: "local",
    architecture: {
      slidingWindow: 7,
      localRotary: rotaryEmbedding({ ...DEFAULT_ROTARY, headSize: 64, theta: 100 }),
    },
  },
  "a global layer beside local ones, 24": {
    headSize: 24,
    attention: "global",
    architecture: { slidingWindow: 7 },
  },
  "a layer without rotation, 128": { headSize: 128, queryHeads: 2, attention: "unrotated" },
  "scaled rotation of half the channels, 64": {
    headSize: 64,
    rotated: 32,
    scaling: { scaling: "llama3", factor: 4, originalPositions: 16 },
  },
  "scaled rotation, 128": {
    headSize: 128,
    queryHeads: 2,
    keyValueHeads: 1,
    scaling: { scaling: "yarn", factor: 4, originalPositions: 16 },
  },
  "biases of all projections, 80": {
    headSize: 80,
    queryHeads: 2,
    keyValueHeads: 1,
    add: [
      "q_proj.bias",
      "k_proj.bias",
      "v_proj.bias",
      "o_proj.bias",
      "gate_proj.bias",
      "up_proj.bias",
      "down_proj.bias",
    ],
  },
};

/** A block with random weights. */
function blockOf(variant: Variant): BlockSpecification {
  const { headSize, rotated = headSize, add = [], leave = [] } = variant;
  const { queryHeads = 4, keyValueHeads = 2 } = variant;
  const rotary = rotaryEmbedding({ ...DEFAULT_ROTARY, headSize, rotated, ...variant.scaling });
  const shape = { ffnWidth: 45, queryHeads, keyValueHeads, attention: variant.attention };
  const architecture: Architecture = {
    family: "llama",
    hiddenSize: 36,
    headSize,
    vocabularySize: 1,
    maxPositions: 64,
    normEpsilon: 1e-5,
    activation: "silu",
    rotary,
    tiedEmbedding: true,
    layers: [shape],
    ...variant.architecture,
  };
  const next = normalNumbers(headSize);
  const roles = [...LLAMA.filter((role) => !leave.includes(role)), ...add];
  const tensors = new Map(roles.map((role): [BlockRole, MemoryTensor] => {
    const sizes = blockTensorShape(architecture, shape, role);
    const count = sizes.reduce((product, size) => product * size, 1);
    const scale = sizes.length === 1 ? 0.3 : 1 / Math.sqrt(sizes[1]);
    const mean = role.endsWith("orm.weight") ? 1 - (architecture.normOffset ?? 0) : 0;
    return [role, {
      shape: sizes,
      data: Float32Array.from({ length: count }, () => mean + scale * next()),
    }];
  }));
  return { architecture, shape, tensors, capture: "gram" };
}

const [texts, length] = [2, 19];

/** All that engines compute of a block, by name. */
async function numbersOf(
  engine: Engine,
  specification: BlockSpecification,
): Promise<ReadonlyMap<string, ArrayLike<number>>> {
  const { hiddenSize } = specification.architecture;
  const random = (seed: number) => {
    const next = normalNumbers(seed);
    return Float32Array.from({ length: texts * length * hiddenSize }, next);
  };
  const [hidden, stream] = [random(1), random(2)];
  const found = new Map<string, ArrayLike<number>>();
  const block = await engine.openBlock(specification);
  const output = await block.run(hidden, texts, length);
  await block.close();
  found.set("hidden", output.hidden);
  for (const kind of ["ffn", "heads"] as const) {
    found.set(`Σ x of ${kind}`, output.sums![kind].sum);
    found.set(`Gram matrix of ${kind}`, output.sums![kind].gram!);
    const fitting = await engine.openFittingBlock(specification, kind);
    const tokenScale = new Float32Array(texts * length).fill(0.7);
    const fit = await fitting.run(hidden, texts, length, { stream, tokenScale });
    await fitting.close();
    found.set(`cross sums of ${kind}`, fit.cross);
  }
  const cached = await engine.openCachedBlock(specification);
  let cache: KeyValueCache | undefined;
  // Twelve tokens of each text, then one at a time.
  for (const [first, last] of [[0, 12], [12, 13], [13, 14]]) {
    const part = new Float32Array(texts * (last - first) * hiddenSize);
    for (let text = 0; text < texts; text++) {
      const own = hidden.subarray(
        (text * length + first) * hiddenSize,
        (text * length + last) * hiddenSize,
      );
      part.set(own, text * own.length);
    }
    const continued = await cached.run(part, texts, last - first, cache);
    cache = continued.cache;
    found.set(`hidden from token ${first} on`, continued.hidden);
  }
  await cached.close();
  return found;
}

Deno.test({
  name: "blocks give the numbers of ONNX Runtime with every switch and heads of many sizes",
  ignore,
  fn: async (t) => {
    await withEngines(async (webgpu, onnx) => {
      for (const [name, variant] of Object.entries(variants)) {
        await t.step(name, async () => {
          const specification = blockOf(variant);
          const expected = await numbersOf(onnx, specification);
          const actual = await numbersOf(webgpu, specification);
          for (const [what, numbers] of expected) assertSame(what, actual.get(what)!, numbers);
        });
      }
    });
  },
});
