import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CancelledError, ModelError } from "../../core/errors.ts";
import { downloadModel, type HubOptions, hubSettings, isHubId } from "../../core/model/hub.ts";
import { exportModel } from "../../core/pipeline.ts";
import { openModel } from "../../core/model/open.ts";
import type { Progress } from "../../core/progress.ts";
import {
  brokenOff,
  type FakeHub,
  type FakeRepository,
  repositoryOf,
  startFakeHub,
} from "../helpers/fake-hub.ts";
import { type RandomModelOptions, withRandomModel } from "../helpers/random-model.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

interface Setting {
  readonly hub: FakeHub;
  readonly cache: string;
  readonly repository: FakeRepository;
  readonly download: (options?: HubOptions) => Promise<string>;
}

/** A hub with one model `org/small`, and an empty cache. */
async function withHub(
  change: (repository: FakeRepository) => FakeRepository,
  use: (setting: Setting) => Promise<void>,
  model: RandomModelOptions = {},
): Promise<void> {
  await withRandomModel(model, async (folder) => {
    const repository = change(await repositoryOf(folder));
    await using hub = startFakeHub({ "org/small": repository });
    await withTemporaryFolder(async (cache) => {
      const base = { hubUrl: hub.url, cacheFolder: cache, retryDelay: 1, token: "" };
      const download = (options: HubOptions = {}) =>
        downloadModel("org/small", { ...base, ...options });
      await use({ hub, cache, repository, download });
    });
  });
}

const same = (repository: FakeRepository) => repository;
const asked = (hub: FakeHub, part: string) =>
  hub.requests.filter(({ path }) => path.includes(part));

/** Adds, replaces or (undefined) takes away files. */
const withFiles =
  (changes: Readonly<Record<string, string | undefined>>) =>
  (repository: FakeRepository): FakeRepository => {
    const files = new Map(repository.files);
    for (const [name, text] of Object.entries(changes)) {
      if (text === undefined) files.delete(name);
      else files.set(name, new TextEncoder().encode(text));
    }
    return { ...repository, files };
  };

Deno.test("downloadModel() brings the files that are needed and reports bytes", async () => {
  const extra = {
    "README.md": "# Small",
    "pytorch_model.bin": "x",
    "generation_config.json": "{}",
  };
  await withHub(withFiles(extra), async ({ repository, cache, download }) => {
    const seen: Progress[] = [];
    const folder = await download({ onProgress: (progress) => seen.push(progress) });
    assertEquals(folder, `${cache}/org--small/main`);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(names, [
      ".gprune-download.json",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const total = names.slice(1).reduce((sum, name) => sum + repository.files.get(name)!.length, 0);
    for (const { stage, unit, total: all } of seen) {
      assertEquals([stage, unit, all], ["download", "bytes", total]);
    }
    assert(seen.every(({ done }, i) => done >= (seen[i - 1]?.done ?? 0)));
    assertEquals(seen.at(-1)?.done, total);
  });
});

Deno.test("openModel() opens a hub id, shards and all", async () => {
  await withHub(same, async ({ hub, cache }) => {
    const options = { hub: { hubUrl: hub.url, cacheFolder: cache } };
    const model = await openModel("org/small", options);
    assertEquals([model.name, model.source], ["small", "org/small"]);
    assertEquals(asked(hub, "/resolve/main/").length, 6);
    assertEquals(await (await model.tokenizer()).encode("A"), [65]);
  }, { sharded: true });
});

Deno.test("downloadModel() asks for nothing twice, and for what has changed", async () => {
  await withHub(same, async ({ hub, download, repository }) => {
    const folder = await download();
    hub.requests.length = 0;
    await download();
    assertEquals(asked(hub, "/resolve/").length, 0);
    const files = repository.files as Map<string, Uint8Array<ArrayBuffer>>;
    const config = new TextDecoder().decode(files.get("config.json"));
    files.set("config.json", new TextEncoder().encode(config.replace("10000", "20000")));
    await download();
    assertEquals(asked(hub, "/resolve/").length, 1);
    assert((await Deno.readTextFile(`${folder}/config.json`)).includes("20000"));
    await Deno.remove(`${folder}/model.safetensors`);
    hub.requests.length = 0;
    await download();
    assertEquals(asked(hub, "/resolve/").map(({ path }) => path.split("/").at(-1)), [
      "model.safetensors",
    ]);
  });
});

Deno.test("downloadModel() keeps revisions apart and does not ask again for a commit", async () => {
  const commit = "0123456789abcdef0123456789abcdef01234567";
  await withHub(same, async ({ hub, cache, download }) => {
    assertEquals(await download({ revision: "refs/pr/1" }), `${cache}/org--small/refs%2Fpr%2F1`);
    assert(asked(hub, "/resolve/refs%2Fpr%2F1/").length > 0);
    await download({ revision: commit });
    hub.requests.length = 0;
    await download({ revision: commit });
    assertEquals(hub.requests.length, 0);
  });
});

Deno.test("downloadModel() goes on after a connection that broke in the middle", async () => {
  await withHub(same, async ({ hub, repository, download }) => {
    let breaks = 2;
    hub.trouble = ({ path, range }, body) => {
      if (!path.endsWith("model.safetensors") || breaks-- <= 0) return undefined;
      return brokenOff(body, Number(/\d+/.exec(range ?? "0")![0]), 10_000);
    };
    const folder = await download();
    const ranges = asked(hub, "model.safetensors").map(({ range }) => range);
    assertEquals(ranges, [null, "bytes=10000-", "bytes=20000-"]);
    const found = await Deno.readFile(`${folder}/model.safetensors`);
    assertEquals(found, repository.files.get("model.safetensors"));
  });
});

Deno.test("downloadModel() resumes in the next run what this one could not finish", async () => {
  await withHub(same, async ({ hub, repository, download, cache }) => {
    hub.trouble = ({ path, range }, body) =>
      !path.endsWith("model.safetensors")
        ? undefined
        : range === null
        ? brokenOff(body, 0, 12_345)
        : new Response(null, { status: 503 });
    const size = repository.files.get("model.safetensors")!.length;
    await assertRejects(
      () => download(),
      ModelError,
      `Cannot download 'org/small/model.safetensors': the server answered with status 503 after 12345 of ${size} bytes; run it again to go on from there`,
    );
    const names = [...Deno.readDirSync(`${cache}/org--small/main`)].map(({ name }) => name);
    assert(names.some((name) => name.endsWith(".part")) && !names.includes("model.safetensors"));
    hub.trouble = () => undefined;
    hub.requests.length = 0;
    const folder = await download();
    assertEquals(asked(hub, "/resolve/").map(({ range }) => range), ["bytes=12345-"]);
    assertEquals((await openModel(folder)).tensors.size, 20);
  });
});

Deno.test("downloadModel() begins again where a server knows no ranges", async () => {
  await withHub(same, async ({ hub, repository, download }) => {
    let first = true;
    hub.trouble = ({ path }, body) => {
      if (!path.endsWith("model.safetensors")) return undefined;
      const response = first ? brokenOff(body, 0, 100) : new Response(body);
      first = false;
      return response;
    };
    const found = await Deno.readFile(`${await download()}/model.safetensors`);
    assertEquals(found, repository.files.get("model.safetensors"));
  });
});

Deno.test("downloadModel() tries again when the list does not come at once", async () => {
  await withHub(same, async ({ hub, download }) => {
    let failures = 2;
    hub.trouble = () => failures-- > 0 ? new Response(null, { status: 502 }) : undefined;
    await download();
  });
});

Deno.test("downloadModel() refuses files of the wrong size", async () => {
  const larger = (repository: FakeRepository): FakeRepository => ({
    ...repository,
    list: (entry) => entry.path === "tokenizer.json" ? { ...entry, size: entry.size + 1 } : entry,
  });
  await withHub(larger, async ({ download }) => {
    await assertRejects(() => download(), ModelError, "and the hub lists");
  });
  const smaller = (repository: FakeRepository): FakeRepository => ({
    ...repository,
    list: (entry) => entry.path === "tokenizer.json" ? { ...entry, size: entry.size - 1 } : entry,
  });
  await withHub(smaller, async ({ hub, download }) => {
    await assertRejects(() => download(), ModelError, "and the hub lists");
    // Without a length beforehand it shows only while the bytes come.
    hub.trouble = ({ path }, body) =>
      path.endsWith("tokenizer.json") ? new Response(new Blob([body]).stream()) : undefined;
    await assertRejects(() => download(), ModelError, "and the hub lists");
  });
});

Deno.test("downloadModel() refuses bytes with the wrong hash and does not keep them", async () => {
  await withHub(same, async ({ hub, download, cache }) => {
    hub.trouble = ({ path }, body) =>
      path.endsWith("model.safetensors") ? new Response(body.toReversed()) : undefined;
    await assertRejects(() => download(), ModelError, "its SHA-256 is not the hub's");
    const names = [...Deno.readDirSync(`${cache}/org--small/main`)].map(({ name }) => name);
    assert(!names.some((name) => name.includes("safetensors")));
    hub.trouble = () => undefined;
    await download();
  });
});

for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
  Deno.test(`downloadModel() refuses a ${name} that is not the one the hub lists`, async () => {
    await withHub(same, async ({ hub, cache, download }) => {
      // As long as the true one, so that its hash alone tells.
      hub.trouble = ({ path }, body) => {
        if (!path.endsWith(`/resolve/main/${name}`)) return undefined;
        const other = body.slice();
        other[other.length >> 1] ^= 1;
        return new Response(other);
      };
      await assertRejects(() => download(), ModelError, "is not the hub's); run it again");
      assert(![...Deno.readDirSync(`${cache}/org--small/main`)].some((each) => each.name === name));
      hub.trouble = () => undefined;
      await download();
    });
  });
}

Deno.test("downloadModel() brings no code, and a model that asks for its own is read by descriptor", async () => {
  const withCode = (repository: FakeRepository): FakeRepository => {
    const config = JSON.parse(new TextDecoder().decode(repository.files.get("config.json")));
    config.auto_map = { AutoModelForCausalLM: "modeling_own.OwnModel" };
    return withFiles({
      "config.json": JSON.stringify(config),
      "modeling_own.py": "raise SystemExit('run')",
      "own.js": "throw new Error('run')",
    })(repository);
  };
  await withHub(withCode, async ({ hub, download }) => {
    const folder = await download();
    assertEquals((await openModel(folder)).architecture.family, "llama");
    assertEquals(
      [...asked(hub, ".py"), ...asked(hub, ".js")].filter(({ path }) => !path.endsWith(".json")),
      [],
    );
    await withTemporaryFolder(async (out) => {
      await exportModel(await openModel(folder), `${out}/copy`);
      const config = JSON.parse(await Deno.readTextFile(`${out}/copy/config.json`));
      assertEquals([config.model_type, config.auto_map], ["llama", undefined]);
    });
    const config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
    await Deno.writeTextFile(
      `${folder}/config.json`,
      JSON.stringify({ ...config, model_type: "own" }),
    );
    await assertRejects(
      () => openModel(folder),
      ModelError,
      "(the code that the model brings, 'auto_map', is never run)",
    );
  });
});

Deno.test("downloadModel() sends the token to the hub and to nobody else", async () => {
  await withHub((repository) => ({ ...repository, token: "secret" }), async (setting) => {
    const { hub, repository, download } = setting;
    await using elsewhere = startFakeHub({ "org/small": { files: repository.files } });
    hub.trouble = ({ path }) =>
      path.includes("/resolve/") ? Response.redirect(`${elsewhere.url}${path}`, 302) : undefined;
    await download({ token: "secret" });
    assert(hub.requests.every(({ authorization }) => authorization === "Bearer secret"));
    assert(elsewhere.requests.length > 0);
    // "127.0.0.1" with another port is another origin.
    assert(elsewhere.requests.every(({ authorization }) => authorization === null));
  });
});

const REFUSALS: readonly [
  name: string,
  change: (repository: FakeRepository) => FakeRepository,
  options: HubOptions,
  message: string,
][] = [
  [
    "that wants a token",
    (r) => ({ ...r, token: "x" }),
    {},
    "Cannot download 'org/small': no such model, or a private one; for a private one set HF_TOKEN",
  ],
  ["that wants another token", (r) => ({ ...r, token: "x" }), { token: "y" }, "does not accept"],
  ["that is gated", (r) => ({ ...r, status: 403 }), {}, "access is restricted; ask for it at"],
  ["that is gone", (r) => ({ ...r, status: 410 }), {}, "answered with status 410"],
  ["that is not there", (r) => ({ ...r, status: 404 }), { revision: "v9" }, "revision 'v9'"],
  ["that is down", (r) => ({ ...r, status: 503 }), {}, "answered with status 503"],
  [
    "without safetensors",
    withFiles({ "model.safetensors": undefined, "pytorch_model.bin": "x" }),
    {},
    "it has no .safetensors weights (only others, such as 'pytorch_model.bin')",
  ],
  ["without config", withFiles({ "config.json": undefined }), {}, "it has no config.json"],
  [
    "of an unknown family",
    withFiles({ "config.json": '{"model_type":"bert"}' }),
    {},
    "Cannot use 'org/small/config.json': 'model_type' is 'bert'",
  ],
];

for (const [name, change, options, message] of REFUSALS) {
  Deno.test(`downloadModel() refuses a model ${name}`, async () => {
    await withHub(change, async ({ hub, download }) => {
      await assertRejects(() => download(options), ModelError, message);
      assertEquals(asked(hub, "model.safetensors").length, 0);
    });
  });
}

Deno.test("downloadModel() says that the hub cannot be reached, and uses what it has", async () => {
  await withHub(same, async ({ hub, download }) => {
    const folder = await download();
    await hub[Symbol.asyncDispose]();
    assertEquals(await download(), folder);
    await assertRejects(
      () => download({ revision: "other" }),
      ModelError,
      "cannot be reached; check the network, or give a folder",
    );
  });
});

Deno.test("downloadModel() says that an answer is not a hub's", async () => {
  await withHub(same, async ({ hub, download }) => {
    hub.trouble = () => new Response("<html>log in</html>");
    await assertRejects(() => download(), ModelError, "is not that of a hub");
    hub.trouble = ({ path }) =>
      path.includes("/resolve/") ? new Response(null, { status: 404 }) : undefined;
    await assertRejects(() => download(), ModelError, "has no such model");
  });
});

Deno.test("downloadModel() stops when it is cancelled and keeps what has come", async () => {
  await withHub(same, async ({ hub, download }) => {
    const controller = new AbortController();
    hub.trouble = ({ path }, body) => {
      if (!path.endsWith("model.safetensors")) return undefined;
      setTimeout(() => controller.abort(), 30);
      return brokenOff(body, 0, 5000);
    };
    const signal = controller.signal;
    await assertRejects(() => download({ signal, retryDelay: 60_000 }), CancelledError);
    await assertRejects(() => download({ signal }), CancelledError);
    hub.trouble = () => undefined;
    hub.requests.length = 0;
    await download();
    assertEquals(asked(hub, "/resolve/").map(({ range }) => range), ["bytes=5000-"]);
  });
});

Deno.test("downloadModel() names a cache folder that cannot be made", async () => {
  await withHub(same, async ({ cache, download }) => {
    await Deno.writeTextFile(`${cache}/file`, "");
    const cacheFolder = `${cache}/file/in`;
    await assertRejects(() => download({ cacheFolder }), ModelError, "set GPRUNE_CACHE");
  });
});

Deno.test("isHubId() takes org/name alone", () => {
  for (const id of ["org/name", "HuggingFaceTB/SmolLM2-135M", "a/b.c_d-e"]) assert(isHubId(id));
  for (
    const no of ["name", "/a/b", "./a", "../a", "a/b/c", "a/", "/b", "a/..", "a b/c", "", "a/.b"]
  ) {
    assert(!isHubId(no), no);
  }
});

Deno.test("hubSettings() puts options before the environment, and the environment before defaults", () => {
  const from = (variables: Readonly<Record<string, string>>, options: HubOptions = {}) =>
    hubSettings(options, (name) => variables[name]);
  assertEquals(from({ HOME: "/h" }), {
    hubUrl: "https://huggingface.co",
    token: undefined,
    cacheFolder: "/h/.cache/gprune/hub",
  });
  const variables = {
    HOME: "/h",
    HF_ENDPOINT: "http://mirror/",
    HF_TOKEN: "a",
    HUGGING_FACE_HUB_TOKEN: "b",
    GPRUNE_CACHE: "/c",
  };
  assertEquals(from(variables), { hubUrl: "http://mirror", token: "a", cacheFolder: "/c/hub" });
  assertEquals(from({ ...variables, HF_TOKEN: "" }).token, "b");
  assertEquals(from({ XDG_CACHE_HOME: "/x" }).cacheFolder, "/x/gprune/hub");
  assertEquals(from(variables, { hubUrl: "http://own", token: "t", cacheFolder: "/d" }), {
    hubUrl: "http://own",
    token: "t",
    cacheFolder: "/d",
  });
  assertThrows(() => from({}), ModelError, "set GPRUNE_CACHE");
});
