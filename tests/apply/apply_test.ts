import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { applyPlan } from "../../core/apply/apply.ts";
import { refitOne } from "../../core/apply/refit_one.ts";
import { prunedBlockTensors } from "../../core/apply/pruned_block.ts";
import { refitWeights } from "../../core/apply/moments.ts";
import { CancelledError, ExportError, PlanError, StatisticsError } from "../../core/errors.ts";
import { blockTensors, openModel } from "../../core/model/open.ts";
import { decode, readTensor, readTensorBytes } from "../../core/model/safetensors.ts";
import type { Model, TensorView } from "../../core/model/types.ts";
import { prunableParameters } from "../../core/model/units.ts";
import type { LayerPlan } from "../../core/plan/types.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { planOf, randomStatistics } from "../helpers/random-statistics.ts";

async function withModel(
  options: RandomModelOptions,
  use: (model: Model, directory: string) => Promise<void>,
): Promise<void> {
  await withRandomModel(options, async (folder) => {
    const directory = await Deno.makeTempDir();
    try {
      await use(await openModel(folder), directory);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

const everySecond = (count: number) => Array.from({ length: count / 2 }, (_, i) => 2 * i);
const CUT = { ffnKept: everySecond(48), keyValueHeadsKept: [1] };

Deno.test("applyPlan() with nothing to remove is the identity, bit for bit, in every data type", async () => {
  for (const dtype of ["f32", "f16", "bf16", "f64"] as const) {
    await withModel({ dtype, attentionBias: true, tied: false }, async (model, directory) => {
      const statistics = randomStatistics(model, { tokens: 50 });
      for (const refit of ["none", "lsq", "bias"] as const) {
        const plan = planOf(model, [], { refit });
        const applied = await applyPlan(model, plan, { directory, statistics });
        assertEquals(applied.refits, []);
        assertEquals([...applied.model.tensors.keys()].sort(), [...model.tensors.keys()].sort());
        for (const [name, view] of model.tensors) {
          const copy = applied.model.tensors.get(name)!;
          assertEquals(copy.dataType, view.dataType);
          assertEquals(await readTensorBytes(copy), await readTensorBytes(view), name);
        }
      }
    });
  }
});

Deno.test("applyPlan() keeps the bits of what stays, in every data type", async () => {
  for (const dtype of ["f32", "f16", "bf16", "f64"] as const) {
    await withModel({ dtype, attentionBias: true, mlpBias: true }, async (model, directory) => {
      const applied = await applyPlan(model, planOf(model, [CUT, CUT]), { directory });
      const [before, after] = [model, applied.model].map((m) => blockTensors(m, 1));
      const { headSize: size, hiddenSize: hidden } = model.architecture;
      const numbers = async (tensors: typeof before, role: Parameters<typeof before.get>[0]) =>
        await readTensor(tensors.get(role)!);
      const dense = await numbers(before, "down_proj.weight");
      assertEquals(await numbers(after, "down_proj.weight"), dense.filter((_, at) => at % 2 === 0));
      const gate = await numbers(before, "gate_proj.weight");
      const evenRows = gate.filter((_, at) => Math.floor(at / hidden) % 2 === 0);
      assertEquals(await numbers(after, "gate_proj.weight"), evenRows);
      const upBias = await numbers(before, "up_proj.bias");
      assertEquals(await numbers(after, "up_proj.bias"), upBias.filter((_, at) => at % 2 === 0));
      // Key/value head 1, and query heads 2 and 3 that share it.
      const keys = await numbers(before, "k_proj.weight");
      assertEquals(await numbers(after, "k_proj.weight"), keys.slice(size * hidden));
      const queries = await numbers(before, "q_proj.bias");
      assertEquals(await numbers(after, "q_proj.bias"), queries.slice(2 * size));
      const output = await numbers(before, "o_proj.weight");
      const right = output.filter((_, at) => at % (4 * size) >= 2 * size);
      assertEquals(await numbers(after, "o_proj.weight"), right);
      assertEquals(await numbers(after, "o_proj.bias"), await numbers(before, "o_proj.bias"));
      const view = after.get("down_proj.weight") as TensorView;
      assertEquals(view.dataType, model.dataType);
    });
  }
});

Deno.test("applyPlan() gives an FFN that equals the dense one with its removed neurons masked", async () => {
  await withModel({ layers: 1 }, async (model, directory) => {
    const applied = await applyPlan(model, planOf(model, [CUT]), { directory });
    const x = Float32Array.from({ length: 32 }, (_, i) => Math.sin(i));
    const dense = await feedForward(model, x, (neuron) => neuron % 2 === 0);
    const pruned = await feedForward(applied.model, x, () => true);
    dense.forEach((value, i) => assertAlmostEquals(pruned[i], value, 1e-6));
  });
});

async function feedForward(
  model: Model,
  x: Float32Array,
  stays: (neuron: number) => boolean,
): Promise<number[]> {
  const tensors = blockTensors(model, 0);
  const [gate, up, down] = await Promise.all(
    (["gate_proj.weight", "up_proj.weight", "down_proj.weight"] as const)
      .map((role) => readTensor(tensors.get(role)!)),
  );
  const width = gate.length / x.length;
  const dot = (rows: Float32Array, row: number, vector: ArrayLike<number>) => {
    let sum = 0;
    for (let i = 0; i < vector.length; i++) sum += rows[row * vector.length + i] * vector[i];
    return sum;
  };
  const neurons = Array.from({ length: width }, (_, neuron) => {
    const g = dot(gate, neuron, x);
    return stays(neuron) ? g / (1 + Math.exp(-g)) * dot(up, neuron, x) : 0;
  });
  return Array.from(x, (_, i) => dot(down, i, neurons));
}

Deno.test("applyPlan() writes the sparsity that the plan counts", async () => {
  await withModel({ attentionBias: true }, async (model, directory) => {
    const kept = [CUT, { ffnKept: [0, 5, 47] }];
    const plan = planOf(model, kept);
    const { model: pruned } = await applyPlan(model, plan, { directory });
    const left = prunableParameters(pruned.architecture);
    assertEquals(left.ffn + left.heads, plan.result.prunableAfter);
    const gone = plan.result.prunableBefore - plan.result.prunableAfter;
    assertEquals(model.parameters - pruned.parameters, gone);
    assertEquals((await Deno.stat(`${directory}/model.safetensors`)).size, pruned.bytes);
  });
});

Deno.test("applyPlan() writes a stock config for like layers and per_layer_config for others", async () => {
  await withModel(
    { config: { dtype: "float32", torch_dtype: undefined } },
    async (model, directory) => {
      const uniform = await applyPlan(model, planOf(model, [CUT, CUT]), { directory });
      const { config } = uniform.model;
      assertEquals(
        [
          config.intermediate_size,
          config.num_attention_heads,
          config.num_key_value_heads,
          config.head_dim,
        ],
        [24, 2, 1, 8],
      );
      assertEquals(config.per_layer_config, undefined);
      assert(!JSON.stringify(config).includes(model.folder.replace(/[^/]*$/, "")));

      const plan = planOf(model, [{ ffnKept: [3, 4] }, { keyValueHeadsKept: [0] }]);
      const adaptive = await applyPlan(model, plan, { directory, dataType: "bf16" });
      assertEquals(adaptive.model.architecture.layers, [
        { ffnWidth: 2, keyValueHeads: 2, queryHeads: 4 },
        { ffnWidth: 48, keyValueHeads: 1, queryHeads: 2 },
      ]);
      assertEquals(adaptive.model.config.intermediate_size, 48);
      assertEquals(adaptive.model.config.dtype, "bfloat16");
      assertEquals(adaptive.model.config.torch_dtype, undefined);
      assertEquals(adaptive.model.config.per_layer_config, {
        "0": { intermediate_size: 2, num_attention_heads: 4, num_key_value_heads: 2 },
        "1": { intermediate_size: 48, num_attention_heads: 2, num_key_value_heads: 1 },
      });
      const tokens = await (await adaptive.model.tokenizer()).encode("It works");
      assertEquals(tokens, (await model.tokenizer()).encode("It works"));
    },
  );
});

Deno.test("applyPlan() prunes a pruned model of unequal layers again", async () => {
  const shapes = [
    { ffnWidth: 10, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 6, keyValueHeads: 1, queryHeads: 2 },
  ];
  await withModel({ shapes, queryHeads: 4, ffnWidth: 10 }, async (model, directory) => {
    const plan = planOf(model, [{ ffnKept: [1, 2, 3], keyValueHeadsKept: [0] }, {
      ffnKept: [0, 1, 5],
    }]);
    const { model: pruned } = await applyPlan(model, plan, { directory });
    const shape = { ffnWidth: 3, keyValueHeads: 1, queryHeads: 2 };
    assertEquals(pruned.architecture.layers, [shape, shape]);
    assertEquals(pruned.config.per_layer_config, undefined);
  });
});

Deno.test("applyPlan() writes the refit that refitOne() gives, and tells what it came to", async () => {
  await withModel({}, async (model, directory) => {
    const statistics = randomStatistics(model, { domains: ["a", "b", "self"] });
    const plan = planOf(model, [CUT, CUT], { refit: "lsq" });
    const { model: pruned, refits } = await applyPlan(model, plan, { directory, statistics });
    assertEquals(refits.length, 4);
    for (const row of refits) {
      assertEquals([row.refit, row.fallback], ["lsq", undefined]);
      assert(row.refittedError < row.plainError);
    }
    const domainWeights = [0.25, 0.25, 0.5];
    for (const structure of ["ffn", "heads"] as const) {
      const role = structure === "ffn" ? "down_proj.weight" : "o_proj.weight";
      const alone = await refitOne(model, statistics, plan.layers[1], structure, {
        refit: "lsq",
        domainWeights,
      });
      const written = await readTensor(blockTensors(pruned, 1).get(role)!);
      assertEquals(written, alone.weight);
      const tensors = await prunedBlockTensors(model, plan.layers[1], { [structure]: alone });
      assertEquals(await readTensor(tensors.get(role)!), written);
    }
  });
});

Deno.test("prunedBlockTensors() gives the tensors that applyPlan() writes", async () => {
  await withModel({ attentionBias: true }, async (model, directory) => {
    const plan = planOf(model, [CUT, CUT]);
    const { model: pruned } = await applyPlan(model, plan, { directory });
    const inMemory = await prunedBlockTensors(model, plan.layers[0]);
    for (const [role, written] of blockTensors(pruned, 0)) {
      const tensor = inMemory.get(role)!;
      assertEquals([tensor.shape, await readTensor(tensor)], [
        written.shape,
        await readTensor(written),
      ]);
    }
  });
});

Deno.test("applyPlan() by bias fills slots that the family has, zeros in the sister projections", async () => {
  await withModel({ dtype: "bf16" }, async (model, directory) => {
    const statistics = randomStatistics(model, { gram: false });
    const plan = planOf(model, [{ ffnKept: [0, 1] }, {}], { refit: "bias", method: "flap" });
    const { model: pruned, refits } = await applyPlan(model, plan, { directory, statistics });
    assertEquals([pruned.config.mlp_bias, pruned.config.attention_bias], [true, false]);
    assertEquals(refits.length, 1);
    const [first, second] = [0, 1].map((layer) => blockTensors(pruned, layer));
    assertEquals(first.get("gate_proj.bias")!.shape, [2]);
    assertEquals(await readTensor(first.get("up_proj.bias")!), new Float32Array(2));
    assertEquals(await readTensor(second.get("down_proj.bias")!), new Float32Array(32));
    const bias = await readTensor(first.get("down_proj.bias")!);
    assertNotEquals(bias, new Float32Array(32));
    const domainWeights = [1, 1];
    const alone = await refitOne(model, statistics, plan.layers[0], "ffn", {
      refit: "bias",
      domainWeights,
    });
    alone.bias!.forEach((value, i) => assertAlmostEquals(bias[i], value, Math.abs(value) / 100));
  });
});

Deno.test("applyPlan() by bias names the alternative where the family has no slot", async () => {
  await withModel({ modelType: "mistral" }, async (model, directory) => {
    const statistics = randomStatistics(model, { tokens: 10 });
    const plan = planOf(model, [CUT], { refit: "bias" });
    await assertRejects(
      () => applyPlan(model, plan, { directory, statistics }),
      PlanError,
      "use --refit lsq",
    );
    await applyPlan(model, plan, { directory, statistics, refit: "none" });
  });
});

Deno.test("refitWeights() gives published methods one calibration set and half of all to self", async () => {
  await withModel({}, (model) => {
    const names = ["code", "self", "wiki"];
    const of = (request: Parameters<typeof planOf>[2]) =>
      refitWeights(planOf(model, [], request), names);
    assertEquals(of({}), [0.25, 0.5, 0.25]);
    assertEquals(of({ method: "flap" }), [1, 0, 1]);
    assertEquals(of({ method: "wanda-sp", scoreDomains: ["wiki"] }), [0, 0, 1]);
    assertEquals(refitWeights(planOf(model, [], { method: "flap" }), ["self"]), [1]);
    return Promise.resolve();
  });
});

Deno.test("applyPlan() converts to the data type asked for", async () => {
  await withModel({ dtype: "f32" }, async (model, directory) => {
    const plan = planOf(model, [CUT, CUT]);
    const { model: half } = await applyPlan(model, plan, { directory, dataType: "f16" });
    assertEquals([half.dataType, half.config.torch_dtype], ["F16", "float16"]);
    const name = "model.embed_tokens.weight";
    const dense = await readTensor(model.tensors.get(name)!);
    const bytes = await readTensorBytes(half.tensors.get(name)!);
    assertEquals(decode(bytes, "F16"), dense.map((value) => new Float16Array([value])[0]));
  });
});

Deno.test("applyPlan() splits large weights into files with an index", async () => {
  await withModel({ sharded: true }, async (model, directory) => {
    const plan = planOf(model, [CUT, CUT]);
    const { model: pruned } = await applyPlan(model, plan, { directory, largestShard: 20_000 });
    const files = Array.from(Deno.readDirSync(directory), ({ name }) => name)
      .filter((name) => name.endsWith(".safetensors")).sort();
    assert(files.length > 2);
    assertEquals(files[0], `model-00001-of-${String(files.length).padStart(5, "0")}.safetensors`);
    assertEquals([...pruned.tensors.keys()].sort(), [...model.tensors.keys()].sort());
  });
});

Deno.test("applyPlan() refuses plans and statistics of another model", async () => {
  await withModel({}, async (model, directory) => {
    await withModel({ seed: 1 }, async (other) => {
      await assertRejects(
        () => applyPlan(model, planOf(other), { directory }),
        PlanError,
        "belongs to another model",
      );
      const plan = planOf(model, [CUT], { refit: "lsq" });
      await assertRejects(
        () =>
          applyPlan(model, plan, { directory, statistics: randomStatistics(other, { tokens: 9 }) }),
        StatisticsError,
        "belong to another model",
      );
      await assertRejects(
        () => applyPlan(model, plan, { directory }),
        StatisticsError,
        "--refit none",
      );
      const statistics = randomStatistics(model, { gram: false, tokens: 9 });
      await assertRejects(
        () => applyPlan(model, plan, { directory, statistics }),
        StatisticsError,
        "Gram matrices",
      );
    });
  });
});

Deno.test("applyPlan() refuses broken plans", async () => {
  await withModel({}, async (model, directory) => {
    const broken: [Partial<LayerPlan>, string][] = [
      [{ ffnKept: [] }, "'ffnKept' of layer 0 is empty"],
      [{ ffnKept: [0, 48] }, "names unit 48: the layer has units 0 to 47"],
      [{ ffnKept: [-1] }, "names unit -1"],
      [{ ffnKept: [0.5] }, "names unit 0.5"],
      [{ ffnKept: [3, 3] }, "not ascending: unit 3 follows 3"],
      [{ keyValueHeadsKept: [1, 0] }, "'keyValueHeadsKept' of layer 0 is not ascending"],
    ];
    for (const [kept, message] of broken) {
      await assertRejects(
        () => applyPlan(model, planOf(model, [kept]), { directory }),
        PlanError,
        message,
      );
    }
    const plan = planOf(model);
    const others = [
      { ...plan, layers: plan.layers.slice(1) },
      { ...plan, layers: plan.layers.toReversed() },
      { ...plan, schema: "gprune.plan/2" as typeof plan.schema },
    ];
    for (const other of others) {
      await assertRejects(() => applyPlan(model, other, { directory }), PlanError);
    }
    assertEquals([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("applyPlan() does not write over the model that it reads", async () => {
  await withModel({}, async (model) => {
    const before = await Deno.readFile(`${model.folder}/model.safetensors`);
    await assertRejects(
      () => applyPlan(model, planOf(model, [CUT]), { directory: `${model.folder}/.` }),
      ExportError,
      "choose another folder",
    );
    assertEquals(await Deno.readFile(`${model.folder}/model.safetensors`), before);
  });
});

Deno.test("applyPlan() stops when it is cancelled, and reports tensors until then", async () => {
  await withModel({}, async (model, directory) => {
    const controller = new AbortController();
    const done: number[] = [];
    await assertRejects(
      () =>
        applyPlan(model, planOf(model, [CUT]), {
          directory,
          signal: controller.signal,
          onProgress: ({ done: count, total, stage }) => {
            done.push(count);
            assertEquals([stage, total], ["apply", model.tensors.size]);
            if (count === 3) controller.abort();
          },
        }),
      CancelledError,
    );
    assertEquals(done, [1, 2, 3]);
  });
});
