/**
 * The messages of ONNX files (onnx/onnx.proto, IR version 10), as far as gprune writes or looks at them.
 * @module
 */
import {
  decodeMessage,
  encodeMessage,
  type Field,
  type Message,
  type MessageTable,
} from "./wire.ts";

/** `TensorProto.DataType`. */
export const TensorType = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  BFLOAT16: 16,
} as const;

/** `AttributeProto.AttributeType`. */
export const AttributeType = {
  FLOAT: 1,
  INT: 2,
  STRING: 3,
  TENSOR: 4,
  GRAPH: 5,
  FLOATS: 6,
  INTS: 7,
  STRINGS: 8,
} as const;

/** `TensorProto.DataLocation.EXTERNAL`: the numbers are in another file. */
export const EXTERNAL = 1;

/** A key and a value. */
export interface StringStringEntryProto extends Message {
  /** The key. */
  readonly key: string;
  /** The value. */
  readonly value: string;
}

/** A tensor with its numbers, or where they lie. */
export interface TensorProto extends Message {
  /** Sizes of its axes, outermost first. */
  readonly dims?: readonly number[];
  /** One of {@linkcode TensorType}. */
  readonly dataType: number;
  /** float32 numbers. */
  readonly floatData?: readonly number[];
  /** Numbers of up to 32 bits. */
  readonly int32Data?: readonly number[];
  /** int64 numbers. */
  readonly int64Data?: readonly number[];
  /** Its name. */
  readonly name?: string;
  /** Its numbers in little-endian bytes. */
  readonly rawData?: Uint8Array;
  /** `location`, `offset`, `length` of its numbers in another file. */
  readonly externalData?: readonly StringStringEntryProto[];
  /** 0 for inside, {@linkcode EXTERNAL} for outside. */
  readonly dataLocation?: number;
}

/** A constant of a node. */
export interface AttributeProto extends Message {
  /** Its name. */
  readonly name: string;
  /** One of {@linkcode AttributeType}. */
  readonly type: number;
  /** A float32. */
  readonly f?: number;
  /** An integer. */
  readonly i?: number;
  /** A string in UTF-8. */
  readonly s?: Uint8Array;
  /** A tensor. */
  readonly t?: TensorProto;
  /** A graph. */
  readonly g?: GraphProto;
  /** float32 numbers. */
  readonly floats?: readonly number[];
  /** Integers. */
  readonly ints?: readonly number[];
  /** Strings in UTF-8. */
  readonly strings?: readonly Uint8Array[];
}

/** One size of a shape: a number or a name. */
export interface DimensionProto extends Message {
  /** The size. */
  readonly dimValue?: number;
  /** The name of a size that is known at run time. */
  readonly dimParam?: string;
}

/** The sizes of a tensor's axes. */
export interface TensorShapeProto extends Message {
  /** One entry per axis; absent for a scalar. */
  readonly dim?: readonly DimensionProto[];
}

/** A tensor's type and shape. */
export interface TensorTypeProto extends Message {
  /** One of {@linkcode TensorType}. */
  readonly elemType: number;
  /** Its shape. */
  readonly shape?: TensorShapeProto;
}

/** The type of a value. */
export interface TypeProto extends Message {
  /** Set where the value is a tensor. */
  readonly tensorType?: TensorTypeProto;
}

/** A named value of a graph: its input, its output, or one between. */
export interface ValueInfoProto extends Message {
  /** Its name. */
  readonly name: string;
  /** Its type. */
  readonly type?: TypeProto;
}

/** One operation. */
export interface NodeProto extends Message {
  /** Names of the values that it takes; empty for one left out. */
  readonly input?: readonly string[];
  /** Names of the values that it gives; empty for one not wanted. */
  readonly output?: readonly string[];
  /** Its name. */
  readonly name?: string;
  /** The operator, such as `Gemm`. */
  readonly opType: string;
  /** Its constants. */
  readonly attribute?: readonly AttributeProto[];
  /** The operator set that it is from; absent for ONNX's own. */
  readonly domain?: string;
}

/** A graph of operations. */
export interface GraphProto extends Message {
  /** Operations in an order in which they can be run. */
  readonly node?: readonly NodeProto[];
  /** Its name. */
  readonly name?: string;
  /** Constants. */
  readonly initializer?: readonly TensorProto[];
  /** What it takes. */
  readonly input?: readonly ValueInfoProto[];
  /** What it gives. */
  readonly output?: readonly ValueInfoProto[];
  /** Types of values between. */
  readonly valueInfo?: readonly ValueInfoProto[];
}

/** A version of an operator set. */
export interface OperatorSetProto extends Message {
  /** The set; empty or absent for ONNX's own. */
  readonly domain?: string;
  /** Its version. */
  readonly version: number;
}

/** A whole file. */
export interface ModelProto extends Message {
  /** Version of the file format. */
  readonly irVersion: number;
  /** Operator sets. */
  readonly opsetImport: readonly OperatorSetProto[];
  /** The program that wrote it. */
  readonly producerName?: string;
  /** That program's version. */
  readonly producerVersion?: string;
  /** The graph. */
  readonly graph: GraphProto;
  /** Free words about the model. */
  readonly metadataProps?: readonly StringStringEntryProto[];
}

/** A table whose names are those of an interface. */
type TableOf<T extends Message> = Readonly<
  Record<Exclude<keyof Required<T>, "unknownFields">, Field>
>;

const string = (number: number): Field => ({ number, kind: "string" });
const integer = (number: number): Field => ({ number, kind: "int64" });
const integers = (number: number): Field => ({ number, kind: "int64", repeated: true });
const floats = (number: number): Field => ({ number, kind: "float", repeated: true });
const message = (number: number, table: () => MessageTable): Field => (
  { number, kind: "message", message: table }
);
const messages = (number: number, table: () => MessageTable): Field => (
  { number, kind: "message", message: table, repeated: true }
);

const entryTable: TableOf<StringStringEntryProto> = { key: string(1), value: string(2) };

const tensorTable: TableOf<TensorProto> = {
  dims: integers(1),
  dataType: integer(2),
  floatData: floats(4),
  int32Data: integers(5),
  int64Data: integers(7),
  name: string(8),
  rawData: { number: 9, kind: "bytes" },
  externalData: messages(13, () => entryTable),
  dataLocation: integer(14),
};

const attributeTable: TableOf<AttributeProto> = {
  name: string(1),
  f: { number: 2, kind: "float" },
  i: integer(3),
  s: { number: 4, kind: "bytes" },
  t: message(5, () => tensorTable),
  g: message(6, () => graphTable),
  floats: floats(7),
  ints: integers(8),
  strings: { number: 9, kind: "bytes", repeated: true },
  type: integer(20),
};

const dimensionTable: TableOf<DimensionProto> = { dimValue: integer(1), dimParam: string(2) };
const shapeTable: TableOf<TensorShapeProto> = { dim: messages(1, () => dimensionTable) };
const tensorTypeTable: TableOf<TensorTypeProto> = {
  elemType: integer(1),
  shape: message(2, () => shapeTable),
};
const typeTable: TableOf<TypeProto> = { tensorType: message(1, () => tensorTypeTable) };
const valueTable: TableOf<ValueInfoProto> = { name: string(1), type: message(2, () => typeTable) };

const nodeTable: TableOf<NodeProto> = {
  input: { number: 1, kind: "string", repeated: true },
  output: { number: 2, kind: "string", repeated: true },
  name: string(3),
  opType: string(4),
  attribute: messages(5, () => attributeTable),
  domain: string(7),
};

const graphTable: TableOf<GraphProto> = {
  node: messages(1, () => nodeTable),
  name: string(2),
  initializer: messages(5, () => tensorTable),
  input: messages(11, () => valueTable),
  output: messages(12, () => valueTable),
  valueInfo: messages(13, () => valueTable),
};

const operatorSetTable: TableOf<OperatorSetProto> = { domain: string(1), version: integer(2) };

const modelTable: TableOf<ModelProto> = {
  irVersion: integer(1),
  producerName: string(2),
  producerVersion: string(3),
  graph: message(7, () => graphTable),
  opsetImport: messages(8, () => operatorSetTable),
  metadataProps: messages(14, () => entryTable),
};

/**
 * Encodes a model.
 *
 * @param model The model
 * @returns The bytes of an `.onnx` file
 */
export function encodeModel(model: ModelProto): Uint8Array<ArrayBuffer> {
  return encodeMessage(modelTable, model);
}

/**
 * Encodes what is in a model besides its graph.
 *
 * @param model The model
 * @returns Fields that stand beside the field `graph` in an `.onnx` file
 */
export function encodeModelFrame(model: ModelProto): Uint8Array<ArrayBuffer> {
  const { graph: _, ...frame } = modelTable;
  return encodeMessage(frame, model);
}

/**
 * Encodes what is in a graph besides its constants.
 *
 * @param graph The graph
 * @returns Fields that stand beside the fields `initializer` in a graph's bytes
 */
export function encodeGraphFrame(graph: GraphProto): Uint8Array<ArrayBuffer> {
  const { initializer: _, ...frame } = graphTable;
  return encodeMessage(frame, graph);
}

/**
 * Encodes a tensor.
 *
 * @param tensor The tensor
 * @returns Its bytes
 */
export function encodeTensor(tensor: TensorProto): Uint8Array<ArrayBuffer> {
  return encodeMessage(tensorTable, tensor);
}

/** Numbers of the fields that a file is put together from. */
export const fieldNumbers = {
  graph: modelTable.graph.number,
  initializer: graphTable.initializer.number,
  rawData: tensorTable.rawData.number,
} as const;

/**
 * Decodes a model.
 *
 * @param bytes The bytes of an `.onnx` file
 * @returns The model; byte fields are views of `bytes`
 * @throws {ModelError} if the bytes are not an ONNX model
 */
export function decodeModel(bytes: Uint8Array): ModelProto {
  return decodeMessage(modelTable, bytes) as ModelProto;
}
