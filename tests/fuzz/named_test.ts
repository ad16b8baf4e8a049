import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { loadStatistics, saveStatistics } from "../../core/calibrate/store.ts";
import { openTaskFiles } from "../../core/evaluate/task_files.ts";
import { readGgufHeader } from "../../core/export/gguf/reader.ts";
import { readConfig } from "../../core/model/config.ts";
import { readWeights } from "../../core/model/files.ts";
import { downloadModel } from "../../core/model/hub.ts";
import { openModel } from "../../core/model/open.ts";
import { readSafetensorsHeader } from "../../core/model/safetensors.ts";
import { readTokenizer } from "../../core/model/tokenizer.ts";
import { repeatsRepetition } from "../../core/model/tokenizer_patterns.ts";
import { loadPlan } from "../../core/plan/store.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { applyPlan } from "../../core/apply/apply.ts";
import { prune } from "../../core/session.ts";
import { openDomains } from "../../core/text/domains.ts";
import { repositoryOf, startFakeHub } from "../helpers/fake-hub.ts";
import { randomStatistics } from "../helpers/random-statistics.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { memoryOf } from "./memory.ts";
import { bytesOf } from "./mutations.ts";
import { faultOf } from "./outcome.ts";
import { safetensorsFile } from "./readers/safetensors_files.ts";
import { writeSmallModel } from "./readers/small_model.ts";

/** Reads something hostile: it must be refused in one sentence that says why. */
async function assertRefused(read: () => Promise<unknown>, reason: RegExp): Promise<void> {
  const error = await assertRejects(read);
  assertEquals(faultOf(error), undefined);
  assertMatch((error as Error).message, reason);
}

const entry = (shape: readonly number[], end: number) => ({
  dtype: "F32",
  shape,
  data_offsets: [0, end],
});
const tensorFile = (entries: unknown, data = 4) =>
  safetensorsFile(JSON.stringify(entries), new Uint8Array(data));

Deno.test("hostile: safetensors headers that claim more than there is are refused before anything is allocated", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/model.safetensors`;
    for (const claimed of [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n, 100_000_000n, 1000n]) {
      const file = new Uint8Array(64);
      new DataView(file.buffer).setBigUint64(0, claimed, true);
      await Deno.writeFile(path, file);
      const memory = await memoryOf(() =>
        assertRefused(() => readSafetensorsHeader(path), /header (claims|of) \d+/)
      );
      assert(memory < 64 << 20, `${memory} bytes`);
    }
  });
});

Deno.test("hostile: a header of a hundred megabytes is refused, one of thirty takes no more than half a gigabyte", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/model.safetensors`;
    const file = await Deno.open(path, { write: true, create: true });
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, 99_000_000n, true);
    await file.write(length);
    // Sparse: it takes no room on the disk.
    await file.truncate(200_000_000);
    file.close();
    await assertRefused(() => readSafetensorsHeader(path), /claims 99000000 bytes/);
    const count = 350_000;
    const tensors = Array.from(
      { length: count },
      (_, i) => `"${i}":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[${i},${i + 1}]}`,
    );
    const bytes = safetensorsFile(`{${tensors.join(",")}}`, new Uint8Array(count));
    assert(bytes.length > 24 << 20);
    await Deno.writeFile(path, bytes);
    tensors.length = 0;
    const memory = await memoryOf(async () => {
      assertEquals((await readSafetensorsHeader(path)).tensors.length, count);
    });
    assert(memory < bytes.length + (512 << 20), `${memory >> 20} MiB`);
  });
});

Deno.test("hostile: sizes about 2^53 and their products are refused", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/model.safetensors`;
    const shapes = [[2 ** 53], [2 ** 53 - 1], [2 ** 32, 2 ** 32], [1e308, 1e308], [-1], [0.5]];
    for (const shape of shapes) {
      await Deno.writeFile(path, tensorFile({ x: entry(shape, 4) }));
      await assertRefused(() => readSafetensorsHeader(path), /tensor 'x'/);
    }
    for (const end of [2 ** 53, 2 ** 53 - 1, -4, 1e300]) {
      await Deno.writeFile(path, tensorFile({ x: entry([1], end) }));
      await assertRefused(() => readSafetensorsHeader(path), /tensor 'x'/);
    }
    await Deno.writeFile(path, tensorFile({ x: entry([0, 2 ** 53 - 1], 0) }, 0));
    assertEquals((await readSafetensorsHeader(path)).tensors.length, 1);
  });
});

Deno.test("hostile: a GGUF file with counts, lengths and lists without end", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/model.gguf`;
    const header = (tensors: bigint, keys: bigint, rest: readonly bigint[] = []) => {
      const view = new DataView(new ArrayBuffer(24 + 8 * rest.length));
      view.setUint32(0, 0x46554747, true);
      view.setUint32(4, 3, true);
      [tensors, keys, ...rest].forEach((each, at) => view.setBigUint64(8 + 8 * at, each, true));
      return new Uint8Array(view.buffer);
    };
    const huge = [2n ** 64n - 1n, 2n ** 53n, 2n ** 32n];
    for (const count of huge) {
      for (const file of [header(count, 0n), header(0n, count), header(0n, 1n, [count])]) {
        await Deno.writeFile(path, file);
        await assertRefused(() => readGgufHeader(path), /cut short/);
      }
    }
    // A key of one byte whose value is a list of lists of lists …
    const nested = new DataView(new ArrayBuffer(24 + 13 + 12 * 50_000));
    new Uint8Array(nested.buffer).set(header(0n, 1n));
    nested.setBigUint64(24, 1n, true);
    nested.setUint32(33, 9, true);
    for (let at = 37; at < nested.byteLength; at += 12) {
      nested.setUint32(at, 9, true);
      nested.setBigUint64(at + 4, 1n, true);
    }
    await Deno.writeFile(path, new Uint8Array(nested.buffer));
    await assertRefused(() => readGgufHeader(path), /list of lists/);
  });
});

Deno.test("hostile: NaN, infinities and overflow in weights end in one sentence, and no output", async () => {
  await withTemporaryFolder(async (folder) => {
    const model = `${folder}/model`;
    await writeSmallModel(model);
    const path = `${model}/model.safetensors`;
    const real = await Deno.readFile(path);
    const { tensors } = await readSafetensorsHeader(path);
    const cases = [
      ["mlp.down_proj", NaN, /layer 0.*NaN/],
      ["self_attn.q_proj", Infinity, /NaN, infinities/],
      ["mlp.up_proj", 1e38, /NaN, infinities/],
      ["model.norm", NaN, /loss.*not a number/],
    ] as const;
    for (const [name, number, reason] of cases) {
      const file = real.slice();
      const { offset } = tensors.find((tensor) => tensor.name.includes(name))!;
      new DataView(file.buffer).setFloat32(offset, number, true);
      await Deno.writeFile(path, file);
      const out = `${folder}/out`;
      const settings = { samples: 2, seqLen: 16, evalWindows: 1, choiceTasks: false };
      await assertRefused(() => prune({ model, out, ...settings }), reason);
      assertEquals(await Deno.stat(out).catch(() => undefined), undefined);
    }
  });
});

Deno.test("hostile: NaN and infinities in statistics are refused", async () => {
  await withTemporaryFolder(async (folder) => {
    const model = await writeSmallModel(`${folder}/model`);
    const path = `${folder}/x.stats`;
    const damaged = async (change: (kind: ReturnType<typeof parts>) => void) => {
      const statistics = randomStatistics(model);
      change(parts(statistics));
      await saveStatistics(statistics, path);
      return await loadStatistics(path);
    };
    const parts = (statistics: ReturnType<typeof randomStatistics>) => statistics.layers[1].ffn;
    for (const number of [NaN, Infinity, -Infinity]) {
      await assertRefused(() => damaged((kind) => kind.domains[0].sum[3] = number), /layer 1, ffn/);
      await assertRefused(
        () => damaged((kind) => kind.weights.rowNorm[0] = number),
        /layer 1, ffn/,
      );
    }
    await assertRefused(() => damaged((kind) => kind.domains[1].sumOfSquares[2] = -1), /negative/);
    // Gram matrices stay in the file until they are used.
    for (const number of [NaN, Infinity]) {
      const statistics = await damaged(({ domains: [{ gram }] }) => {
        if (gram === undefined || !("data" in gram)) throw new Error("The matrix is not in memory");
        // Of a symmetric matrix the lower half is read.
        for (let row = 0; row < gram.shape[0]; row++) gram.data[row * gram.shape[0]] = number;
      });
      const plan = makePlan(model, statistics, { metric: "wanda-sp", refit: "lsq", sparsity: 0.3 });
      const directory = `${folder}/out`;
      await assertRefused(
        () => applyPlan(model, plan, { statistics, directory }),
        /not finite|NaN/,
      );
    }
  });
});

/** Every reader of JSON, given the text of its file. */
async function jsonReaders(
  folder: string,
  text: string,
): Promise<readonly (readonly [string, () => Promise<unknown>])[]> {
  await writeSmallModel(`${folder}/sharded`, true);
  const put = async (path: string, bytes: Uint8Array<ArrayBuffer>) => {
    await Deno.writeFile(path, bytes);
    return path;
  };
  const index = `${folder}/sharded/model.safetensors.index.json`;
  const json = bytesOf(text);
  const config = await put(`${folder}/config.json`, json);
  const plan = await put(`${folder}/plan.json`, json);
  await put(`${folder}/tokenizer.json`, json);
  await put(index, json);
  const weights = await put(`${folder}/a.safetensors`, safetensorsFile(text, new Uint8Array()));
  const words = JSON.stringify({ __metadata__: { gprune: text } });
  const stats = await put(`${folder}/a.stats`, safetensorsFile(words, new Uint8Array()));
  return [
    ["config", () => readConfig(config)],
    ["plan", () => loadPlan(plan)],
    ["tokenizer", () => readTokenizer(folder)],
    ["index", () => readWeights(`${folder}/sharded`)],
    ["safetensors", () => readSafetensorsHeader(weights)],
    ["statistics", () => loadStatistics(stats)],
  ];
}

Deno.test("hostile: JSON of a million levels is refused by every reader", async () => {
  for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
    for (const depth of [1_000_000, 200]) {
      const text = `{"model_type":${open.repeat(depth)}1${close.repeat(depth)}}`;
      await withTemporaryFolder(async (folder) => {
        for (const [, read] of await jsonReaders(folder, text)) {
          await assertRefused(read, /nested more than 128 levels deep/);
        }
      });
    }
  }
});

Deno.test("hostile: keys that stand twice are refused where gprune's own files and weights have them", async () => {
  await withTemporaryFolder(async (folder) => {
    const text = '{"schema": "x", "a": {"b": 1, "\\u0062": 2}}';
    for (const [name, read] of await jsonReaders(folder, text)) {
      // As transformers does, for files that people write by hand.
      if (name === "config") assertEquals((await read() as { a: unknown }).a, { b: 2 });
      else if (name !== "tokenizer") await assertRefused(read, /'b' twice/);
    }
  });
});

Deno.test("hostile: lone surrogates become what UTF-8 has for them, and never reach a message", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/text.jsonl`;
    await Deno.writeTextFile(path, '{"text": "a \\ud800 b"}\n');
    const [{ text }] = await openDomains({ text: path });
    assertEquals(text, "a \ufffd b");
    const task = `${folder}/task.jsonl`;
    await Deno.writeTextFile(task, '{"context":"\\udfff","choices":["\\ud800","b"],"answer":0}');
    const [{ records: [record] }] = await openTaskFiles([{ name: "task", path: task }]);
    assertEquals([record.context, record.choices[0]], ["\ufffd", "\ufffd"]);
    const weights = `${folder}/x.safetensors`;
    await Deno.writeFile(weights, safetensorsFile('{"\\ud800\\n\\u001b[2J": 1}', new Uint8Array()));
    await assertRefused(() => readSafetensorsHeader(weights), /'\\ud800\\u000a\\u001b\[2J'/);
  });
});

Deno.test("hostile: an index sends to no file outside of its folder", async () => {
  await withTemporaryFolder(async (folder) => {
    const model = `${folder}/model`;
    await writeSmallModel(model, true);
    const index = `${model}/model.safetensors.index.json`;
    const shard = "model-00001-of-00002.safetensors";
    await Deno.copyFile(`${model}/${shard}`, `${folder}/outside.safetensors`);
    const { weight_map: map } = JSON.parse(await Deno.readTextFile(index));
    const names = [
      "../outside.safetensors",
      `${folder}/outside.safetensors`,
      "x/../../outside.safetensors",
      "..\\outside.safetensors",
      "model\u0000.safetensors",
      "/dev/zero",
      "..",
      "",
    ];
    for (const name of names) {
      const changed = { ...map, "model.norm.weight": name };
      await Deno.writeTextFile(index, JSON.stringify({ weight_map: changed }));
      await assertRefused(() => readWeights(model), /model.safetensors.index.json/);
    }
    await Deno.symlink("/dev/zero", `${model}/zero.safetensors`);
    const zero = { ...map, "model.norm.weight": "zero.safetensors" };
    await Deno.writeTextFile(index, JSON.stringify({ weight_map: zero }));
    await assertRefused(() => readWeights(model), /zero.safetensors': it is not a file/);
  });
});

Deno.test({
  name: "hostile: pipes and devices in place of files are refused and not waited for",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await withTemporaryFolder(async (folder) => {
      const model = await writeSmallModel(`${folder}/model`);
      const text = `${folder}/text.jsonl`;
      const places: readonly (readonly [string, () => Promise<unknown>])[] = [
        [`${model.folder}/config.json`, () => openModel(model.folder)],
        [`${model.folder}/model.safetensors`, () => readWeights(model.folder)],
        [`${model.folder}/tokenizer.json`, () => readTokenizer(model.folder)],
        [text, () => openDomains({ text })],
        [text, () => openTaskFiles([{ name: "task", path: text }])],
        [text, () => loadPlan(text)],
        [text, () => loadStatistics(text)],
        [text, () => readGgufHeader(text)],
      ];
      for (const [path, read] of places) {
        await Deno.remove(path).catch(() => undefined);
        await new Deno.Command("mkfifo", { args: [path] }).output();
        await assertRefused(read, /not a (regular )?file/);
        await Deno.remove(path);
        await Deno.symlink("/dev/zero", path);
        await assertRefused(read, /not a (regular )?file/);
      }
    });
  },
});

Deno.test("hostile: a hub's listing writes nothing outside of the model's folder in the cache", async () => {
  await withTemporaryFolder(async (folder) => {
    const model = await writeSmallModel(`${folder}/model`);
    const repository = await repositoryOf(model.folder);
    const names = [
      "../x.safetensors",
      "/tmp/x.safetensors",
      "a/../../x.safetensors",
      "..",
      "a\u0000",
    ];
    for (const name of names) {
      const files = new Map([...repository.files, [name, bytesOf("hostile")] as const]);
      await using hub = startFakeHub({ "org/model": { files } });
      const cacheFolder = `${folder}/cache/hub`;
      const place = await downloadModel("org/model", {
        hubUrl: hub.url,
        cacheFolder,
        token: "",
        retryDelay: 0,
      });
      const found = Array.from(Deno.readDirSync(place), (each) => each.name)
        .filter((each) => each !== ".gprune-download.json");
      assertEquals(found.filter((each) => !repository.files.has(each)), []);
      assertEquals(Array.from(Deno.readDirSync(`${folder}/cache`), (each) => each.name), ["hub"]);
    }
    await assertRefused(() => downloadModel("../x"), /looks like org\/name/);
  });
});

Deno.test("hostile: a tokenizer whose pattern is never done with a text is refused, and those in use are not", async () => {
  const inUse = [
    String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
    String
      .raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    String
      .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*`,
    String.raw`\d{1,3}(?=(?:\d{3})*\b)`,
    String.raw`[(+*]+|\(\++`,
  ];
  assertEquals(inUse.filter(repeatsRepetition), []);
  await withTemporaryFolder(async (folder) => {
    await writeSmallModel(folder);
    const path = `${folder}/tokenizer.json`;
    const rules = JSON.parse(await Deno.readTextFile(path));
    const patterns = ["(x+x+)+y", "(?:(?:a*)b?)*c", "([a-z]{2,}){3,}!", "((x)|y+)*$"];
    for (const Regex of patterns) {
      const split = { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
      const sequence = { type: "Sequence", pretokenizers: [split, rules.pre_tokenizer] };
      await Deno.writeTextFile(path, JSON.stringify({ ...rules, pre_tokenizer: sequence }));
      await assertRefused(() => readTokenizer(folder), /repeats a repetition/);
    }
  });
});
