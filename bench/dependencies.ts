/**
 * Lists every package that gprune depends on with its licence, from the lock file and the packages themselves:
 * `deno run --allow-read bench/dependencies.ts > bench/DEPENDENCIES.md` after `deno install`.
 * @module
 */

const project = new URL("../", import.meta.url);

interface Locked {
  readonly npm: Readonly<Record<string, { readonly dependencies?: readonly string[] }>>;
  readonly workspace: { readonly dependencies: readonly string[] };
}

/**
 * Makes the list.
 *
 * @returns Markdown
 * @throws {Error} if a package is not installed
 */
export async function dependencyList(): Promise<string> {
  const lock: Locked = JSON.parse(await read("deno.lock"));
  const used = await usedByProduct();
  const roots = lock.workspace.dependencies.map((each) => each.replace(/^npm:\/?/, ""));
  const product = closure(lock, roots.filter((root) => used.has(nameOf(root))));
  const rows = await Promise.all(
    Object.keys(lock.npm).map(async (key) => {
      const [name, version] = [nameOf(key), versionOf(key)];
      const { license = "none given" } = await packageOf(name, version);
      return { name, version, license, needed: product.has(key) };
    }),
  );
  rows.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.version < b.version ? -1 : 1);
  const table = (wanted: boolean) =>
    rows.filter(({ needed }) => needed === wanted)
      .map(({ name, version, license }) => `| ${name} | ${version} | ${license} |\n`).join("");
  const head = "| package | version | licence |\n| --- | --- | --- |\n";
  return `# What gprune depends on

Printed by \`bench/dependencies.ts\` from \`deno.lock\` and the packages' own \`package.json\`; a test
checks that it is current. All come from npm, at pinned versions whose hashes are in the lock file.
No package's install script is run, so that \`adm-zip\` and \`global-agent\`, which only the one of
\`onnxruntime-node\` uses, are never loaded. \`deno audit\` asks the registry for known advisories; CI runs
it and prints what it says, or that the registry did not answer.

## To run

${head}${table(true)}
## To test and to check types alone

${head}${table(false)}`;
}

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, project));
}

/** Keys of the lock file are `name@version`, with the versions of peers after `_`. */
function nameOf(key: string): string {
  return key.slice(0, key.indexOf("@", 1));
}

function versionOf(key: string): string {
  return key.slice(key.indexOf("@", 1) + 1).split("_")[0];
}

/** Packages that the program or the library imports, by name. */
async function usedByProduct(): Promise<ReadonlySet<string>> {
  const { imports } = JSON.parse(await read("deno.json"));
  const sources = await Promise.all(
    [...await filesOf("core/"), ...await filesOf("tui/"), ...await filesOf("deps/"), "main.ts"].map(
      read,
    ),
  );
  const code = sources.join("\n").replaceAll(/\/\/ @ts-types=.*/g, "");
  // The runtime of JSX is imported by the compiler.
  const used = Object.entries<string>(imports).filter(([name, target]) =>
    target.startsWith("npm:") && (name.startsWith("react") || code.includes(`"${name}`) ||
      code.includes(`"npm:${name.replace(/\/$/, "")}`))
  );
  return new Set(used.map(([, target]) => nameOf(target.replace(/^npm:\/?/, ""))));
}

async function filesOf(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, project))) {
    if (isDirectory) files.push(...await filesOf(`${folder}${name}/`));
    else if (/\.tsx?$/.test(name)) files.push(folder + name);
  }
  return files;
}

function closure({ npm }: Locked, roots: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  // A dependency with one version alone is named without it.
  const keysOf = (name: string) =>
    Object.keys(npm).filter((key) =>
      key === name || key.startsWith(`${name}_`) || nameOf(key) === name
    );
  const waiting = roots.flatMap(keysOf);
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    if (reached.has(key)) continue;
    reached.add(key);
    waiting.push(...(npm[key].dependencies ?? []).flatMap(keysOf));
  }
  return reached;
}

async function packageOf(name: string, version: string): Promise<{ readonly license?: string }> {
  const folder = `node_modules/.deno/${name.replaceAll("/", "+")}@${version}/node_modules/${name}`;
  return JSON.parse(await read(`${folder}/package.json`));
}

if (import.meta.main) console.log((await dependencyList()).trimEnd());
