/**
 * The door to `@std/fmt/duration`.
 * @module
 */
// @ts-types="./std_fmt_duration.d.ts"
export * from "deno-std/fmt/duration.js";
