/**
 * Building ONNX graphs: nodes that name their own outputs, weights wherever they lie, and the bytes at the end.
 * @module
 */
import type { TensorBytes } from "../model/safetensors_writer.ts";
import type { DataType } from "../model/types.ts";
import {
  type AttributeProto,
  AttributeType,
  encodeModel,
  EXTERNAL,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorType,
  type ValueInfoProto,
} from "./proto.ts";

/** A value in a graph, by its name. */
export type Value = string;

/** Sizes of a value's axes: a number, or a name for a size that is known at run time. */
export type ValueShape = readonly (number | string)[];

/** A constant of a node: integers, strings and lists go as they are; a float32 says so. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** A weight whose numbers lie in a file, as they are stored. */
export interface ExternalWeight {
  /** Tells it from the other kinds. */
  readonly kind: "external";
  /** How its numbers are stored. */
  readonly dataType: DataType;
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** The file, relative to the folder that the runtime is told. */
  readonly location: string;
  /** Where its first byte lies in the file. */
  readonly offset: number;
  /** How many bytes it takes. */
  readonly byteLength: number;
}

/** A weight that is given at every run, as a float32 input of the graph. */
export interface InputWeight {
  /** Tells it from the other kinds. */
  readonly kind: "input";
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
}

/** A weight in the graph's own bytes, in float32. */
export interface InlineWeight {
  /** Tells it from the other kinds. */
  readonly kind: "inline";
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** Its numbers. */
  readonly data: Float32Array;
}

/** A weight whose bytes are made when the graph is written to a file, one weight after the other. */
export interface StreamedWeight {
  /** Tells it from the other kinds. */
  readonly kind: "streamed";
  /** How its numbers are stored. */
  readonly dataType: DataType;
  /** Sizes of its axes, outermost first. */
  readonly shape: readonly number[];
  /** Makes its bytes, whole or in pieces; called once. */
  readonly bytes: () => TensorBytes | Promise<TensorBytes>;
}

/** Where the numbers of a weight come from. */
export type WeightReference = ExternalWeight | InputWeight | InlineWeight | StreamedWeight;

/** A matrix in int8 with one scale for each output: products round their other factor to 8 bits too. */
export interface Int8Matrix {
  /** Tells it from the other kinds. */
  readonly kind: "int8";
  /** `[out, in]` */
  readonly shape: readonly number[];
  /** int8 `[in, out]` */
  readonly transposed: StreamedWeight;
  /** float32 `[out]` */
  readonly scales: StreamedWeight;
}

/** A matrix in whole numbers of 4 or 8 bits, with a scale for each block of inputs of each output. */
export interface BlockMatrix {
  /** Tells it from the other kinds. */
  readonly kind: "blocks";
  /** `[out, in]` */
  readonly shape: readonly number[];
  /** Bits of a number. */
  readonly bits: 4 | 8;
  /** Numbers in a block. */
  readonly blockSize: number;
  /** uint8 `[out, blocks, blockSize * bits / 8]`; the middle of the range stands for 0. */
  readonly packed: StreamedWeight;
  /** float32 `[out * blocks]` */
  readonly scales: StreamedWeight;
}

/** Where the numbers of a matrix come from, and how products with it are computed. */
export type MatrixReference = WeightReference | Int8Matrix | BlockMatrix;

/** Options of {@linkcode GraphBuilder.node}. */
export interface NodeOptions {
  /** Constants of the node. */
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** The operator set; ONNX's own if absent. */
  readonly domain?: string;
  /** The name of the node and its outputs; made from the operator if absent. */
  readonly name?: string;
}

/** The set of operators that ONNX Runtime adds to ONNX's own. */
export const MICROSOFT = "com.microsoft";

/** Version of ONNX's own operators: the first that has `Attention`. */
export const OPERATOR_SET = 23;

const IR_VERSION = 10;

const elementTypes: Readonly<Record<DataType, number>> = {
  F64: TensorType.DOUBLE,
  F32: TensorType.FLOAT,
  F16: TensorType.FLOAT16,
  BF16: TensorType.BFLOAT16,
  I64: TensorType.INT64,
  I32: TensorType.INT32,
  I16: TensorType.INT16,
  I8: TensorType.INT8,
  U8: TensorType.UINT8,
  BOOL: TensorType.BOOL,
};

/**
 * The ONNX type of numbers.
 *
 * @param dataType The type in the words of the safetensors format
 * @returns One of `TensorProto.DataType`
 */
export function elementType(dataType: DataType): number {
  return elementTypes[dataType];
}

/** Collects the nodes, constants, inputs and outputs of one graph. */
export class GraphBuilder {
  readonly #nodes: NodeProto[] = [];
  /** Nodes that turn weights into float32. */
  readonly #conversions: NodeProto[] = [];
  readonly #initializers: TensorProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  readonly #names = new Set<string>();
  readonly #constants = new Map<string, Value>();
  readonly #renamed = new Map<Value, string>();
  readonly #stored = new Map<WeightReference, Value>();
  readonly #streams = new Map<string, StreamedWeight>();

  /**
   * Adds a node with one output.
   *
   * @param operator The operator, such as `Gemm`
   * @param inputs What it takes; undefined for an optional input that is left out
   * @param options Its constants, operator set and name
   * @returns Its output
   */
  node(operator: string, inputs: readonly (Value | undefined)[], options: NodeOptions = {}): Value {
    return this.nodes(operator, inputs, 1, options)[0];
  }

  /**
   * Adds a node with several outputs.
   *
   * @param operator The operator
   * @param inputs What it takes; undefined for an optional input that is left out
   * @param outputs How many outputs it has
   * @param options Its constants, operator set and name
   * @returns Its outputs
   */
  nodes(
    operator: string,
    inputs: readonly (Value | undefined)[],
    outputs: number,
    options: NodeOptions = {},
  ): readonly Value[] {
    const name = this.#unused(options.name ?? operator);
    const output = Array.from(
      { length: outputs },
      (_, index) => index === 0 ? name : this.#unused(`${name}_${index}`),
    );
    const attribute = Object.entries(options.attributes ?? {}).map(([key, value]) =>
      attributeProto(key, value)
    );
    this.#nodes.push({
      input: inputs.map((input) => input ?? ""),
      output,
      name,
      opType: operator,
      attribute,
      domain: options.domain,
    });
    return output;
  }

  /**
   * Adds an input of the graph.
   *
   * @param name Its name
   * @param dataType The type of its numbers
   * @param shape Its sizes
   * @returns The value
   */
  input(name: string, dataType: DataType, shape: ValueShape): Value {
    this.#inputs.push(valueInfo(this.#claim(name), dataType, shape));
    return name;
  }

  /**
   * Makes the output of a node an output of the graph.
   *
   * @param name The output's name
   * @param value The value
   * @param dataType The type of its numbers
   * @param shape Its sizes
   */
  output(name: string, value: Value, dataType: DataType, shape: ValueShape): void {
    this.#renamed.set(value, this.#claim(name));
    this.#outputs.push(valueInfo(name, dataType, shape));
  }

  /**
   * Adds whole numbers as a constant; equal ones are shared.
   *
   * @param values The numbers
   * @param shape Its sizes; a list if absent, `[]` for a single number
   * @returns The value, in int64
   */
  integers(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    const key = `${shape.length === 0 ? "integer" : "integers"}:${values.join(",")}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.#claim(key);
    this.#initializers.push({
      name,
      dims: shape,
      dataType: TensorType.INT64,
      int64Data: values,
    });
    this.#constants.set(key, name);
    return name;
  }

  /**
   * Adds float32 numbers as a constant, once under each name.
   *
   * @param name Its name
   * @param values The numbers
   * @returns The value, a list in float32
   */
  numbers(name: string, values: readonly number[]): Value {
    const known = this.#constants.get(name);
    if (known !== undefined) return known;
    const data = Float32Array.from(values);
    this.#initializers.push(initializer(name, { kind: "inline", shape: [data.length], data }));
    this.#constants.set(name, this.#claim(name));
    return name;
  }

  /**
   * Adds a weight as float32: its numbers stay where they are, and others than float32 are converted in the graph.
   *
   * @param name Its name
   * @param weight Where its numbers come from
   * @returns The value, in float32
   */
  weight(name: string, weight: WeightReference): Value {
    const stored = this.storedWeight(name, weight);
    if (!isNarrow(weight)) return stored;
    const float = this.node("Cast", [stored], {
      attributes: { to: TensorType.FLOAT },
      name: `${name}.float`,
    });
    this.#conversions.push(this.#nodes.pop()!);
    return float;
  }

  /**
   * Adds a weight as it is stored. A reference that has been added before is the same weight: it is stored once, under
   * its first name.
   *
   * @param name Its name
   * @param weight Where its numbers come from
   * @returns The value, in the type that it is stored in
   */
  storedWeight(name: string, weight: WeightReference): Value {
    const known = this.#stored.get(weight);
    if (known !== undefined) return known;
    this.#stored.set(weight, name);
    if (weight.kind === "input") return this.input(name, "F32", weight.shape);
    this.#initializers.push(initializer(name, weight));
    if (weight.kind === "streamed") this.#streams.set(name, weight);
    return this.#claim(name);
  }

  /** The weights whose bytes are to be made when the graph is written, by the names of their initializers. */
  get streams(): ReadonlyMap<string, StreamedWeight> {
    return this.#streams;
  }

  /**
   * The finished graph.
   *
   * @param name The graph's name
   * @returns The model around it
   */
  build(name: string): ModelProto {
    // Outputs are renamed at their source: a node that only copies would cost a pass over the numbers.
    const rename = (names: readonly Value[] | undefined) =>
      names?.map((each) => this.#renamed.get(each) ?? each);
    return {
      irVersion: IR_VERSION,
      producerName: "gprune",
      opsetImport: [{ domain: "", version: OPERATOR_SET }, { domain: MICROSOFT, version: 1 }],
      graph: {
        name,
        // Of what a node takes, ONNX Runtime makes first what stands last: a weight that stood behind the activations
        // would be converted before all that they are made of, and lie there meanwhile.
        node: [...this.#conversions, ...this.#nodes].map((node) => ({
          ...node,
          input: rename(node.input),
          output: rename(node.output),
        })),
        initializer: this.#initializers,
        input: this.#inputs,
        output: this.#outputs,
      },
    };
  }

  /**
   * The bytes of the finished graph.
   *
   * @param name The graph's name
   * @returns The bytes of an `.onnx` file
   */
  bytes(name: string): Uint8Array<ArrayBuffer> {
    return encodeModel(this.build(name));
  }

  #claim(name: string): Value {
    if (this.#names.has(name)) throw new RangeError(`Cannot name two values '${name}'`);
    this.#names.add(name);
    return name;
  }

  #unused(name: string): Value {
    let candidate = name;
    for (let count = 1; this.#names.has(candidate); count++) candidate = `${name}_${count}`;
    return this.#claim(candidate);
  }
}

function valueInfo(name: string, dataType: DataType, shape: ValueShape): ValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === "number" ? { dimValue: size } : { dimParam: size }
  );
  return { name, type: { tensorType: { elemType: elementType(dataType), shape: { dim } } } };
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if (typeof value === "number") return { name, type: AttributeType.INT, i: value };
  if (typeof value === "string") {
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  }
  if ("float" in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: value };
}

/**
 * Whether a weight is stored in another type than float32, which it is computed with.
 *
 * @param weight The weight
 * @returns True where a cast is needed
 */
export function isNarrow(weight: WeightReference): boolean {
  const stored = weight.kind === "external" || weight.kind === "streamed";
  return stored && weight.dataType !== "F32";
}

function initializer(name: string, weight: Exclude<WeightReference, InputWeight>): TensorProto {
  switch (weight.kind) {
    case "inline":
      return inline(name, weight);
    case "external":
      return external(name, weight);
    case "streamed":
      return { name, dims: weight.shape, dataType: elementType(weight.dataType) };
  }
}

function external(name: string, weight: ExternalWeight): TensorProto {
  return {
    name,
    dims: weight.shape,
    dataType: elementType(weight.dataType),
    dataLocation: EXTERNAL,
    externalData: [
      { key: "location", value: weight.location },
      { key: "offset", value: `${weight.offset}` },
      { key: "length", value: `${weight.byteLength}` },
    ],
  };
}

function inline(name: string, { shape, data }: InlineWeight): TensorProto {
  return {
    name,
    dims: shape,
    dataType: TensorType.FLOAT,
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}
