/**
 * The sections of the quality bench: which rows each needs, and how they read.
 * @module
 */
import type { CompareRow } from "../../core/evaluate/report.ts";
import type { Structure } from "../../core/model/types.ts";
import type { PlanOptions } from "../../core/plan/request.ts";
import type { Method, Metric, Refit, Shape } from "../../core/plan/types.ts";
import { markdownTable, spread, type Table, worstOf } from "./markdown.ts";
import type { QualityOptions, SectionName } from "./options.ts";
import type { Trial } from "./trials.ts";

/** Gives the rows of a trial, one for each seed that it was measured with. */
export type RowsOf = (trial: Trial) => readonly CompareRow[];

/** A part of the bench. */
export interface Section {
  /** Its name on the command line. */
  readonly name: SectionName;
  /** Its heading. */
  readonly title: string;
  /** Whether it is measured with all seeds, or with the first alone. */
  readonly everySeed: boolean;
  /** The rows that it needs. */
  readonly trials: readonly Trial[];
  /** Writes it. */
  readonly write: (rowsOf: RowsOf) => string;
}

/**
 * All sections.
 *
 * @param options Sparsities and structures in place of the sections' own
 * @param first The name of the first calibration text
 * @returns The sections, in the order in which they are run and written
 */
export function sections(options: QualityOptions, first: string): readonly Section[] {
  return [
    tableSection(options),
    ablationSection(options, first),
    neverWorseSection(options),
    claimSection(options, first),
  ];
}

const both: readonly Structure[] = ["ffn", "heads"];
const ffn: readonly Structure[] = ["ffn"];
const ratioHeadings = ["calibrated", "not covered", "all", "worst"] as const;

function ratios(rows: readonly CompareRow[]): readonly string[] {
  return [
    spread(rows.map(({ calibratedRatio }) => calibratedRatio)),
    spread(rows.map(({ uncoveredRatio }) => uncoveredRatio)),
    spread(rows.map(({ geomeanRatio }) => geomeanRatio)),
    worstOf(rows),
  ];
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}

function cutName(structures: readonly Structure[]): string {
  return structures.includes("heads")
    ? structures.includes("ffn") ? "FFN + KV groups" : "KV groups"
    : "FFN";
}

function tableSection({ sparsities = [0.3, 0.5, 0.7], structures = [ffn, both] }: QualityOptions) {
  const kinds: readonly (readonly [string, PlanOptions])[] = [
    ["**gprune**, adaptive", { method: "gprune", shape: "adaptive" }],
    ["**gprune**, uniform", { method: "gprune", shape: "uniform" }],
    ["FLAP", { method: "flap" }],
    ["FLAP + lsq", { method: "flap", refit: "lsq" }],
    ["Wanda-sp", { method: "wanda-sp" }],
    ["Wanda-sp + lsq", { method: "wanda-sp", refit: "lsq" }],
  ];
  const lines = structures.flatMap((set) =>
    sparsities.flatMap((sparsity) =>
      kinds.map(([name, request]) => ({
        cells: [cutName(set), percent(sparsity), name],
        trial: {
          request: { ...request, sparsity, structures: set },
          texts: request.method === "gprune" ? "all" : "given",
        } satisfies Trial,
      }))
    )
  );
  return {
    name: "table",
    title: "gprune and the published baselines",
    everySeed: true,
    trials: lines.map(({ trial }) => trial),
    write: (rowsOf) =>
      markdownTable({
        left: ["units cut", "removed", "method"],
        right: ratioHeadings,
        rows: lines.map(({ cells, trial }) => [...cells, ...ratios(rowsOf(trial))]),
      }),
  } satisfies Section;
}

/** One step of the ablation: what it adds to the step before. */
interface Step {
  readonly name: string;
  readonly trial: Omit<Trial, "request"> & { readonly request: PlanOptions };
  /** A control or a side branch: the next step does not build on it. */
  readonly aside?: boolean;
}

function ablationSteps(first: string): readonly Step[] {
  const cheap: PlanOptions = { method: "gprune", metric: "wanda-sp", refit: "none", modules: 1 };
  const grouped = { ...cheap, modules: 4 };
  const learned = { ...grouped, shape: "adaptive" } as const;
  const refitted = { ...learned, refit: "lsq" } as const;
  const obs = { ...refitted, metric: "obs" } as const;
  return [
    {
      name: `Wanda-sp, scores from ${first} alone, uniform, no refit`,
      trial: { texts: "one", request: { method: "wanda-sp" } },
    },
    { name: "+ all calibration texts", trial: { texts: "given", request: cheap } },
    { name: "+ `self`", trial: { texts: "all", request: cheap } },
    { name: "+ 4 modules by sensitivity", trial: { texts: "all", request: grouped } },
    {
      name: "(control: 4 modules of the same sizes by chance)",
      trial: { texts: "all", request: { ...grouped, grouping: "random" } },
      aside: true,
    },
    {
      name: "(aside: + hard switch to magnitude)",
      trial: { texts: "all", request: { ...grouped, switch: "magnitude" } },
      aside: true,
    },
    { name: "+ learned shares of layers", trial: { texts: "all", request: learned } },
    {
      name: "+ refit, every layer by itself",
      trial: { texts: "all", request: refitted, blockByBlock: false },
    },
    {
      name: "+ `obs` orders in place of Wanda-sp",
      trial: { texts: "all", request: obs, blockByBlock: false },
    },
    {
      name: "+ refit block by block",
      trial: { texts: "all", request: { method: "gprune", shape: "adaptive" }, scaledNorm: false },
    },
    {
      name: "+ final norm scaled: **gprune** as it comes",
      trial: { texts: "all", request: { method: "gprune", shape: "adaptive" } },
    },
    {
      name: "(aside: gprune without `self`)",
      trial: { texts: "given", request: { method: "gprune", shape: "adaptive" } },
      aside: true,
    },
    {
      name: "(aside: gprune without learned shares, uniform)",
      trial: { texts: "all", request: { method: "gprune", shape: "uniform" } },
      aside: true,
    },
  ];
}

function ablationSection(
  { sparsities = [0.5], structures = [ffn] }: QualityOptions,
  first: string,
) {
  const steps = ablationSteps(first);
  const groups = structures.flatMap((set) =>
    sparsities.map((sparsity) => ({
      title: `${cutName(set)}, ${percent(sparsity)} removed`,
      steps: steps.map(({ name, trial, aside = false }): Step => ({
        name,
        aside,
        trial: { ...trial, request: { ...trial.request, sparsity, structures: set } },
      })),
    }))
  );
  return {
    name: "ablation",
    title: "What each piece is worth",
    everySeed: true,
    trials: groups.flatMap((group) => group.steps.map(({ trial }) => trial)),
    write: (rowsOf) =>
      groups.map(({ title, steps }) =>
        `${title}. Change = the mean ratio over all texts / that of the last step above that is not in brackets.\n\n${
          markdownTable(ablationTable(steps, rowsOf))
        }`
      ).join("\n"),
  } satisfies Section;
}

function ablationTable(steps: readonly Step[], rowsOf: RowsOf): Table {
  let before: readonly CompareRow[] | undefined;
  const rows = steps.map(({ name, trial, aside }) => {
    const own = rowsOf(trial);
    const last = before;
    const change = last === undefined
      ? "–"
      : spread(own.map((row, index) => row.geomeanRatio / last[index].geomeanRatio));
    if (aside !== true) before = own;
    return [name, ...ratios(own), change];
  });
  return { left: ["step"], right: [...ratioHeadings, "change"], rows };
}

const measures = {
  "calibrated": ({ calibratedRatio }: CompareRow) => calibratedRatio,
  "not covered": ({ uncoveredRatio }: CompareRow) => uncoveredRatio,
  "worst": ({ worst }: CompareRow) => worst.ratio,
} as const;

interface Duel {
  readonly set: readonly Structure[];
  readonly sparsity: number;
  readonly shape: Shape;
  readonly own: Trial;
  readonly baselines: readonly { readonly name: string; readonly trial: Trial }[];
}

function duels(options: QualityOptions): readonly Duel[] {
  const { sparsities = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7], structures = [ffn, both] } = options;
  const methods: readonly Method[] = ["flap", "wanda-sp", "magnitude", "random"];
  const refits: readonly (Refit | undefined)[] = [undefined, "lsq"];
  return structures.flatMap((set) =>
    sparsities.flatMap((sparsity) =>
      (["uniform", "adaptive"] as const).map((shape): Duel => ({
        set,
        sparsity,
        shape,
        own: { texts: "all", request: { method: "gprune", shape, sparsity, structures: set } },
        baselines: methods.flatMap((method) =>
          refits.map((refit) => ({
            name: refit === undefined ? method : `${method} + ${refit}`,
            trial: {
              texts: "given",
              request: {
                method,
                // The others are uniform whatever is asked for, so that both shapes share their rows.
                ...(method === "flap" && shape === "uniform" ? { shape } : {}),
                ...(refit === undefined ? {} : { refit }),
                sparsity,
                structures: set,
              },
            },
          }))
        ),
      }))
    )
  );
}

function neverWorseSection(options: QualityOptions): Section {
  const all = duels(options);
  return {
    name: "never-worse",
    title: "Against every baseline, at every sparsity",
    everySeed: false,
    trials: all.flatMap(({ own, baselines }) => [own, ...baselines.map(({ trial }) => trial)]),
    write: (rowsOf) => writeDuels(all, rowsOf),
  };
}

function writeDuels(all: readonly Duel[], rowsOf: RowsOf): string {
  let compared = 0;
  const losses: string[] = [];
  const rows = all.map(({ set, sparsity, shape, own, baselines }) => {
    const [mine] = rowsOf(own);
    let wins = 0, here = 0;
    const best = new Map<string, { readonly name: string; readonly value: number }>();
    for (const { name, trial } of baselines) {
      for (const row of rowsOf(trial)) {
        for (const [measure, of] of Object.entries(measures)) {
          const [ours, theirs] = [of(mine), of(row)];
          if (ours === undefined || theirs === undefined) continue;
          here++;
          if (ours <= theirs) wins++;
          else {
            losses.push(
              `- ${cutName(set)}, ${percent(sparsity)}, ${shape}: ${measure}, gprune ${
                spread([ours])
              }, ${name} ${spread([theirs])}`,
            );
          }
          const known = best.get(measure);
          if (known === undefined || theirs < known.value) {
            best.set(measure, { name, value: theirs });
          }
        }
      }
    }
    compared += here;
    return [
      cutName(set),
      percent(sparsity),
      shape,
      ...Object.entries(measures).flatMap(([measure, of]) => {
        const other = best.get(measure);
        return [
          spread([of(mine)]),
          other === undefined ? "–" : `${spread([other.value])} (${other.name})`,
        ];
      }),
      `${wins} of ${here}`,
    ];
  });
  const verdict = losses.length === 0
    ? `No loss in ${compared} comparisons.`
    : `${losses.length} losses in ${compared} comparisons:\n\n${losses.join("\n")}`;
  const right = Object.keys(measures).flatMap((measure) => [measure, "best baseline"]);
  return `${
    markdownTable({ left: ["units cut", "removed", "shape"], right: [...right, "won"], rows })
  }\n${verdict}\n`;
}

function claimSection(
  { sparsities = [0.3, 0.5, 0.7], structures = [ffn] }: QualityOptions,
  first: string,
): Section {
  const metrics: readonly Metric[] = ["wanda-sp", "wifv", "rms", "obs", "magnitude"];
  const lines = structures.flatMap((set) =>
    metrics.flatMap((metric) =>
      sparsities.map((sparsity) => {
        const trial = (request: PlanOptions): Trial => ({
          texts: "given",
          ...(metric === "obs" ? { ordersFromOne: true } : {}),
          request: {
            method: "gprune",
            metric,
            sparsity,
            structures: set,
            refit: "none",
            scoreDomains: [first],
            moduleShares: "equal",
            ...request,
          },
        });
        return {
          cells: [cutName(set), metric, percent(sparsity)],
          trials: [
            trial({ modules: 1 }),
            trial({ modules: 4 }),
            trial({ modules: 4, grouping: "random" }),
            trial({ modules: 4, switch: "magnitude" }),
            trial({ modules: 1, shape: "adaptive" }),
            trial({ modules: 4, switch: "magnitude", shape: "adaptive" }),
          ],
        };
      })
    )
  );
  return {
    name: "claim",
    title: "The paper's own claim",
    everySeed: false,
    trials: lines.flatMap(({ trials }) => trials),
    write: (rowsOf) => writeClaim(lines, rowsOf, first),
  };
}

function writeClaim(
  lines: readonly { readonly cells: readonly string[]; readonly trials: readonly Trial[] }[],
  rowsOf: RowsOf,
  first: string,
): string {
  const others = ({ perplexity }: CompareRow) => {
    const kept = perplexity.filter(({ name }) => name !== first);
    const sum = kept.reduce((total, { dense, pruned }) => total + Math.log(pruned / dense), 0);
    return Math.exp(sum / kept.length);
  };
  let better = 0, grouped = 0, overShares = 0;
  const rows = lines.map(({ cells, trials }) => {
    const values = trials.map((trial) => others(rowsOf(trial)[0]));
    const [base, modules, , , shares, whole] = values;
    if (whole < base) better++;
    if (modules < base) grouped++;
    if (whole < shares) overShares++;
    return [...cells, ...values.map((value) => spread([value]))];
  });
  return [
    `Scores come from ${first} alone, sensitivity and learned shares from all calibration texts (no \`self\`); no refit. Geometric mean of pruned / dense perplexity over the evaluation texts other than ${first}. "GPrune" = 4 modules by sensitivity, each giving up the same share, hard switch to magnitude where a module is unreliable, learned shares of layers.\n`,
    markdownTable({
      left: ["units cut", "base metric", "removed"],
      right: [
        "base",
        "+ modules",
        "random modules",
        "+ modules + switch",
        "learned shares alone",
        "GPrune",
      ],
      rows,
    }),
    `GPrune beats its base metric in ${better} of ${rows.length} cases, modules alone in ${grouped}; GPrune beats learned shares without modules in ${overShares}.\n`,
  ].join("\n");
}
