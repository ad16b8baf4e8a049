/**
 * The project's quality tables, from the library's own comparison: gprune against the published baselines, what each
 * of its pieces is worth, every loss against any baseline, and the paper's own claim.
 *
 *     deno run -A bench/quality.ts                          # the embedded model
 *     deno run -A bench/quality.ts --model path/to/model \
 *       --calib wiki=wiki.txt --calib code=code.txt --eval wiki=wiki-held.txt --eval chat=chat.txt
 *
 * Every seed is calibrated once for all rows. Finished rows are kept in a file under their conditions, the code among
 * them, so that a bench that was stopped goes on where it was.
 * @module
 */
import { join } from "@std/path";
import { openEngine } from "../core/engine/open.ts";
import type { Engine } from "../core/engine/types.ts";
import { openModel } from "../core/model/open.ts";
import { evaluationTexts } from "../core/session/evaluation.ts";
import { calibrationDomains, evaluationDomains } from "../core/text/texts.ts";
import { codeHash, RowCache } from "./quality/cache.ts";
import { runConditions, textConditions } from "./quality/conditions.ts";
import { type Part, withParts } from "./quality/markdown.ts";
import { embedded, type QualityOptions, qualityOptions, usage } from "./quality/options.ts";
import { type Section, sections } from "./quality/sections.ts";
import { type Trial, Trials, type TrialSetting } from "./quality/trials.ts";

const head = `# Quality

Written by \`bench/quality.ts\`. Ratio = pruned / dense perplexity on held-out text, geometric mean over texts;
lower is better, 1 is the dense model. "Calibrated" texts have the name of a calibration text, "not covered" are the
others, "worst" is the text that lost most. Numbers with ± are mean and sample standard deviation over seeds, which
decide the windows of every calibration text and the text that the model writes itself. Baselines are given the same
texts, but not \`self\`, which is gprune's own.
`;

/** Measures all sections of one model and writes them. */
async function measureModel(
  source: string,
  options: QualityOptions,
  engine: Engine,
  cache: RowCache,
): Promise<readonly Part[]> {
  const own = source === embedded;
  const model = await openModel(own ? undefined : source);
  const domains = await calibrationDomains(own ? undefined : options.calibration);
  const evaluated = await evaluationDomains(own ? undefined : options.evaluation);
  const seqLen = Math.min(options.seqLen, model.architecture.maxPositions);
  const texts = await evaluationTexts(model, evaluated, seqLen, options.evalWindows);
  const first = (own ? undefined : options.calibration)?.[0].name ?? domains[0].name;
  const code = await codeHash(join(import.meta.dirname!, "../core"));
  const workFolder = await Deno.makeTempDir({ prefix: "gprune-quality-" });
  let doing = "";
  const setting: TrialSetting = {
    engine,
    model,
    domains,
    first,
    texts,
    samples: options.samples,
    seqLen,
    code,
    cache,
    workFolder,
    say: (text) => console.error(`${doing}: ${text}`),
  };
  const chosen = sections(options, first).filter(({ name }) => options.only.includes(name));
  const seeds = options.seeds.map((seed) => new Trials(setting, seed));
  try {
    const clock = new Clock(chosen, seeds);
    for (const [index, seed] of options.seeds.entries()) {
      for (const section of chosen) {
        if (index > 0 && !section.everySeed) continue;
        for (const trial of section.trials) {
          doing = `${model.name}, seed ${seed}, ${section.name}`;
          if (seeds[index].finished(trial) !== undefined) continue;
          const { row, seconds } = await seeds[index].measure(trial);
          console.error(
            `${doing}: ${nameOf(trial)} ${row.geomeanRatio.toFixed(3)}, ${clock.tick(seconds)}`,
          );
        }
      }
      seeds[index] = new Trials(setting, seed);
    }
    const parts: Part[] = [{
      name: `${model.name} conditions`,
      text: `## ${model.name}\n\n${textConditions(model, domains, texts, options.samples)}`,
    }];
    const conditions = await runConditions(code, commandLine());
    for (const section of chosen) {
      const used = section.everySeed ? seeds : seeds.slice(0, 1);
      const body = section.write((trial) => used.map((each) => each.finished(trial)!.row));
      const list = (section.everySeed ? options.seeds : options.seeds.slice(0, 1)).join(", ");
      parts.push({
        name: `${model.name} ${section.name}`,
        text: `### ${model.name}: ${section.title}\n\n${body}\nSeeds: ${list}. ${conditions}`,
      });
    }
    return parts;
  } finally {
    await Deno.remove(workFolder, { recursive: true }).catch(() => undefined);
  }
}

function nameOf({ request: { method, metric, sparsity, shape, refit }, texts }: Trial): string {
  return [method, metric, refit, shape, sparsity, `from ${texts}`]
    .filter((part) => part !== undefined).join(" ");
}

/** Counts rows and says when all will be done. */
class Clock {
  readonly #total: number;
  readonly #start = performance.now();
  #done = 0;

  constructor(chosen: readonly Section[], seeds: readonly Trials[]) {
    const missing = new Set(
      seeds.flatMap((trials, index) =>
        chosen.filter(({ everySeed }) => everySeed || index === 0)
          .flatMap((section) => section.trials)
          .filter((trial) => trials.finished(trial) === undefined)
          .map((trial) => trials.key(trial))
      ),
    );
    this.#total = missing.size;
  }

  tick(seconds: number): string {
    this.#done++;
    const passed = (performance.now() - this.#start) / 1000;
    const left = passed / this.#done * (this.#total - this.#done);
    return `${seconds.toFixed(1)} s; row ${this.#done} of ${this.#total}, about ${
      Math.ceil(left / 60)
    } min left`;
  }
}

function commandLine(): string {
  return ["deno run -A bench/quality.ts", ...Deno.args].join(" ");
}

async function main(): Promise<number> {
  if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
    console.log(usage);
    return 0;
  }
  let options: QualityOptions;
  try {
    options = qualityOptions(Deno.args);
  } catch (error) {
    console.error(`error: ${(error as Error).message}; see --help`);
    return 2;
  }
  const cache = await RowCache.open(options.cache);
  const engine = await openEngine("auto");
  try {
    for (const source of options.models) {
      const parts = await measureModel(source, options, engine, cache);
      const before = await Deno.readTextFile(options.out).catch(() => "");
      const partial = `${options.out}.partial`;
      await Deno.writeTextFile(partial, withParts(before, head, parts));
      await Deno.rename(partial, options.out);
      console.error(`Written: ${options.out}`);
    }
    return 0;
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    return 1;
  } finally {
    await engine.close();
  }
}

if (import.meta.main) Deno.exit(await main());
