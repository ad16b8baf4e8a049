import { assert, assertEquals, assertThrows } from "@std/assert";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { ModelError } from "../../core/errors.ts";
import {
  type AttributeProto,
  AttributeType,
  decodeModel,
  encodeModel,
  type ModelProto,
  TensorType,
} from "../../core/onnx/proto.ts";

const words = (text: string) => new TextEncoder().encode(text);

const everything: ModelProto = {
  irVersion: 10,
  producerName: "gprune",
  producerVersion: "0.1",
  opsetImport: [{ domain: "", version: 23 }, { domain: "com.microsoft", version: 1 }],
  metadataProps: [{ key: "plan", value: "ä" }],
  graph: {
    name: "graph",
    node: [{
      input: ["x", "", "w"],
      output: ["y"],
      name: "node",
      opType: "Gemm",
      domain: "",
      attribute: [
        { name: "i", type: AttributeType.INT, i: -1 },
        { name: "f", type: AttributeType.FLOAT, f: 0.5 },
        { name: "s", type: AttributeType.STRING, s: words("none") },
        { name: "ints", type: AttributeType.INTS, ints: [1, -2, 2 ** 40] },
        { name: "floats", type: AttributeType.FLOATS, floats: [1.5, -2] },
        { name: "strings", type: AttributeType.STRINGS, strings: [words("a"), words("")] },
        {
          name: "t",
          type: AttributeType.TENSOR,
          t: { dims: [], dataType: TensorType.FLOAT, floatData: [1] },
        },
        { name: "g", type: AttributeType.GRAPH, g: { name: "inner" } },
      ],
    }],
    initializer: [
      {
        name: "w",
        dims: [2, 3],
        dataType: TensorType.BFLOAT16,
        dataLocation: 1,
        externalData: [{ key: "location", value: "file" }],
      },
      { name: "v", dims: [1], dataType: TensorType.INT64, int64Data: [-7] },
      {
        name: "u",
        dims: [2],
        dataType: TensorType.FLOAT,
        rawData: Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4),
      },
    ],
    input: [{
      name: "x",
      type: {
        tensorType: {
          elemType: TensorType.FLOAT,
          shape: { dim: [{ dimParam: "batch" }, { dimValue: 3 }] },
        },
      },
    }],
    output: [{ name: "y", type: { tensorType: { elemType: TensorType.FLOAT, shape: {} } } }],
    valueInfo: [{ name: "z" }],
  },
};

Deno.test("decodeModel() gives back what encodeModel() was given", () => {
  const decoded = decodeModel(encodeModel(everything));
  assertEquals(decoded.graph.node![0].attribute![3].ints, [1, -2, 2 ** 40]);
  assertEquals(decoded.graph.initializer![2].rawData, everything.graph.initializer![2].rawData);
  assertEquals(encodeModel(decoded), encodeModel(everything));
});

Deno.test("decodeModel() gives back any attribute", () => {
  const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
  const attribute = fc.record({
    name: fc.string({ unit: "binary" }),
    type: fc.nat(20),
    i: fc.maxSafeInteger(),
    f: finite,
    ints: fc.array(fc.maxSafeInteger(), { minLength: 1 }),
    floats: fc.array(finite, { minLength: 1 }),
    s: fc.uint8Array(),
  });
  fc.assert(fc.property(attribute, (value) => {
    const node = { opType: "Any", attribute: [value as AttributeProto] };
    const model = { irVersion: 10, opsetImport: [], graph: { node: [node] } };
    assertEquals(decodeModel(encodeModel(model)).graph.node![0].attribute![0], value);
  }));
});

Deno.test("decodeModel() keeps fields that it does not know", () => {
  const writer = new BinaryWriter().raw(encodeModel(everything));
  writer.tag(6, WireType.LengthDelimited).string("a documentation string");
  writer.tag(99, WireType.Bit64).double(2.5);
  const bytes = writer.finish();
  const decoded = decodeModel(bytes);
  assertEquals(decoded.unknownFields!.length, 2);
  assertEquals(encodeModel(decoded), bytes);
});

Deno.test("decodeModel() reads lists of numbers that are not packed", () => {
  const tensor = new BinaryWriter().tag(1, WireType.Varint).int64(2).tag(1, WireType.Varint).int64(
    3,
  );
  tensor.tag(2, WireType.Varint).int32(1);
  const graph = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(tensor.finish());
  const model = new BinaryWriter().tag(7, WireType.LengthDelimited).bytes(graph.finish());
  assertEquals(decodeModel(model.finish()).graph.initializer![0].dims, [2, 3]);
});

Deno.test("decodeModel() refuses damaged bytes", () => {
  const bytes = encodeModel(everything);
  assertThrows(() => decodeModel(bytes.subarray(0, bytes.length - 3)), ModelError, "damaged");
  assertThrows(() => decodeModel(Uint8Array.of(0x3d, 1, 2, 3, 4)), ModelError, "wire type");
  const huge = new BinaryWriter().tag(1, WireType.Varint).int64(2n ** 60n).finish();
  assertThrows(() => decodeModel(huge), ModelError, "past 2^53");
  assert(bytes.length > 0);
});
