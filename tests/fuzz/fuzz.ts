/**
 * Fuzzing a reader in a process of its own, under the eyes of a watchdog.
 * @module
 */
import type { FuzzSummary } from "./child.ts";

/** How to fuzz. */
export interface FuzzOptions {
  /** How many hostile files. */
  readonly cases: number;
  /** The seed that they are made from. */
  readonly seed: number;
}

/** Milliseconds after which a case counts as hung; those that end before are measured by the process itself. */
const PATIENCE = 30_000;

/**
 * Fuzzes a reader.
 *
 * @param name Its name in `readers/mod.ts`
 * @param options How many cases, from which seed
 * @returns What came of them
 */
export async function fuzz(name: string, { cases, seed }: FuzzOptions): Promise<FuzzSummary> {
  const folder = await Deno.makeTempDir({ prefix: `gprune-fuzz-${name}-`, dir: fastFolder() });
  let failed = true;
  try {
    const summary = await watch([name, String(cases), String(seed), folder]);
    failed = summary.failure !== undefined;
    if (summary.failure === undefined) return summary;
    return { ...summary, failure: { ...summary.failure, file: await kept(folder) } };
  } catch (error) {
    const reason = `${(error as Error).message}; the case is in '${await kept(folder)}'`;
    throw new Error(`Reader '${name}', seed ${seed}: ${reason}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
    if (failed) console.error(`Reader '${name}' failed with seed ${seed}`);
  }
}

/** A folder in memory, where there is one: files are written by the thousands. */
function fastFolder(): string | undefined {
  try {
    return Deno.statSync("/dev/shm").isDirectory ? "/dev/shm" : undefined;
  } catch {
    return undefined;
  }
}

async function kept(folder: string): Promise<string> {
  const file = await Deno.makeTempFile({ prefix: "gprune-fuzz-case-" });
  await Deno.copyFile(`${folder}/case`, file).catch(() => undefined);
  return file;
}

async function watch(args: readonly string[]): Promise<FuzzSummary> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("./child.ts", import.meta.url).href, ...args],
    env: { HF_TOKEN: "hf_secretfortests", NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  let hung = false;
  const bark = () => {
    hung = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(bark, PATIENCE);
  let begun = 0;
  let last = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    clearTimeout(timer);
    timer = setTimeout(bark, PATIENCE);
    const lines = (last + text).split("\n");
    begun += lines.filter((line) => line === ".").length;
    last = lines.findLast((line) => line !== "." && line !== "") ?? lines.at(-1) ?? "";
  }
  clearTimeout(timer);
  const { code } = await child.status;
  if (hung) throw new Error(`case ${begun} hangs`);
  if (!last.startsWith("{")) {
    throw new Error(`the process ended with code ${code} at case ${begun}: ${await errors}`);
  }
  await errors;
  return JSON.parse(last);
}
