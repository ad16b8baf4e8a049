/**
 * The embedded model in tests.
 * @module
 */

/**
 * Whether the embedded model is missing: it is made by its recipe, and without it some tests have nothing to run on.
 *
 * @returns The value for a test's `ignore`
 */
export function embeddedIsMissing(): boolean {
  try {
    return !Deno.statSync(new URL("../../models/tiny/config.json", import.meta.url)).isFile;
  } catch {
    console.log("Tests that need the embedded model are left out: it is missing");
    return true;
  }
}
