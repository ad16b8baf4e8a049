/**
 * Other projects on PyPI that remove FFN neurons of a Llama, and where they are installed.
 * @module
 */
import { basename, join } from "@std/path";

/** A method of another project. */
export interface Peer {
  /** Its name in `prune.py`. */
  readonly method: string;
  /** How the table calls it. */
  readonly label: string;
  /** The package on PyPI. */
  readonly package: string;
  /** What it takes from the calibration windows. */
  readonly data: string;
  /** The environment that it needs: one of {@linkcode environments}. */
  readonly environment: string;
}

/** Environments by name, with their requirements: the packages want different versions of others. */
export const environments: Readonly<Record<string, string>> = {
  common: "requirements.txt",
  osscar: "requirements-osscar.txt",
};

/** All methods. */
export const peers: readonly Peer[] = [
  {
    method: "torch-pruning",
    label: "Torch-Pruning, group magnitude",
    package: "torch-pruning",
    data: "none",
    environment: "common",
  },
  {
    method: "torch-pruning-taylor",
    label: "Torch-Pruning, group Taylor",
    package: "torch-pruning",
    data: "gradients",
    environment: "common",
  },
  {
    method: "optipfair",
    label: "OptiPFair, PPM",
    package: "optipfair",
    data: "none",
    environment: "common",
  },
  {
    method: "optipfair-data",
    label: "OptiPFair, PPM with data",
    package: "optipfair",
    data: "activations",
    environment: "common",
  },
  {
    method: "osscar",
    label: "OSSCAR (fmchisel)",
    package: "fmchisel",
    data: "Gram matrices",
    environment: "osscar",
  },
];

/** Where environments are made, and what with. */
export interface InstallOptions {
  /** The folder of environments. */
  readonly folder: string;
  /** The Python to make them with. */
  readonly python: string;
  /** A `site-packages` folder that `common` may use, so that an installed torch need not be fetched again. */
  readonly base?: string;
  /** Told what is in hand. */
  readonly say: (text: string) => void;
}

/**
 * Installs an environment, unless it is there.
 *
 * @param name One of {@linkcode environments}
 * @param options Where to, what with
 * @returns The environment's Python
 * @throws {Error} if something cannot be installed
 */
export async function install(name: string, options: InstallOptions): Promise<string> {
  const { folder, python, base, say } = options;
  const home = join(folder, name);
  const own = join(home, "bin", "python");
  const done = join(home, "installed");
  if (await exists(done)) return own;
  say(`installing ${environments[name]} to ${home}`);
  await run(python, ["-m", "venv", "--clear", home]);
  if (base !== undefined && name === "common") {
    const [site] = (await run(own, ["-c", "import site; print(site.getsitepackages()[0])"]))
      .trim().split("\n");
    await Deno.writeTextFile(join(site, "base.pth"), `${base}\n`);
  }
  const requirements = join(import.meta.dirname!, environments[name]);
  await run(own, ["-m", "pip", "install", "--quiet", "-r", requirements]);
  await Deno.writeTextFile(done, "");
  return own;
}

/**
 * The versions of packages in an environment.
 *
 * @param python The environment's Python
 * @param packages Names on PyPI
 * @returns Text such as `torch 2.7.1, fmchisel 0.1.2`
 */
export async function versions(python: string, packages: readonly string[]): Promise<string> {
  const code =
    "import sys; from importlib.metadata import version; print(', '.join(f'{n} {version(n)}' for n in sys.argv[1:]))";
  return (await run(python, ["-c", code, ...packages])).trim();
}

/**
 * Runs a program.
 *
 * @param program The program
 * @param args Its words
 * @param cwd Where it runs. Default: here
 * @returns What it wrote to standard output
 * @throws {Error} if it fails; the message has the last lines of standard error
 */
export async function run(
  program: string,
  args: readonly string[],
  cwd?: string,
): Promise<string> {
  // These models are so small that threads of PyTorch would wait for each other most of the time.
  const env = { OMP_NUM_THREADS: "1" };
  const command = new Deno.Command(program, { args: [...args], env, cwd });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  const last = decoder.decode(stderr).trim().split("\n").slice(-3).join(" ");
  throw new Error(`${basename(program)} failed: ${last}`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
