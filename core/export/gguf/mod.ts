/**
 * GGUF: writing it, and opening what was written.
 * @module
 */
export { exportGguf, type GgufFile, type GgufOptions, requireGguf } from "./export.ts";
export type { GgufArchitecture, GgufQuantization } from "./architecture.ts";
export { type GgufModel, openGguf } from "./open.ts";
