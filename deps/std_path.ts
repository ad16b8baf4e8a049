/**
 * The door to path functions: those of Node, which Deno has built in.
 * @module
 */
export { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
