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

Deno.test("memoryNeeds() of Gram matrices, by hand", () => {
  const squares = 4000 ** 2 + 1000 ** 2;
  assertEquals(needOf(pruneTask(round), "Gram"), 24 * squares + 4 * 4000 ** 2 + block);
});

Deno.test("memoryNeeds() of 'obs', by hand", () => {
  const squares = 4000 ** 2 + 1000 ** 2;
  const wanted = 32 * 4000 ** 2 + 28 * 4000 * 1000 + 4 * squares;
  assertEquals(needOf(pruneTask(round), "'obs'"), wanted);
});

Deno.test("memoryNeeds() of the refit block by block, by hand", () => {
  // Half of 4000 channels stay.
  const wanted = 24 * 2000 ** 2 + 56 * 2000 * 1000 + 5 * 0.5 * parameters + block;
  assertEquals(needOf(pruneTask(round), "the refit"), wanted);
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
