import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { CancelledError, ModelError } from "../../core/errors.ts";
import { blockTensors, openModel, outerTensor } from "../../core/model/open.ts";
import {
  encode,
  readSafetensorsHeader,
  readTensor,
  readTensorBytes,
  type TensorEntry,
  writeSafetensors,
} from "../../core/model/safetensors.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { SHARED, sharedIsMissing, withTemporaryFolder } from "../helpers/temporary.ts";

/** Rewrites the weights of a folder, each tensor changed, left out (undefined) or followed by others. */
async function rewrite(
  folder: string,
  change: (entry: TensorEntry) => TensorEntry | undefined,
  more: readonly TensorEntry[] = [],
): Promise<void> {
  const path = `${folder}/model.safetensors`;
  const { tensors } = await readSafetensorsHeader(path);
  const entries = tensors.flatMap((view) => {
    const { name, dataType, shape } = view;
    return change({ name, dataType, shape, bytes: () => readTensorBytes(view) }) ?? [];
  });
  await writeSafetensors(`${path}.new`, [...entries, ...more]);
  await Deno.rename(`${path}.new`, path);
}

const zeros = (name: string, shape: readonly number[]): TensorEntry => ({
  name,
  shape,
  dataType: "F32",
  bytes: () => encode(new Float32Array(shape.reduce((a, b) => a * b, 1)), "F32"),
});

Deno.test("openModel() describes a folder", async () => {
  await withRandomModel({ dtype: "bf16", layers: 3 }, async (folder) => {
    const model = await openModel(`${folder}/`);
    assertEquals(model.source, `${folder}/`);
    assertEquals(model.folder, folder);
    assertEquals(model.name, folder.split("/").at(-1));
    assertEquals(model.dataType, "BF16");
    assertEquals(model.architecture.layers.length, 3);
    assertEquals(model.config.model_type, "llama");
    assertEquals(model.companionFiles, ["tokenizer.json", "tokenizer_config.json"]);
    assertEquals(model.bytes, (await Deno.stat(`${folder}/model.safetensors`)).size);
    const numbers = [...model.tensors.values()].reduce((sum, view) => sum + view.byteLength / 2, 0);
    assertEquals(model.parameters, numbers);
    assert(/^[0-9a-f]{64}$/.test(model.fingerprint));
  });
});

const VARIANTS: readonly [name: string, options: RandomModelOptions, tensors: number][] = [
  ["tied", {}, 9],
  ["untied", { tied: false }, 9],
  ["with biases", { attentionBias: true, mlpBias: true }, 16],
  ["mistral", { modelType: "mistral" }, 9],
  ["float16", { dtype: "f16" }, 9],
  ["float64", { dtype: "f64" }, 9],
  ["sharded", { sharded: true }, 9],
  ["one key/value head", { keyValueHeads: 1 }, 9],
  ["as many key/value heads as query heads", { keyValueHeads: 4 }, 9],
  ["head size apart from hidden / heads", { headSize: 12 }, 9],
  [
    "layers of different sizes",
    {
      shapes: [
        { ffnWidth: 5, keyValueHeads: 1, queryHeads: 2 },
        { ffnWidth: 9, keyValueHeads: 3, queryHeads: 6 },
      ],
    },
    9,
  ],
];

for (const [name, options, count] of VARIANTS) {
  Deno.test(`openModel() finds every tensor of a model: ${name}`, async () => {
    await withRandomModel(options, async (folder) => {
      const model = await openModel(folder);
      const { architecture } = model;
      for (const [layer, shape] of architecture.layers.entries()) {
        const tensors = blockTensors(model, layer);
        assertEquals(tensors.size, count);
        const down = tensors.get("down_proj.weight")!;
        assertEquals(down.shape, [architecture.hiddenSize, shape.ffnWidth]);
        const query = tensors.get("q_proj.weight")!;
        assertEquals(query.shape[0], shape.queryHeads * architecture.headSize);
        assert((await readTensor(down)).every(Number.isFinite));
      }
      assertEquals(outerTensor(model, "finalNorm.weight").name, "model.norm.weight");
      assertEquals(
        outerTensor(model, "outputHead.weight").name,
        options.tied === false ? "lm_head.weight" : "model.embed_tokens.weight",
      );
    });
  });
}

Deno.test("blockTensors() names a layer that is not there", async () => {
  await withRandomModel({}, async (folder) => {
    const model = await openModel(folder);
    assertThrows(() => blockTensors(model, 2), ModelError, "layer 2");
    assertThrows(() => blockTensors(model, -1), ModelError, "it has 2 layers");
  });
});

Deno.test("openModel() gives copies of a model the same fingerprint, others another", async () => {
  const print = (options: RandomModelOptions) =>
    withRandomModel(options, async (folder) => (await openModel(folder)).fingerprint);
  assertEquals(await print({ seed: 1 }), await print({ seed: 1 }));
  assertNotEquals(await print({ seed: 1 }), await print({ seed: 2 }));
  assertNotEquals(await print({}), await print({ config: { rope_theta: 20000 } }));
});

Deno.test("openModel() sees a change in any tensor of a model that is hashed by samples", async () => {
  const options = {
    hidden: 512,
    ffnWidth: 4096,
    vocabulary: 8192,
    layers: 2,
    dtype: "f32",
  } as const;
  await withRandomModel(options, async (folder) => {
    const before = await openModel(folder);
    assert(before.bytes > 64 << 20);
    const view = before.tensors.get("model.layers.1.mlp.up_proj.weight")!;
    const file = await Deno.open(view.path, { write: true });
    await file.seek(view.offset + 10, Deno.SeekMode.Start);
    await file.write(new Uint8Array([1, 2, 3]));
    file.close();
    assertNotEquals((await openModel(folder)).fingerprint, before.fingerprint);
  });
});

Deno.test("openModel() takes an output head that is stored though it is tied, and old buffers", async () => {
  await withRandomModel({}, async (folder) => {
    const { parameters } = await openModel(folder);
    await rewrite(folder, (entry) => entry, [
      zeros("lm_head.weight", [257, 32]),
      zeros("model.layers.0.self_attn.rotary_emb.inv_freq", [4]),
    ]);
    const model = await openModel(folder);
    assertEquals(model.parameters, parameters);
    assertEquals(outerTensor(model, "outputHead.weight").name, "model.embed_tokens.weight");
  });
});

Deno.test("openModel() reads a folder through links, as the hub's own cache has them", async () => {
  await withRandomModel({}, async (folder) => {
    await withTemporaryFolder(async (links) => {
      for await (const { name } of Deno.readDir(folder)) {
        await Deno.symlink(`${folder}/${name}`, `${links}/${name}`);
      }
      const model = await openModel(links);
      const real = await Deno.realPath(`${folder}/model.safetensors`);
      assert([...model.tensors.values()].every(({ path }) => path === real));
      assertEquals(model.companionFiles.length, 2);
    });
  });
});

Deno.test("openModel() takes one weight file of any name", async () => {
  await withRandomModel({}, async (folder) => {
    await Deno.rename(`${folder}/model.safetensors`, `${folder}/weights.safetensors`);
    assertEquals((await openModel(folder)).tensors.size, 2 * 9 + 2);
  });
});

Deno.test("openModel() says what to give when there is no model", async () => {
  await assertRejects(
    () => openModel("/nowhere/model"),
    ModelError,
    "Cannot open model '/nowhere/model': no such folder; give a folder in the Hugging Face layout or a hub id such as org/name",
  );
  await assertRejects(() => openModel(""), ModelError, "Cannot open model ''");
  await withRandomModel({}, async (folder) => {
    await assertRejects(() => openModel(`${folder}/config.json`), ModelError, "it is a file; give");
    await assertRejects(
      () => openModel(`${folder}/config.json/x`),
      ModelError,
      "Cannot open model",
    );
  });
});

Deno.test("openModel() stops when it is cancelled", async () => {
  await withRandomModel({}, async (folder) => {
    await assertRejects(() => openModel(folder, { signal: AbortSignal.abort() }), CancelledError);
  });
});

type Damage = (folder: string) => Promise<void>;
const remove = (name: string): Damage => (folder) => Deno.remove(`${folder}/${name}`);
const replace = (name: string, text: string): Damage => (folder) =>
  Deno.writeTextFile(`${folder}/${name}`, text);
const INDEX = "model.safetensors.index.json";
const SHARD = "model-00002-of-00002.safetensors";
const UP = "model.layers.1.mlp.up_proj.weight";

const DAMAGED: readonly [
  name: string,
  options: RandomModelOptions,
  damage: Damage,
  message: string,
][] = [
  ["without config", {}, remove("config.json"), "it has no config.json"],
  ["with a broken config", {}, replace("config.json", "{"), "it is not JSON"],
  ["without weights", {}, remove("model.safetensors"), "it has no .safetensors file"],
  [
    "with pickled weights alone",
    {},
    (folder) => Deno.rename(`${folder}/model.safetensors`, `${folder}/pytorch_model.bin`),
    "its weights are in 'pytorch_model.bin'",
  ],
  [
    "with several weight files and no index",
    { sharded: true },
    remove(INDEX),
    "it has 2 .safetensors files and no model.safetensors.index.json",
  ],
  ["with a missing shard", { sharded: true }, remove(SHARD), `weight file '${SHARD}'`],
  ["with an index that is no JSON", { sharded: true }, replace(INDEX, "no"), "it is not JSON"],
  ["with an index without map", { sharded: true }, replace(INDEX, "{}"), "'weight_map' is missing"],
  [
    "with an empty index",
    { sharded: true },
    replace(INDEX, '{"weight_map":{}}'),
    "'weight_map' is empty",
  ],
  [
    "with an index that leads out of the folder",
    { sharded: true },
    replace(INDEX, '{"weight_map":{"x":"../x.safetensors"}}'),
    "the file of tensor 'x' is \"../x.safetensors\"",
  ],
  [
    "with an index that leaves tensors out",
    { sharded: true },
    replace(INDEX, `{"weight_map":{"model.norm.weight":"${SHARD}"}}`),
    "it leaves out tensor",
  ],
  [
    "with an index that names the wrong file",
    { sharded: true },
    async (folder) => {
      const text = await Deno.readTextFile(`${folder}/${INDEX}`);
      const lie = text.replace(
        `"model.norm.weight":"${SHARD}"`,
        (line) => line.replace("2-", "1-"),
      );
      await Deno.writeTextFile(`${folder}/${INDEX}`, lie);
    },
    "tensor 'model.norm.weight' is not in 'model-00001-of-00002.safetensors'",
  ],
  [
    "with a tensor in two shards",
    { sharded: true },
    async (folder) => {
      const other = `${folder}/model-00001-of-00002.safetensors`;
      await Deno.copyFile(`${folder}/${SHARD}`, other);
    },
    "is in 'model-00001-of-00002.safetensors' and in",
  ],
  [
    "with a missing tensor",
    {},
    (folder) => rewrite(folder, (entry) => entry.name === UP ? undefined : entry),
    `tensor '${UP}' is missing`,
  ],
  [
    "without its untied output head",
    { tied: false },
    (folder) => rewrite(folder, (entry) => entry.name === "lm_head.weight" ? undefined : entry),
    "tensor 'lm_head.weight' is missing",
  ],
  [
    "with a tensor of the wrong shape",
    {},
    (folder) => rewrite(folder, (entry) => entry.name === UP ? zeros(UP, [47, 32]) : entry),
    `tensor '${UP}' has shape [47, 32], and its config.json implies [48, 32]`,
  ],
  [
    "with a tensor of the wrong rank",
    {},
    (folder) => rewrite(folder, (entry) => entry.name === UP ? zeros(UP, [48, 32, 1]) : entry),
    "has shape [48, 32, 1]",
  ],
  [
    "with integers as weights",
    {},
    (folder) =>
      rewrite(
        folder,
        (entry) =>
          entry.name === UP
            ? { ...entry, dataType: "I8", bytes: () => new Uint8Array(48 * 32) }
            : entry,
      ),
    `tensor '${UP}' holds I8`,
  ],
  [
    "with a tensor that it has no place for",
    {},
    (folder) => rewrite(folder, (entry) => entry, [zeros("model.layers.0.extra", [1])]),
    "tensor 'model.layers.0.extra' is no part of the llama model",
  ],
  [
    "with more layers than its config says",
    { layers: 3, config: { num_hidden_layers: 2 } },
    () => Promise.resolve(),
    "tensor 'model.layers.2.",
  ],
  [
    "with biases that its config does not announce",
    { mlpBias: true, config: { mlp_bias: false } },
    () => Promise.resolve(),
    "_proj.bias' is no part",
  ],
  [
    "without the biases that its config announces",
    { config: { attention_bias: true } },
    () => Promise.resolve(),
    "q_proj.bias' is missing",
  ],
  ["of an unknown family", { modelType: "bert" }, () => Promise.resolve(), "'bert'"],
  [
    "with weights that are cut off",
    {},
    (folder) => Deno.truncate(`${folder}/model.safetensors`, 20000),
    "past the end of the file",
  ],
];

for (const [name, options, damage, message] of DAMAGED) {
  Deno.test(`openModel() refuses a folder ${name}`, async () => {
    await withRandomModel(options, async (folder) => {
      await damage(folder);
      const error = await assertRejects(() => openModel(folder), ModelError, message);
      assert(error.message.includes(folder), error.message);
    });
  });
}

Deno.test({
  name: "openModel() opens the shared models (needs the shared folder)",
  ignore: sharedIsMissing(),
  fn: async () => {
    const mixlm = await openModel(new URL("models/mixlm", SHARED).pathname);
    assertEquals([mixlm.name, mixlm.dataType, mixlm.parameters], ["mixlm", "F16", 2457936]);
    const stories = await openModel(new URL("models/stories260K/", SHARED).pathname);
    assertEquals([stories.name, stories.dataType, stories.parameters], [
      "stories260K",
      "F32",
      260032,
    ]);
  },
});

const EMBEDDED_CONFIG = new URL("../../models/tiny/config.json", import.meta.url);

Deno.test({
  name: "openModel() opens the embedded default when it is given nothing (needs models/tiny)",
  ignore: await Deno.stat(EMBEDDED_CONFIG).then(() => false, () => true),
  fn: async () => {
    const model = await openModel();
    assertEquals([model.name, model.source], ["tiny", "embedded"]);
    assertEquals((await openModel("embedded")).fingerprint, model.fingerprint);
  },
});
