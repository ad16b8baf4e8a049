/**
 * The door to `@std/fmt/bytes`.
 * @module
 */
// @ts-types="./std_fmt_bytes.d.ts"
export * from "deno-std/fmt/bytes.js";
