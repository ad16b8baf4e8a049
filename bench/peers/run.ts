/**
 * gprune beside other projects on PyPI that remove FFN neurons: each is installed into an environment of its own, cuts
 * the same model to the same width with its own recommended method, on the same calibration windows where it takes any,
 * and every output is evaluated by gprune.
 *
 *     deno run -A bench/peers/run.ts path/to/model --calib wiki=wiki.txt … --eval wiki=wiki-held.txt …
 *
 * Options: --samples 32, --seq-len 192, --eval-windows 32, --seed 0, --sparsity 0.3,0.5,0.7, --peers LIST,
 * --python python3, --base SITE-PACKAGES (an installed torch to use), --folder gprune-out/peers, --out bench/PEERS.md.
 * @module
 */
import { join, resolve } from "@std/path";
import { parseArgs } from "node:util";
import type { Report } from "../../core/evaluate/report.ts";
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import { ratiosOf } from "../../core/session/compare_row.ts";
import { evaluationTexts } from "../../core/session/evaluation.ts";
import type { NamedPath } from "../../core/session/types.ts";
import { calibrationDomains, evaluationDomains, windowsOf } from "../../core/text/texts.ts";
import { sampleWindows } from "../../core/text/windows.ts";
import { choiceList, namedPath, sparsityList, whole } from "../../tui/values.ts";
import { codeHash } from "../quality/cache.ts";
import { runConditions, textConditions } from "../quality/conditions.ts";
import { markdownTable, spread, withParts } from "../quality/markdown.ts";
import { install, type Peer, peers, run, versions } from "./methods.ts";

interface Options {
  readonly model: string;
  readonly calibration: readonly NamedPath[];
  readonly evaluation: readonly NamedPath[];
  readonly samples: number;
  readonly seqLen: number;
  readonly evalWindows: number;
  readonly seed: number;
  readonly sparsities: readonly number[];
  readonly peers: readonly Peer[];
  readonly python: string;
  readonly base?: string;
  readonly folder: string;
  readonly out: string;
}

function optionsOf(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const list = { type: "string", multiple: true } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      calib: list,
      eval: list,
      samples: text,
      "seq-len": text,
      "eval-windows": text,
      seed: text,
      sparsity: text,
      peers: text,
      python: text,
      base: text,
      folder: text,
      out: text,
    },
  });
  const [model] = positionals;
  if (model === undefined || values.calib === undefined || values.eval === undefined) {
    throw new Error("Give a model folder, --calib NAME=PATH and --eval NAME=PATH");
  }
  const paths = (name: "calib" | "eval") =>
    values[name]!.reduce<readonly NamedPath[]>(
      (all, word) => namedPath(`--${name}`, word, all),
      [],
    );
  const names = peers.map(({ method }) => method);
  const chosen = values.peers === undefined ? names : choiceList("--peers", values.peers, names);
  return {
    model,
    calibration: paths("calib"),
    evaluation: paths("eval"),
    samples: whole("--samples", values.samples ?? "32", 1),
    seqLen: whole("--seq-len", values["seq-len"] ?? "192", 2),
    evalWindows: whole("--eval-windows", values["eval-windows"] ?? "32", 1),
    seed: whole("--seed", values.seed ?? "0", 0),
    sparsities: sparsityList("--sparsity", values.sparsity ?? "0.3,0.5,0.7"),
    peers: peers.filter(({ method }) => chosen.includes(method)),
    python: values.python ?? "python3",
    base: values.base,
    folder: resolve(values.folder ?? "gprune-out/peers"),
    out: values.out ?? "bench/PEERS.md",
  };
}

/** A pruned model, evaluated. */
interface Outcome {
  readonly label: string;
  readonly data: string;
  readonly width: number;
  /** Perplexity by text, or why there is none. */
  readonly report?: Report;
  readonly failure?: string;
  readonly seconds: number;
}

const say = (text: string) => console.error(text);

/** gprune's own command line, as a user would call it. */
async function gprune(args: readonly string[]): Promise<Report> {
  const main = join(import.meta.dirname!, "../../main.ts");
  return JSON.parse(await run(Deno.execPath(), ["run", "-A", main, ...args, "--json", "--quiet"]));
}

async function evaluated(folder: string, options: Options): Promise<Report> {
  return await gprune([
    "evaluate",
    folder,
    ...options.evaluation.flatMap(({ name, path }) => ["--eval", `${name}=${path}`]),
    "--seq-len",
    String(options.seqLen),
    "--eval-windows",
    String(options.evalWindows),
    "--no-choice",
  ]);
}

/** Cuts with one method and evaluates; a failure is an outcome too. */
async function outcome(
  label: string,
  data: string,
  width: number,
  folder: string,
  options: Options,
  cut: () => Promise<unknown>,
): Promise<Outcome> {
  say(`${label}, width ${width}`);
  await Deno.remove(folder, { recursive: true }).catch(() => undefined);
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  try {
    await cut();
    const took = seconds();
    return { label, data, width, report: await evaluated(folder, options), seconds: took };
  } catch (error) {
    const failure = (error as Error).message
      .replaceAll(/\s+/g, " ").replaceAll(options.folder, "…");
    say(failure);
    return { label, data, width, failure, seconds: seconds() };
  }
}

const ownRows: readonly (readonly [string, readonly string[]])[] = [
  ["**gprune**, uniform", ["--shape", "uniform"]],
  ["**gprune**, adaptive", ["--shape", "adaptive"]],
  ["Wanda-sp (gprune's)", ["--method", "wanda-sp"]],
  ["Wanda-sp + lsq (gprune's)", ["--method", "wanda-sp", "--refit", "lsq"]],
  ["FLAP (gprune's)", ["--method", "flap"]],
];

async function ownOutcome(
  [label, words]: (typeof ownRows)[number],
  width: number,
  before: number,
  options: Options,
): Promise<Outcome> {
  const folder = join(options.folder, "models", "gprune");
  return await outcome(label, "windows", width, folder, options, () =>
    gprune([
      "prune",
      options.model,
      "--out",
      folder,
      "--structures",
      "ffn",
      "--sparsity",
      String(1 - width / before),
      ...options.calibration.flatMap(({ name, path }) => ["--calib", `${name}=${path}`]),
      ...["--samples", String(options.samples), "--seq-len", String(options.seqLen)],
      ...["--seed", String(options.seed), "--eval-windows", "1", "--no-choice", "--multiple", "1"],
      ...options.evaluation.slice(0, 1).flatMap(({ name, path }) => ["--eval", `${name}=${path}`]),
      ...words,
    ]));
}

/** The windows that gprune calibrates on, for the peers. */
async function writeWindows(model: Model, options: Options): Promise<string> {
  const windows: number[][] = [];
  for (const domain of await calibrationDomains(options.calibration)) {
    const all = await windowsOf(model, domain, options.seqLen);
    const { calibration } = sampleWindows(domain.name, all, options.samples, options.seed);
    windows.push(...calibration.map((window) => [...window]));
  }
  await Deno.mkdir(join(options.folder, "models"), { recursive: true });
  const path = join(options.folder, "windows.json");
  await Deno.writeTextFile(path, JSON.stringify(windows));
  return path;
}

function tableOf(outcomes: readonly Outcome[], dense: Report, calibrated: readonly string[]) {
  const rows = outcomes.map(({ label, data, width, report, failure, seconds }) => [
    label,
    data,
    String(width),
    ...(report === undefined ? ["–", "–", "–", "–", "–"] : measured(report, dense, calibrated)),
    failure === undefined ? seconds.toFixed(0) : "failed",
  ]);
  const failures = outcomes.flatMap(({ label, failure }) =>
    failure === undefined ? [] : [`${label} failed: ${failure}`]
  );
  const table = markdownTable({
    left: ["method", "calibration"],
    right: ["mean width", "parameters", "calibrated", "not covered", "all", "worst", "seconds"],
    rows,
  });
  return [table, ...failures.map((failure) => `${failure}\n`)].join("\n");
}

function measured(
  { perplexity, model }: Report,
  dense: Report,
  calibrated: readonly string[],
): readonly string[] {
  const { calibratedRatio, uncoveredRatio, geomeanRatio, worst } = ratiosOf(
    perplexity.map(({ name, dense: pruned }, index) => ({
      name,
      pruned,
      dense: dense.perplexity[index].dense,
      calibrated: calibrated.includes(name),
    })),
  );
  return [
    String(model.parameters),
    spread([calibratedRatio]),
    spread([uncoveredRatio]),
    spread([geomeanRatio]),
    `${spread([worst.ratio])} (${worst.name})`,
  ];
}

const head = `# Peers

Written by \`bench/peers/run.ts\`. Every method removes the same number of FFN parameters from the same model, with its
own project's recommended way and on the same calibration windows where it takes any (gprune adds text that the model
writes itself; the adaptive shape spends the same budget unevenly over the layers; FLAP adds biases). All outputs are Hugging Face folders
in f16, evaluated by \`gprune evaluate\`. Ratio = pruned / dense perplexity, geometric mean; lower is better. Seconds are
the whole command, start of Python or Deno and loading included.

Left out: \`llmcompressor\` sets weights to zero and removes none of them; Minitron of \`nvidia-modelopt\` prunes
models in Megatron frameworks.
`;

async function main(): Promise<number> {
  let options: Options;
  try {
    options = optionsOf(Deno.args);
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    return 2;
  }
  const model = await openModel(options.model);
  const windows = await writeWindows(model, options);
  const environments = join(options.folder, "environments");
  const pythons = new Map<string, string>();
  for (const { environment } of options.peers) {
    if (!pythons.has(environment)) {
      pythons.set(
        environment,
        await install(environment, { ...options, folder: environments, say }),
      );
    }
  }
  const before = model.architecture.layers[0].ffnWidth;
  const dense = await evaluated(options.model, options);
  const names = options.calibration.map(({ name }) => name);
  const script = join(import.meta.dirname!, "prune.py");
  // Some leave logs where they are run, so that is the work folder.
  const source = resolve(options.model);
  const parts: string[] = [];
  for (const sparsity of options.sparsities) {
    const width = Math.round(before * (1 - sparsity));
    const outcomes: Outcome[] = [];
    for (const own of ownRows) outcomes.push(await ownOutcome(own, width, before, options));
    for (const { method, label, data, environment } of options.peers) {
      const folder = join(options.folder, "models", method);
      const python = pythons.get(environment)!;
      outcomes.push(
        await outcome(
          label,
          data,
          width,
          folder,
          options,
          () =>
            run(python, [script, method, source, windows, String(width), folder], options.folder),
        ),
      );
    }
    const share = Number((100 * (1 - width / before)).toFixed(1));
    parts.push(`### ${share} % of the FFN parameters removed (width ${before} → ${width})\n`);
    parts.push(tableOf(outcomes, dense, names));
  }
  const code = await codeHash(join(import.meta.dirname!, "../../core"));
  const found: string[] = [];
  for (const [environment, python] of pythons) {
    const packages = options.peers.filter((peer) => peer.environment === environment)
      .map((peer) => peer.package);
    const wanted = [...new Set(["torch", "transformers", ...packages])];
    found.push(await versions(python, wanted));
  }
  const texts = await evaluationTexts(
    model,
    await evaluationDomains(options.evaluation),
    options.seqLen,
    options.evalWindows,
  );
  const calibration = await calibrationDomains(options.calibration);
  const command = ["deno run -A bench/peers/run.ts", ...Deno.args].join(" ");
  const text = [
    `## ${model.name}\n`,
    ...parts,
    `### Conditions\n\nVersions: ${found.join("; ")}. Seed ${options.seed}. ${await runConditions(
      code,
      command,
    )}\n`,
    textConditions(model, calibration, texts, options.samples),
  ].join("\n");
  const old = await Deno.readTextFile(options.out).catch(() => "");
  await Deno.writeTextFile(options.out, withParts(old, head, [{ name: model.name, text }]));
  say(`Written: ${options.out}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main());
