import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { CancelledError, ExportError, ModelError } from "../../core/errors.ts";
import {
  encode,
  type FloatDataType,
  memoryTensor,
  readRows,
  readRowsSync,
  readSafetensorsHeader,
  readTensor,
  readTensorBytes,
  readTensorSync,
  type TensorEntry,
  writeSafetensors,
} from "../../core/model/safetensors.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const text = new TextEncoder();

/** A file with any header text and data; the header's length is right unless it is given. */
function fileOf(header: string | Uint8Array, data = new Uint8Array(), length?: bigint): Uint8Array {
  const json = typeof header === "string" ? text.encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

const entry = (dtype: unknown, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });
const x = (dtype: unknown, shape: unknown, offsets: unknown) =>
  `{"x":${entry(dtype, shape, offsets)}}`;
const four = new Uint8Array(4);
const eight = new Uint8Array(8);

/** What is wrong, the bytes, and what the message must say. */
const BROKEN: readonly [name: string, bytes: Uint8Array, message: string][] = [
  ["is empty", new Uint8Array(), "it has 0 bytes, too few for a header"],
  ["has 7 bytes", new Uint8Array(7), "too few for a header"],
  ["claims an absurd header", fileOf("{}", four, 2n ** 63n), "its header claims"],
  ["claims a header past its end", fileOf("{}", four, 999n), "goes past its end"],
  ["has no JSON", fileOf("{oops"), "its header is not JSON"],
  ["has an empty header", fileOf(""), "its header is not JSON"],
  ["is not UTF-8", fileOf(new Uint8Array([0x7b, 0xff, 0x7d])), "not UTF-8"],
  ["has a list as header", fileOf("[]"), "not a JSON object"],
  ["has null as header", fileOf("null"), "not a JSON object"],
  ["has numbers in its metadata", fileOf('{"__metadata__":{"a":1}}'), "__metadata__"],
  ["has a list as metadata", fileOf('{"__metadata__":[]}'), "__metadata__"],
  ["has an entry that is no object", fileOf('{"x":3}'), "tensor 'x'"],
  ["has an unknown data type", fileOf(x("F8_E4M3", [4], [0, 4]), four), '"F8_E4M3"'],
  ["has a prototype's data type", fileOf(x("constructor", [1], [0, 4]), four), "data type"],
  ["has no data type", fileOf('{"x":{"shape":[1],"data_offsets":[0,4]}}', four), "missing"],
  ["has a negative size", fileOf(x("F32", [-1], [0, 4]), four), "its shape is [-1]"],
  ["has a fractional size", fileOf(x("F32", [0.5], [0, 4]), four), "its shape is [0.5]"],
  ["has null as size", fileOf(x("F32", [null], [0, 4]), four), "its shape is [null]"],
  ["has no shape", fileOf(x("F32", undefined, [0, 4]), four), "its shape is missing"],
  ["has a size past 2^53", fileOf(x("F32", [1e300], [0, 4]), four), "its shape is"],
  ["has a product past 2^53", fileOf(x("F32", [2 ** 40, 2 ** 40], [0, 4]), four), "takes"],
  ["has a shape that is too large", fileOf(x("F32", [2], [0, 4]), four), "takes 8 bytes"],
  ["has a shape that is too small", fileOf(x("F16", [1], [0, 4]), four), "takes 2 bytes"],
  ["has offsets backwards", fileOf(x("F32", [1], [4, 0]), four), "data_offsets"],
  ["has negative offsets", fileOf(x("F32", [1], [-4, 0]), four), "data_offsets"],
  ["has three offsets", fileOf(x("F32", [1], [0, 4, 8]), four), "data_offsets"],
  ["has no offsets", fileOf(x("F32", [1], undefined), four), "data_offsets"],
  ["is cut off", fileOf(x("F32", [2], [0, 8]), four), "past the end of the file"],
  ["has bytes left over", fileOf(x("F32", [1], [0, 4]), eight), "its last 4 bytes"],
  ["has data and no tensor", fileOf("{}", four), "its last 4 bytes"],
  ["begins with a hole", fileOf(x("F32", [1], [4, 8]), eight), "belong to no tensor"],
  [
    "has overlapping tensors",
    fileOf(`{"x":${entry("F32", [1], [0, 4])},"y":${entry("F32", [1], [2, 6])}}`, eight),
    "tensor 'y'",
  ],
  [
    "has two tensors in one place",
    fileOf(`{"x":${entry("F32", [1], [0, 4])},"y":${entry("F32", [1], [0, 4])}}`, four),
    "overlaps",
  ],
  [
    "has a name twice",
    fileOf(`{"x":${entry("F32", [1], [0, 4])},"\\u0078":${entry("F32", [1], [4, 8])}}`, eight),
    "'x' twice",
  ],
];

for (const [name, bytes, message] of BROKEN) {
  Deno.test(`readSafetensorsHeader() refuses a file that ${name}`, async () => {
    await withTemporaryFolder(async (folder) => {
      const path = `${folder}/broken.safetensors`;
      await Deno.writeFile(path, bytes);
      const error = await assertRejects(() => readSafetensorsHeader(path), ModelError, message);
      assert(error.message.includes(path));
      assert(!error.message.endsWith("."));
    });
  });
}

Deno.test("readSafetensorsHeader() refuses what is not a file", async () => {
  await withTemporaryFolder(async (folder) => {
    await assertRejects(() => readSafetensorsHeader(folder), ModelError, folder);
    await assertRejects(() => readSafetensorsHeader(`${folder}/no`), ModelError, "no such file");
  });
});

Deno.test("readSafetensorsHeader() takes empty tensors, scalars, odd names and any order", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/odd.safetensors`;
    const header = `{"b":${entry("F32", [], [4, 8])},"":${entry("F32", [0, 9], [4, 4])},` +
      `"__proto__":${entry("U8", [2, 2], [0, 4])},"__metadata__":{"by":"a \\"hand\\""}}  `;
    await Deno.writeFile(path, fileOf(header, eight));
    const { tensors, metadata, fileBytes } = await readSafetensorsHeader(path);
    assertEquals(tensors.map(({ name }) => name), ["__proto__", "", "b"]);
    assertEquals(tensors.map(({ shape }) => shape), [[2, 2], [0, 9], []]);
    assertEquals(metadata, { by: 'a "hand"' });
    assertEquals(fileBytes, (await Deno.stat(path)).size);
    assertEquals(await readTensor(tensors[2]), new Float32Array(1));
    assertEquals(await readTensor(tensors[1]), new Float32Array(0));
  });
});

Deno.test("readSafetensorsHeader() gives real paths, without links", async () => {
  await withTemporaryFolder(async (folder) => {
    await writeSafetensors(`${folder}/real`, [tensorEntry("x", [1], "F32", [7])]);
    await Deno.symlink(`${folder}/real`, `${folder}/link`);
    const { tensors } = await readSafetensorsHeader(`${folder}/link`);
    assertEquals(tensors[0].path, await Deno.realPath(`${folder}/real`));
  });
});

function tensorEntry(
  name: string,
  shape: readonly number[],
  dataType: FloatDataType,
  values: readonly number[],
): TensorEntry {
  return { name, shape, dataType, bytes: () => encode(Float32Array.from(values), dataType) };
}

Deno.test("readTensor() reads what writeSafetensors() wrote", async () => {
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.string().filter((name) => name !== "__metadata__"),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
      dataType: fc.constantFrom<FloatDataType>("F64", "F32", "F16", "BF16"),
    }),
    { selector: ({ name }) => name, maxLength: 6 },
  );
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/any.safetensors`;
    await fc.assert(
      fc.asyncProperty(tensors, async (wanted) => {
        const values = (shape: readonly number[]) =>
          Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i / 4 - 1);
        const written = await writeSafetensors(
          path,
          wanted.map(({ name, shape, dataType }) =>
            tensorEntry(name, shape, dataType, values(shape))
          ),
        );
        const { tensors, fileBytes } = await readSafetensorsHeader(path);
        assertEquals(written.bytes, fileBytes);
        const found = new Map(tensors.map((view) => [view.name, view]));
        assertEquals(found.size, wanted.length);
        for (const { name, shape, dataType } of wanted) {
          const view = found.get(name)!;
          assertEquals(view.shape, shape);
          assertEquals(view.dataType, dataType);
          assertEquals([...await readTensor(view)], values(shape));
          assertEquals([...readTensorSync(view)], values(shape));
        }
      }),
      { numRuns: 40 },
    );
  });
});

Deno.test("readSafetensorsHeader() meets any damage with ModelError alone", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/damaged.safetensors`;
    await writeSafetensors(path, [
      tensorEntry("first", [2, 3], "F32", [1, 2, 3, 4, 5, 6]),
      tensorEntry("second", [2], "BF16", [1, 2]),
    ]);
    const valid = await Deno.readFile(path);
    const change = fc.record({
      position: fc.nat(valid.length - 1),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(...text.encode('0123456789-,:[]{}"e. '))),
    });
    const damage = fc.record({
      changes: fc.array(change, { maxLength: 4 }),
      length: fc.oneof(fc.constant(valid.length), fc.nat(valid.length)),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ changes, length }) => {
        const bytes = valid.slice(0, length);
        for (const { position, byte } of changes) if (position < length) bytes[position] = byte;
        await Deno.writeFile(path, bytes);
        try {
          const { tensors } = await readSafetensorsHeader(path);
          // What passes the checks can be read.
          for (const view of tensors) await readTensorBytes(view);
        } catch (error) {
          assert(error instanceof ModelError, `${error}`);
        }
      }),
      { numRuns: 400 },
    );
  });
});

Deno.test("readRows() and readRowsSync() read the rows of every data type", async () => {
  await withTemporaryFolder(async (folder) => {
    const values = Array.from({ length: 15 }, (_, i) => i - 7);
    for (const dataType of ["F64", "F32", "F16", "BF16"] as const) {
      const path = `${folder}/${dataType}`;
      await writeSafetensors(path, [
        tensorEntry("before", [1], "F16", [9]),
        tensorEntry("x", [5, 3], dataType, values),
      ]);
      const view = (await readSafetensorsHeader(path)).tensors[1];
      assertEquals([...await readRows(view, 1, 2)], values.slice(3, 9));
      assertEquals([...readRowsSync(view, 4, 1)], values.slice(12));
      assertEquals(readRowsSync(view, 5, 0).length, 0);
      assertEquals(
        await readTensorBytes(view),
        encode(Float32Array.from(values), dataType).slice(),
      );
      for (const [first, count] of [[-1, 1], [0, 6], [5, 1], [0.5, 1], [0, NaN]]) {
        await assertRejects(() => readRows(view, first, count), ModelError, "tensor 'x'");
      }
    }
  });
});

Deno.test("readTensor() and readRows() take tensors in memory as they are", async () => {
  const tensor = memoryTensor([3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
  assert(await readTensor(tensor) === tensor.data);
  assertEquals([...await readRows(tensor, 1, 1)], [3, 4]);
  assertEquals(memoryTensor([2, 2]).data, new Float32Array(4));
});

Deno.test("readTensor() reads tensors that are larger than its buffer", async () => {
  await withTemporaryFolder(async (folder) => {
    const count = (5 << 20) + 3;
    for (const dataType of ["F32", "F16"] as const) {
      const data = Float32Array.from({ length: count }, (_, i) => i % 2048);
      await writeSafetensors(`${folder}/large`, [{
        name: "x",
        shape: [count],
        dataType,
        bytes: () => encode(data, dataType),
      }]);
      const view = (await readSafetensorsHeader(`${folder}/large`)).tensors[0];
      const read = await readTensor(view);
      assert(read.every((value, i) => value === data[i]));
      assert(readTensorSync(view).every((value, i) => value === data[i]));
    }
  });
});

Deno.test("readTensor() refuses integers, and files that have shrunk or gone", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/x`;
    await writeSafetensors(path, [
      { name: "n", shape: [2], dataType: "I64", bytes: () => new Uint8Array(16) },
      tensorEntry("x", [2], "F32", [1, 2]),
    ]);
    const [integers, floats] = (await readSafetensorsHeader(path)).tensors;
    await assertRejects(() => readTensor(integers), ModelError, "tensor 'n'");
    assertEquals((await readTensorBytes(integers)).length, 16);
    await Deno.truncate(path, floats.offset + 4);
    await assertRejects(() => readTensor(floats), ModelError, "shorter than it was");
    await assertRejects(() => readTensorBytes(floats), ModelError, "shorter than it was");
    await Deno.remove(path);
    await assertRejects(() => readTensor(floats), ModelError, "the file has gone");
  });
});

Deno.test("writeSafetensors() asks for one tensor at a time, in order", async () => {
  await withTemporaryFolder(async (folder) => {
    const events: string[] = [];
    const lazy = (name: string): TensorEntry => ({
      name,
      shape: [4],
      dataType: "U8",
      async *bytes() {
        events.push(`make ${name}`);
        yield new Uint8Array([1, 2]);
        await Promise.resolve();
        yield new Uint8Array([3, 4]);
      },
    });
    const path = `${folder}/lazy`;
    await writeSafetensors(path, [lazy("b"), lazy("a")], {
      metadata: { by: "test" },
      onTensor: (name, done, total) => events.push(`wrote ${name} ${done}/${total}`),
    });
    assertEquals(events, ["make b", "wrote b 1/2", "make a", "wrote a 2/2"]);
    const { tensors, metadata } = await readSafetensorsHeader(path);
    assertEquals(metadata, { by: "test" });
    assertEquals(tensors[0].offset % 8, 0);
    assertEquals(await readTensorBytes(tensors[1]), new Uint8Array([1, 2, 3, 4]));
  });
});

Deno.test("writeSafetensors() tells the size and SHA-256 of the file", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/x`;
    const written = await writeSafetensors(path, [tensorEntry("x", [1], "F32", [1])]);
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
    assertEquals(written.sha256, new Uint8Array(digest).toHex());
    const plain = await writeSafetensors(`${folder}/y`, [tensorEntry("x", [1], "F32", [1])], {
      hash: false,
    });
    assertEquals(plain, { ...written, sha256: "" });
    assertEquals(await Deno.readFile(`${folder}/y`), await Deno.readFile(path));
  });
});

Deno.test("writeSafetensors() refuses wrong input and leaves no file", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/x`;
    const bytes = (length: number) => () => new Uint8Array(length);
    const make = (name: string, length: number): TensorEntry => (
      { name, shape: [4], dataType: "U8", bytes: bytes(length) }
    );
    const failure = new ModelError("Cannot read tensor 'y'");
    const fail = () => Promise.reject(failure);
    const write = (...entries: TensorEntry[]) => writeSafetensors(path, entries);
    await assertRejects(() => write(make("x", 3)), ExportError, "tensor 'x'");
    await assertRejects(() => write(make("x", 5)), ExportError, "tensor 'x'");
    await assertRejects(() => write(make("x", 4), make("x", 4)), ExportError, "'x' twice");
    await assertRejects(() => write({ ...make("y", 4), bytes: fail }), ModelError, "tensor 'y'");
    await assertRejects(
      () => writeSafetensors(path, [make("x", 4)], { signal: AbortSignal.abort() }),
      CancelledError,
      "cancelled",
    );
    assertEquals([...Deno.readDirSync(folder)], []);
    await assertRejects(
      () => writeSafetensors(`${folder}/no/x`, []),
      ExportError,
      "its folder does not exist",
    );
  });
});
