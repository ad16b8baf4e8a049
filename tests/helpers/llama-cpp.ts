/**
 * llama.cpp for tests, through the prebuilt binaries of `node-llama-cpp`. It is no dependency of the project: its
 * packages for graphics cards would make everybody's first run hundreds of megabytes larger. The pinned versions of
 * `tests/clients/llama_cpp/` are installed once, beside the other modules, when a test first asks.
 * @module
 */

/** What to ask about a file. */
export interface LlamaQuestion {
  /** The GGUF file. */
  readonly path: string;
  /** Texts to cut into tokens. */
  readonly texts?: readonly string[];
  /** Tokens to run through the model. */
  readonly tokens?: readonly number[];
  /** Places among them after which the log-probabilities of all next tokens are wanted. */
  readonly positions?: readonly number[];
  /** A text to go on with. */
  readonly prompt?: string;
}

/** What llama.cpp makes of a file. */
export interface LlamaAnswer {
  /** Why it cannot be loaded or run. */
  readonly error?: string;
  /** Token numbers of each text. */
  readonly encoded: readonly (readonly number[])[];
  /** Each text again. */
  readonly decoded: readonly string[];
  /** Its special tokens, and whether a start token is put before texts. */
  readonly specials: {
    readonly bos: number | null;
    readonly eos: number | null;
    readonly addsStart: boolean;
  };
  /** The chat template. */
  readonly template?: string;
  /** For each position, log-probabilities by token. */
  readonly logProbabilities: readonly (readonly number[])[];
  /** What it wrote after the prompt. */
  readonly generated?: string;
}

const SOURCE = new URL("../clients/llama_cpp/", import.meta.url);
const MODULES = new URL("../../node_modules/", import.meta.url);
const INSTALLED = new URL(".llama-cpp/", MODULES);
const FILES = ["package.json", "package-lock.json", "run.mjs"];
/**
 * The kernels for Intel's matrix unit (AMX), which give wrong numbers with quantized weights, whoever wrote the file
 * (llama.cpp's pull request 16315 tells of it; seen again in the pinned version). Without them llama.cpp takes those for
 * AVX-512, which an Intel processor with the unit has too.
 */
const WRONG_KERNELS =
  "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-cpu-sapphirerapids.so";

let state: Promise<string | undefined> | undefined;

/**
 * Why llama.cpp cannot be had here, if it cannot. The first call installs it; a reason is said aloud.
 *
 * @returns The reason, or undefined
 */
export function llamaIsMissing(): Promise<string | undefined> {
  return state ??= install().catch((error) => String(error)).then((reason) => {
    if (reason !== undefined) {
      console.log(`Tests that need llama.cpp are left out: ${reason}`);
    }
    return reason;
  });
}

/**
 * Asks llama.cpp about files, all in one process.
 *
 * @param questions What to ask
 * @returns The answers, in the order of the questions
 */
export async function askLlama(questions: readonly LlamaQuestion[]): Promise<LlamaAnswer[]> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--no-config", "--node-modules-dir=manual", "run.mjs"],
    cwd: INSTALLED,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = command.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(questions)));
  await writer.close();
  const { stdout, stderr, code } = await command.output();
  const text = new TextDecoder();
  if (code !== 0) throw new Error(`llama.cpp: ${text.decode(stderr).slice(-2000)}`);
  return text.decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
}

async function install(): Promise<string | undefined> {
  const { os, arch } = Deno.build;
  if (os !== "linux" || arch !== "x86_64") return `its binaries are pinned for Linux x64 alone`;
  for (const file of FILES) {
    // What runs is what stands in the project now, whenever the modules were installed.
    if (await exists(new URL("node_modules/", INSTALLED))) {
      await Deno.copyFile(new URL(file, SOURCE), new URL(file, INSTALLED));
    }
  }
  if (await exists(new URL("node_modules/", INSTALLED))) return await trial();
  const partial = new URL(`.llama-cpp.${crypto.randomUUID()}/`, MODULES);
  await Deno.mkdir(partial, { recursive: true });
  try {
    for (const file of FILES) await Deno.copyFile(new URL(file, SOURCE), new URL(file, partial));
    const args = ["install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
    const { code, stderr } = await new Deno.Command("npm", { args, cwd: partial }).output();
    if (code !== 0) return `npm says ${new TextDecoder().decode(stderr).trim().slice(-300)}`;
    await Deno.rename(partial, INSTALLED);
  } finally {
    await Deno.remove(partial, { recursive: true }).catch(() => undefined);
  }
  return await trial();
}

async function trial(): Promise<string | undefined> {
  try {
    await Deno.remove(new URL(WRONG_KERNELS, INSTALLED)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
    await askLlama([{ path: "no such file" }]);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}
