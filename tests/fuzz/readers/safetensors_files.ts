/**
 * Hostile safetensors files: their bytes, and the JSON of their headers under a length that fits.
 * @module
 */
import fc from "fast-check";
import { type Bytes, bytesOf, hostileBytes, hostileJson } from "../mutations.ts";

/**
 * Puts a header before data.
 *
 * @param header Its text
 * @param data The numbers
 * @returns A file
 */
export function safetensorsFile(header: string, data: Uint8Array): Bytes {
  const json = bytesOf(header);
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

/**
 * Takes a file apart.
 *
 * @param file The file
 * @returns The header as a value, and the numbers
 */
export function takeApart(file: Bytes): {
  readonly header: Record<string, unknown>;
  readonly data: Bytes;
} {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(file.subarray(8, 8 + length));
  return { header: JSON.parse(text), data: file.slice(8 + length) };
}

/**
 * Hostile versions of files.
 *
 * @param files The files
 * @returns Files with other bytes, and files with other headers
 */
export function hostileSafetensors(files: readonly Bytes[]): fc.Arbitrary<Bytes> {
  const headers = fc.constantFrom(...files.map(takeApart)).chain(({ header, data }) =>
    hostileJson([header]).map((text) => safetensorsFile(text, data))
  );
  return fc.oneof(hostileBytes(files), headers);
}
