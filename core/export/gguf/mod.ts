/**
 * GGUF: writing it, and opening what was written.
 * @module
 */
export { exportGguf, type GgufFile, type GgufOptions, requireGguf } from "./export.ts";
export type { GgufArchitecture } from "./kinds.ts";
export type { GgufQuantization } from "./names.ts";
export { type GgufModel, openGguf } from "./open.ts";
