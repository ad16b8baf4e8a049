/**
 * The door to `@std/assert`, which is published on JSR; the same code as plain JavaScript comes from npm.
 * @module
 */
// @ts-types="./std_assert.d.ts"
export * from "deno-std/assert/mod.js";
