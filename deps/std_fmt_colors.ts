/**
 * The door to `@std/fmt/colors`.
 * @module
 */
// @ts-types="./std_fmt_colors.d.ts"
export * from "deno-std/fmt/colors.js";
