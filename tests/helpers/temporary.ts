/**
 * Temporary folders and files for tests.
 * @module
 */

/**
 * Makes a temporary folder, hands it to a function, and removes it.
 *
 * @param use What to do with its path
 * @returns What the function returns
 */
export async function withTemporaryFolder<T>(
  use: (folder: string) => T | Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "gprune-test-" });
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The folder of shared models and texts beside the repository; a user's machine does not have it. */
export const SHARED: URL = new URL("../../../shared/", import.meta.url);

/**
 * Whether the shared folder is missing; says so once, since tests that need it are then left out.
 *
 * @returns The value for a test's `ignore`
 */
export function sharedIsMissing(): boolean {
  try {
    return !Deno.statSync(SHARED).isDirectory;
  } catch {
    console.log("Tests that need the folder ../shared are left out: it is missing");
    return true;
  }
}
