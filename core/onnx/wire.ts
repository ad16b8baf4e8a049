/**
 * Protobuf messages from a table of their fields. Fields that the table does not name are kept as raw bytes, so that
 * a file written by others comes back whole.
 * @module
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ModelError } from "../errors.ts";

/** How a field's value is written: `int64` also stands for int32 and enums, whose varints are the same. */
export type FieldKind = "int64" | "uint64" | "float" | "double" | "string" | "bytes" | "message";

/** One field of a message. */
export interface Field {
  /** Its number in the `.proto` file. */
  readonly number: number;
  /** How its value is written. */
  readonly kind: FieldKind;
  /** Whether it holds a list. Lists of numbers are written packed and read either way. */
  readonly repeated?: boolean;
  /** The table of the message that it holds; a function, since messages may hold themselves. */
  readonly message?: () => MessageTable;
}

/** The fields of a message by the name that they have here. */
export type MessageTable = Readonly<Record<string, Field>>;

/** What every decoded message can have. */
export interface Message {
  /** Fields that the table does not name, tag and value, as they were. */
  readonly unknownFields?: readonly Uint8Array[];
}

type Values = Record<string, unknown>;

/**
 * Encodes a message.
 *
 * @param table Its fields
 * @param message Its values; absent ones are not written
 * @returns Its bytes
 */
export function encodeMessage(table: MessageTable, message: Message): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  writeMessage(writer, table, message);
  return writer.finish();
}

/**
 * Decodes a message.
 *
 * @param table Its fields
 * @param bytes Its bytes
 * @returns Its values; byte fields are views of `bytes`
 * @throws {ModelError} if the bytes are not such a message, or hold an integer past 2^53
 */
export function decodeMessage(table: MessageTable, bytes: Uint8Array): Message {
  try {
    return readMessage(table, bytes);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError("Cannot decode ONNX bytes: they are damaged or not protobuf", {
      cause: error,
    });
  }
}

function writeMessage(writer: BinaryWriter, table: MessageTable, message: Message): void {
  for (const [name, field] of Object.entries(table)) {
    const value = (message as Values)[name];
    if (value === undefined) continue;
    if (!field.repeated) writeField(writer, field, value);
    else if (isPackable(field)) writePacked(writer, field, value as ArrayLike<number>);
    else for (const item of value as readonly unknown[]) writeField(writer, field, item);
  }
  for (const raw of message.unknownFields ?? []) writer.raw(raw);
}

function isPackable({ kind }: Field): boolean {
  return wireTypeOf(kind) !== WireType.LengthDelimited;
}

function wireTypeOf(kind: FieldKind): WireType {
  if (kind === "int64" || kind === "uint64") return WireType.Varint;
  if (kind === "float") return WireType.Bit32;
  return kind === "double" ? WireType.Bit64 : WireType.LengthDelimited;
}

function writePacked(writer: BinaryWriter, field: Field, values: ArrayLike<number>): void {
  if (values.length === 0) return;
  writer.tag(field.number, WireType.LengthDelimited).fork();
  for (let i = 0; i < values.length; i++) writeNumber(writer, field.kind, values[i]);
  writer.join();
}

function writeField(writer: BinaryWriter, field: Field, value: unknown): void {
  writer.tag(field.number, wireTypeOf(field.kind));
  switch (field.kind) {
    case "string":
      writer.string(value as string);
      break;
    case "bytes":
      writer.bytes(value as Uint8Array);
      break;
    case "message":
      writer.fork();
      writeMessage(writer, field.message!(), value as Message);
      writer.join();
      break;
    default:
      writeNumber(writer, field.kind, value as number);
  }
}

function writeNumber(writer: BinaryWriter, kind: FieldKind, value: number): void {
  if (kind === "float") writer.float(value);
  else if (kind === "double") writer.double(value);
  else if (kind === "uint64") writer.uint64(value);
  else writer.int64(value);
}

function readMessage(table: MessageTable, bytes: Uint8Array): Message {
  const byNumber = new Map(Object.entries(table).map(([name, field]) => [field.number, name]));
  const reader = new BinaryReader(bytes);
  const values: Values = {};
  const unknownFields: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const name = byNumber.get(number);
    if (name === undefined) {
      reader.skip(wireType, number);
      unknownFields.push(bytes.subarray(start, reader.pos));
    } else {
      readField(reader, table[name], wireType, values, name);
    }
  }
  return unknownFields.length === 0 ? values : { ...values, unknownFields };
}

function readField(
  reader: BinaryReader,
  field: Field,
  wireType: WireType,
  values: Values,
  name: string,
): void {
  const packed = field.repeated && isPackable(field) && wireType === WireType.LengthDelimited;
  if (!packed && wireType !== wireTypeOf(field.kind)) {
    throw new ModelError(`Cannot decode ONNX bytes: field '${name}' has wire type ${wireType}`);
  }
  if (!field.repeated) {
    values[name] = readValue(reader, field);
    return;
  }
  const list = (values[name] ??= []) as unknown[];
  if (!packed) {
    list.push(readValue(reader, field));
    return;
  }
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) list.push(readValue(reader, field));
}

function readValue(reader: BinaryReader, field: Field): unknown {
  switch (field.kind) {
    case "string":
      return reader.string();
    case "bytes":
      return reader.bytes();
    case "message":
      return readMessage(field.message!(), reader.bytes());
    case "float":
      return reader.float();
    case "double":
      return reader.double();
    case "uint64":
      return safeNumber(reader.uint64());
    case "int64":
      return safeNumber(reader.int64());
  }
}

function safeNumber(value: bigint | string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new ModelError(`Cannot decode ONNX bytes: the integer ${value} is past 2^53`);
}
