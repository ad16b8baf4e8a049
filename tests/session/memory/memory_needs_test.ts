import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ordinaryLimits } from "../../../core/engine/memory.ts";
import { OptionError } from "../../../core/errors.ts";
import type { Architecture } from "../../../core/model/types.ts";
import {
  fixedBytes,
  heldBytes,
  leastBytes,
  memoryNeeds,
  type MemoryTask,
  promisedLimits,
} from "../../../core/session/memory/memory_needs.ts";

interface Sizes {
  readonly layers: number;
  readonly hidden: number;
  readonly ffnWidth: number;
  readonly headSize: number;
  readonly queryHeads: number;
  readonly keyValueHeads: number;
  readonly vocabulary: number;
}

function llama(sizes: Sizes): Architecture {
  const { ffnWidth, queryHeads, keyValueHeads, headSize } = sizes;
  return {
    family: "llama",
    hiddenSize: sizes.hidden,
    headSize,
    vocabularySize: sizes.vocabulary,
    maxPositions: 4096,
    normEpsilon: 1e-5,
    activation: "silu",
    rotary: { theta: 1e4, scaling: "default", inverseFrequencies: [1], attentionFactor: 1 },
    tiedEmbedding: false,
    layers: Array.from({ length: sizes.layers }, () => ({ ffnWidth, queryHeads, keyValueHeads })),
  };
}

const round: Sizes = {
  layers: 10,
  hidden: 1000,
  ffnWidth: 4000,
  headSize: 100,
  queryHeads: 10,
  keyValueHeads: 5,
  vocabulary: 10_000,
};

const threeBillion: Sizes = {
  layers: 28,
  hidden: 3072,
  ffnWidth: 8192,
  headSize: 128,
  queryHeads: 24,
  keyValueHeads: 8,
  vocabulary: 32_000,
};

function pruneTask(sizes: Sizes, seqLen = 50): MemoryTask {
  return {
    architecture: llama(sizes),
    bytesPerNumber: 2,
    seqLen,
    calibration: { domains: 5, self: true, gram: true, metric: "obs", learn: false },
    apply: { refit: "lsq", sequential: true, largestShare: 0.5 },
    tries: true,
    evaluates: true,
  };
}

function plainTask(sizes: Sizes, seqLen = 50): MemoryTask {
  const task = pruneTask(sizes, seqLen);
  return {
    ...task,
    calibration: { ...task.calibration!, gram: false, metric: "wifv" },
    apply: { refit: "none", sequential: false, largestShare: 0.5 },
  };
}

/** 100 tokens, two texts of 50; nothing converted once. */
const limits = {
  ...ordinaryLimits,
  batchTokens: 100,
  convertedBytes: 0,
  tableBytes: 0,
  headBytes: Infinity,
};

function needOf(task: MemoryTask, word: string): number {
  return memoryNeeds(task, limits).find(({ what }) => what.includes(word))!.bytes;
}

// Parameters of a block: q and o 1000², k and v 500 · 1000, three FFN matrices 4000 · 1000, two norms of 1000.
const parameters = 2 * 1_000_000 + 2 * 500_000 + 3 * 4_000_000 + 2000;
// Mapped in 2 bytes, and one and a half of the largest matrices in float32.
const session = 2 * parameters + 1.5 * 4 * 4_000_000;
// 3 · 4000 + 6 · 1000 + 1000 + 2 · 500 numbers a token; scores of two texts of 50² in 10 heads.
const block = session + 4 * 100 * 20_000 + 2 * 4 * 10 * 50 * 50;

Deno.test("memoryNeeds() of a block, by hand", () => {
  assertEquals(needOf(pruneTask(round), "a block"), block);
});

// Six strips of 672 channels, the last of 640, and of 176 and 120: tiles on and below the diagonal, in float32.
const tiles = 4 * (4000 ** 2 + 5 * 672 ** 2 + 640 ** 2 + 1000 ** 2 + 5 * 176 ** 2 + 120 ** 2) / 2;
const squares = 4000 ** 2 + 1000 ** 2;

Deno.test("memoryNeeds() of Gram matrices, by hand", () => {
  assertEquals(needOf(pruneTask(round), "Gram"), 16 * squares + tiles + block);
});

Deno.test("memoryNeeds() of Gram matrices in one piece asks for another where texts are run in parts", () => {
  const wide = pruneTask({ ...round, ffnWidth: 5000, headSize: 20 });
  const bytes = (scoreBytes: number) =>
    memoryNeeds(wide, { ...limits, scoreBytes }).find(({ what }) => what.includes("Gram"))!.bytes;
  const scores = 4 * 10 * 50 ** 2;
  // Beside the scores themselves, of one text and not two.
  assertEquals(bytes(scores) - bytes(2 * scores), 4 * (5000 ** 2 + 200 ** 2) - scores);
});

Deno.test("memoryNeeds() of 'obs', by hand", () => {
  // Two matrices, a half and a stripe; two copies of 4 Mi numbers, thin factors; W, and what waits to be saved.
  const matrices = 21 * 4000 ** 2 + Math.min(4 * 4000 ** 2, 64 * 1024 ** 2) + 12_288 * 4000;
  const wanted = matrices + 4 * 4000 * 1000 + 4 * squares + tiles + session;
  assertEquals(needOf(pruneTask(round), "'obs'"), wanted);
});

Deno.test("memoryNeeds() of the refit block by block, by hand", () => {
  // Half of 4000 channels stay, in float32; a Gram matrix, versions of W in 28 bytes, four copies of pieces of a quarter.
  const fit = 8 * 2000 ** 2 + 28 * 2000 * 1000 + 2 * 4 * 2000 ** 2;
  assertEquals(needOf(pruneTask(round), "the refit"), 4 * 0.5 * parameters + fit);
  // With much activation it is the sums that take most: halves of two, with W twice. Tensors in memory are not mapped.
  const long = memoryNeeds(pruneTask(round), { ...limits, batchTokens: 1000 });
  const [longBlock, refit] = ["a block", "the refit"].map((word) =>
    long.find(({ what }) => what.includes(word))!.bytes
  );
  assertEquals(refit, longBlock + 12 * (2000 ** 2 + 2000 * 1000));
});

Deno.test("memoryNeeds() of the refit of single layers, by hand", () => {
  const task = pruneTask(round);
  const calibration = { ...task.calibration!, metric: "wifv" as const, learn: true };
  // Gram matrices to fit and to judge in 8 and 4 bytes and a stripe in 1, W in 28 bytes; the block in float32.
  const wanted = 13 * 4000 ** 2 + 28 * 4000 * 1000 + 4 * parameters;
  const { apply: _, ...learning } = { ...task, calibration };
  assertEquals(
    needOf(learning, "the refit"),
    Math.max(
      wanted,
      14 * 4000 ** 2 +
        20 * 4000 * 1000 + 4 * 4000 ** 2 + 4 * parameters,
    ),
  );
});

Deno.test("memoryNeeds() of the head, whole and in slices, by hand", () => {
  // 10,000 · 1000 numbers in 2 and 4 bytes, 256 rows of logits three times in 4 bytes.
  assertEquals(needOf(pruneTask(round), "head"), 6 * 10_000_000 + 12 * 256 * 10_000);
  const sliced = memoryNeeds(pruneTask(round), { ...limits, headBytes: 400_000 });
  const { bytes } = sliced.find(({ what }) => what.includes("head"))!;
  assertEquals(bytes, 6 * 100 * 1000 + 12 * 256 * 100);
});

Deno.test("heldBytes() is what is fixed, a tokenizer, and numbers for each channel", () => {
  const channels = 10 * (4000 + 1000);
  const wanted = fixedBytes + 1024 * 10_000 + channels * (16 * 5 + 100);
  assertEquals(heldBytes(pruneTask(round)), wanted);
});

Deno.test("memoryNeeds() of twice the layers are the same, the held numbers of channels excepted", () => {
  const deep = { ...threeBillion, layers: 2 * threeBillion.layers };
  const others = (sizes: Sizes) =>
    memoryNeeds(pruneTask(sizes), { ...limits, cacheBytes: 0 })
      .filter(({ what }) => what !== "sampling from the model");
  assertEquals(others(deep), others(threeBillion));
  const channels = threeBillion.layers * (8192 + 3072);
  const more = heldBytes(pruneTask(deep)) - heldBytes(pruneTask(threeBillion));
  assertEquals(more, channels * (16 * 5 + 100));
});

Deno.test("promisedLimits() gives 3 B and 6 B parameters in 3 GB what they need without Gram matrices", () => {
  for (const layers of [28, 56]) {
    const limits = promisedLimits(plainTask({ ...threeBillion, layers }), 3e9);
    assertEquals(limits.batchTokens, 4096);
    assert(limits.streamBytes > 0);
  }
});

Deno.test("promisedLimits() gives 3 B parameters in 3 GB what the defaults need, in windows of 2,048 tokens", () => {
  const task = pruneTask(threeBillion, 2048);
  promisedLimits({
    ...task,
    calibration: { ...task.calibration!, domains: 6, learn: true },
    apply: { ...task.apply!, largestShare: 1 },
  }, 3e9);
});

Deno.test("promisedLimits() refuses, with what is needed and what would fit", () => {
  const error = assertThrows(() => promisedLimits(pruneTask(threeBillion), 2e9), OptionError);
  const [, needed] = /give --memory ([0-9.]+)GB/.exec(error.message) ?? [];
  assert(error.message.startsWith("Cannot keep to 2 GB of memory: "), error.message);
  assert(error.message.endsWith(", or --metric wifv --refit none"), error.message);
  promisedLimits(pruneTask(threeBillion), 1e9 * Number(needed));
});

Deno.test("promisedLimits() names a shorter window where that is enough", () => {
  const task = plainTask({ ...round, queryHeads: 40, keyValueHeads: 10 }, 4096);
  const least = leastBytes({ ...task, seqLen: 512 });
  const error = assertThrows(() => promisedLimits(task, least), OptionError);
  assert(error.message.endsWith(", or --seq-len 512"), error.message);
});

Deno.test("promisedLimits() names nothing to lower where nothing helps", () => {
  const error = assertThrows(() => promisedLimits(plainTask(round), 50e6), OptionError);
  assert(/give --memory [0-9.]+(MB|GB)$/.test(error.message), error.message);
});

const sizes = fc.record({
  layers: fc.integer({ min: 1, max: 100 }),
  hidden: fc.integer({ min: 8, max: 9000 }),
  ffnWidth: fc.integer({ min: 8, max: 30_000 }),
  headSize: fc.constantFrom(8, 64, 128),
  queryHeads: fc.constantFrom(8, 32),
  keyValueHeads: fc.constantFrom(1, 4, 8),
  vocabulary: fc.integer({ min: 256, max: 260_000 }),
});

Deno.test("promisedLimits() adds up to no more than the promise, or refuses", () => {
  fc.assert(fc.property(
    sizes,
    fc.boolean(),
    fc.constantFrom(32, 100, 512, 2048),
    fc.integer({ min: 3e8, max: 64e9 }),
    (sizes, plain, seqLen, bytes) => {
      const task = plain ? plainTask(sizes, seqLen) : pruneTask(sizes, seqLen);
      let limits;
      try {
        limits = promisedLimits(task, bytes);
      } catch (error) {
        assert(error instanceof OptionError);
        return;
      }
      const largest = Math.max(...memoryNeeds(task, limits).map((need) => need.bytes));
      assert(limits.streamBytes >= 0);
      assert(heldBytes(task) + largest + limits.streamBytes <= bytes);
    },
  ));
});

Deno.test("leastBytes() is enough", () => {
  fc.assert(
    fc.property(sizes, (sizes) => {
      const task = plainTask(sizes);
      promisedLimits(task, leastBytes(task));
    }),
    { numRuns: 50 },
  );
});
