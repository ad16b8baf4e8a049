/**
 * Where the words of a command line lead: paths start at the folder in which the user typed.
 * @module
 */
import { basename, isAbsolute, relative, resolve, sep } from "@std/path";
import type { NamedPath } from "../core/session/types.ts";

/** The name of the embedded model, which results are named after. */
const embeddedName = "tiny";

/**
 * An absolute path.
 *
 * @param path What the user wrote; `~/` leads home
 * @param folder The user's folder
 * @param home The user's home folder, if known
 * @returns The path
 */
export function pathOf(path: string, folder: string, home?: string): string {
  if (home !== undefined && (path === "~" || /^~[/\\]/.test(path))) {
    return resolve(home, path.slice(2));
  }
  return resolve(folder, path);
}

/**
 * What a model argument means: a folder becomes an absolute path, a hub id and `embedded` stay as they are.
 *
 * @param model What the user wrote, if anything
 * @param folder The user's folder
 * @param home The user's home folder, if known
 * @returns A source for the library; undefined for the embedded model
 */
export function modelSource(
  model: string | undefined,
  folder: string,
  home?: string,
): string | undefined {
  if (model === undefined) return undefined;
  const path = pathOf(model, folder, home);
  if (/^[.~/\\]/.test(model) || isAbsolute(model) || exists(path)) return path;
  const named = model === "embedded" || /^[\w.-]+\/[\w.-]+$/.test(model);
  return named ? model : path;
}

/**
 * The short name of a model.
 *
 * @param source A source as {@linkcode modelSource} gives it
 * @returns The last part of a path or hub id
 */
export function modelName(source: string | undefined): string {
  if (source === undefined || source === "embedded") return embeddedName;
  return basename(source) || "model";
}

/**
 * Texts with absolute paths.
 *
 * @param texts The texts as the user wrote them, if any
 * @param folder The user's folder
 * @param home The user's home folder, if known
 * @returns The texts; undefined if there are none
 */
export function textPaths(
  texts: readonly NamedPath[] | undefined,
  folder: string,
  home?: string,
): readonly NamedPath[] | undefined {
  return texts?.map(({ name, path }) => ({ name, path: pathOf(path, folder, home) }));
}

/**
 * A path as the user would write it: relative where it lies below the user's folder.
 *
 * @param path An absolute path
 * @param folder The user's folder
 * @returns The shorter form
 */
export function shownPath(path: string, folder: string): string {
  const short = relative(folder, path);
  return short === "" || short === ".." || short.startsWith(`..${sep}`) || isAbsolute(short)
    ? path
    : short;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    // Whatever the reason, opening the model will name it.
    return false;
  }
}
