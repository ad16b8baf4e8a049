/** The invariants of a pruner: each is a promise that a user relies on without knowing. */
import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { join } from "@std/path";
import { applyPlan } from "../../core/apply/apply.ts";
import { collect } from "../../core/calibrate/collect.ts";
import { mergeStatistics } from "../../core/calibrate/merge.ts";
import type { Statistics } from "../../core/calibrate/types.ts";
import type { Engine } from "../../core/engine/types.ts";
import { blockTensors } from "../../core/model/open.ts";
import { memoryTensor, readTensor, readTensorBytes } from "../../core/model/safetensors.ts";
import type { BlockTensors, MemoryTensor, Model } from "../../core/model/types.ts";
import { prunableParameters } from "../../core/model/units.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import type { Plan } from "../../core/plan/types.ts";
import { cutWindows } from "../../core/text/windows.ts";
import { domains, smallStatistics, withSmallModel } from "../helpers/pipeline.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const tokens = Int32Array.from({ length: 24 }, (_, index) => 97 + (7 * index) % 26);

/** Logits of every position, with the blocks' tensors as given. */
async function logitsOf(
  engine: Engine,
  model: Model,
  tensorsOf: (layer: number) => Promise<BlockTensors> | BlockTensors,
): Promise<Float32Array> {
  const embedding = await engine.openEmbedding(model);
  let hidden = await embedding.lookup(tokens);
  await embedding.close();
  for (const [layer, shape] of model.architecture.layers.entries()) {
    const block = await engine.openBlock({
      architecture: model.architecture,
      shape,
      tensors: await tensorsOf(layer),
      capture: "none",
    });
    hidden = (await block.run(hidden, 1, tokens.length)).hidden;
    await block.close();
  }
  const head = await engine.openHead(model);
  const logits = await head.logits(hidden);
  await head.close();
  return logits;
}

/** The dense block with the columns of removed units set to zero, which silences their activations. */
async function masked(model: Model, plan: Plan, layer: number): Promise<BlockTensors> {
  const { headSize } = model.architecture;
  const { queryHeads, keyValueHeads } = model.architecture.layers[layer];
  const perGroup = headSize * queryHeads / keyValueHeads;
  const neurons = new Set(plan.layers[layer].ffnKept);
  const groups = new Set(plan.layers[layer].keyValueHeadsKept);
  const tensors = new Map(blockTensors(model, layer));
  const silence = async (
    role: "down_proj.weight" | "o_proj.weight",
    stays: (c: number) => boolean,
  ) => {
    const tensor = tensors.get(role)!;
    const columns = tensor.shape[1];
    const data = (await readTensor(tensor)).map((value, at) => stays(at % columns) ? value : 0);
    tensors.set(role, memoryTensor(tensor.shape, data));
  };
  await silence("down_proj.weight", (channel) => neurons.has(channel));
  await silence("o_proj.weight", (channel) => groups.has(Math.floor(channel / perGroup)));
  return tensors;
}

for (const shape of ["uniform", "adaptive"] as const) {
  Deno.test(`A pruned model equals the dense one with the removed units silenced (${shape})`, () =>
    withSmallModel((model, engine) =>
      withTemporaryFolder(async (directory) => {
        const statistics = await smallStatistics(engine, model);
        const plan = makePlan(model, statistics, { sparsity: 0.4, shape, refit: "none" });
        const { model: pruned } = await applyPlan(model, plan, { directory });
        const expected = await logitsOf(engine, model, (layer) => masked(model, plan, layer));
        const found = await logitsOf(engine, pruned, (layer) => blockTensors(pruned, layer));
        assertEquals(found.length, expected.length);
        found.forEach((value, at) => assertAlmostEquals(value, expected[at], 1e-4));
        const dense = await logitsOf(engine, model, (layer) => blockTensors(model, layer));
        assert(found.some((value, at) => Math.abs(value - dense[at]) > 1e-3), "nothing was cut");
      })
    ));
}

for (const dtype of ["f32", "f16", "bf16"] as const) {
  Deno.test(`Sparsity 0 gives back every tensor bit for bit (${dtype})`, () =>
    withSmallModel((model, engine) =>
      withTemporaryFolder(async (directory) => {
        const statistics = await smallStatistics(engine, model);
        for (const refit of ["none", "lsq"] as const) {
          const plan = makePlan(model, statistics, { sparsity: 0, refit });
          const folder = join(directory, refit);
          const { model: same } = await applyPlan(model, plan, { directory: folder, statistics });
          assertEquals([...same.tensors.keys()].sort(), [...model.tensors.keys()].sort());
          for (const [name, view] of model.tensors) {
            assertEquals(
              await readTensorBytes(same.tensors.get(name)!),
              await readTensorBytes(view),
              name,
            );
          }
        }
      }), { dtype }));
}

Deno.test("Sparsity asked is sparsity counted in the files, to half a percent or one unit", () =>
  withSmallModel((model, engine) =>
    withTemporaryFolder(async (directory) => {
      const statistics = await smallStatistics(engine, model);
      const before = prunableParameters(model.architecture);
      let run = 0;
      for (const method of ["gprune", "flap", "wanda-sp", "magnitude", "random"] as const) {
        for (const shape of ["uniform", "adaptive"] as const) {
          for (const structures of [["ffn"], ["ffn", "heads"]] as const) {
            for (const sparsity of [0.1, 0.33, 0.5, 0.7]) {
              const options = { method, shape, structures, sparsity, refit: "none" } as const;
              const plan = makePlan(model, statistics, options);
              const folder = join(directory, `${run++}`);
              const { model: pruned } = await applyPlan(model, plan, { directory: folder });
              const after = prunableParameters(pruned.architecture);
              const prunable = structures.reduce((sum, kind) => sum + before[kind], 0);
              const left = structures.reduce((sum, kind) => sum + after[kind], 0);
              const counted = 1 - left / prunable;
              // Where all layers get the same sizes, one unit is one neuron in every layer.
              const alike = shape === "uniform" || (method !== "gprune" && method !== "flap");
              const unit = 3 * 32 * (alike ? 3 : 1) / prunable;
              const allowed = Math.max(0.005, unit);
              assert(
                Math.abs(counted - sparsity) <= allowed,
                `${JSON.stringify(options)}: ${counted}`,
              );
              assertAlmostEquals(plan.result.sparsity, counted, 1e-12);
              assertEquals(pruned.parameters, model.parameters - (prunable - left));
            }
          }
        }
      }
    })
  ));

Deno.test("The order of domains does not change the plan", () =>
  withSmallModel(async (model, engine) => {
    const plan = async (texts: typeof domains) =>
      makePlan(model, await smallStatistics(engine, model, {}, texts), {
        sparsity: 0.5,
        shape: "adaptive",
      });
    assertEquals(await plan(domains), await plan(domains.toReversed()));
  }));

Deno.test("The order of windows does not change the plan", () =>
  withSmallModel(async (model, engine) => {
    const tokenizer = await model.tokenizer();
    const windowed = (turned: boolean) =>
      domains.map(({ name, text }) => {
        const windows = cutWindows(tokenizer.encode(text), 32);
        const calibration = windows.slice(0, 12), heldOut = windows.slice(12, 16);
        return turned
          ? { name, calibration: calibration.toReversed(), heldOut: heldOut.toReversed() }
          : { name, calibration, heldOut };
      });
    const plan = async (turned: boolean) => {
      const layers = await collect(engine, model, windowed(turned), { gram: false });
      const statistics = { ...await smallStatistics(engine, model, { learn: false }), layers };
      const known = domains.map(({ name }) => statistics.domains.find((d) => d.name === name)!);
      return makePlan(model, { ...statistics, domains: known }, {
        sparsity: 0.5,
        metric: "wanda-sp",
        refit: "none",
      });
    };
    assertEquals((await plan(false)).layers, (await plan(true)).layers);
  }));

Deno.test("The seed changes what is sampled, and nothing else does", () =>
  withSmallModel(async (model, engine) => {
    const run = (seed: number) => smallStatistics(engine, model, { seed });
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    assertEquals(sums(first), sums(again));
    assertEquals(first.learned, again.learned);
    assertNotEquals(sums(first), sums(other));
  }));

function sums(statistics: Statistics): unknown {
  return statistics.layers.map(({ ffn, heads }) =>
    [ffn, heads].map((kind) => [
      kind.domains.map(({ sum, sumOfSquares }) => [[...sum], [...sumOfSquares]]),
      [...kind.obs!.order],
    ])
  );
}

Deno.test("Statistics merged from parts equal statistics of the whole", () =>
  withSmallModel(async (model, engine) => {
    const tokenizer = await model.tokenizer();
    const part = async (from: number, to: number): Promise<Statistics> => {
      const windows = domains.map(({ name, text }) => ({
        name,
        calibration: cutWindows(tokenizer.encode(text), 32).slice(from, to),
        heldOut: [],
      }));
      return {
        schema: "gprune.statistics/1",
        model: {
          source: model.source,
          fingerprint: model.fingerprint,
          layers: model.architecture.layers,
        },
        seed: 0,
        domains: windows.map(({ name, calibration }) => ({
          name,
          tokens: 32 * calibration.length,
          windows: calibration.length,
          heldOutWindows: 0,
          seqLen: 32,
          sha256: "same text",
        })),
        layers: await collect(engine, model, windows, { gram: true }),
      };
    };
    const merged = await mergeStatistics(await part(0, 5), await part(5, 16));
    const whole = await part(0, 16);
    assertEquals(merged.domains, whole.domains);
    for (const [layer, { ffn, heads }] of whole.layers.entries()) {
      for (
        const [kind, found] of [[ffn, merged.layers[layer].ffn], [
          heads,
          merged.layers[layer].heads,
        ]]
      ) {
        kind.domains.forEach((domain, index) => {
          const other = found.domains[index];
          assertEquals(other.tokens, domain.tokens);
          close(other.sum, domain.sum);
          close(other.sumOfSquares, domain.sumOfSquares);
          close((other.gram as MemoryTensor).data, (domain.gram as MemoryTensor).data);
        });
      }
    }
  }));

/** Equal to float32 precision of the largest number. */
function close(found: ArrayLike<number>, expected: ArrayLike<number>): void {
  const scale = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  Array.from(expected).forEach((value, at) => assertAlmostEquals(found[at], value, 1e-5 * scale));
}

Deno.test("More sparsity never keeps a unit that less sparsity removed", () =>
  withSmallModel(async (model, engine) => {
    const statistics = await smallStatistics(engine, model);
    const kept = (sparsity: number) =>
      makePlan(model, statistics, { sparsity, structures: ["ffn"] }).layers
        .map(({ ffnKept }) => new Set(ffnKept));
    const less = kept(0.2), more = kept(0.6);
    more.forEach((units, layer) => assert([...units].every((unit) => less[layer].has(unit))));
  }));
