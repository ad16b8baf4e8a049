/**
 * Trials: rows of the library's comparison from one calibration a seed, whatever the number of rows.
 * @module
 */
import { join } from "@std/path";
import { selectDomains } from "../../core/calibrate/select.ts";
import type { Statistics } from "../../core/calibrate/types.ts";
import type { Engine } from "../../core/engine/types.ts";
import type { EvaluationText } from "../../core/evaluate/perplexity.ts";
import { scoreLayer } from "../../core/learn/score.ts";
import type { Model } from "../../core/model/types.ts";
import { type PlanOptions, resolveRequest } from "../../core/plan/request.ts";
import { calibrateWith, usesLearning, withLearned } from "../../core/session/calibrate.ts";
import { type ComparisonRun, measureRow } from "../../core/session/compare_row.ts";
import { evaluateTexts } from "../../core/session/evaluation.ts";
import type { Domain } from "../../core/text/domains.ts";
import { type FinishedRow, keyOf, type RowCache } from "./cache.ts";

/** Which texts a trial's statistics come from: the first calibration text, all that were given, or those and `self`. */
export type Texts = "one" | "given" | "all";

/** One row to measure. */
export interface Trial {
  /** What is asked for; the seed is added. */
  readonly request: PlanOptions;
  /** Where the statistics come from. */
  readonly texts: Texts;
  /** Whether removal orders of `obs` come from the first calibration text alone. Default: from all of `texts`. */
  readonly ordersFromOne?: boolean;
  /** Whether the refit goes block by block. Default true. */
  readonly blockByBlock?: boolean;
  /** Whether that refit may scale the final norm. Default true. */
  readonly scaledNorm?: boolean;
}

/** What trials are run on. */
export interface TrialSetting {
  /** What runs the model. */
  readonly engine: Engine;
  /** The model. */
  readonly model: Model;
  /** Calibration texts, sorted by name. */
  readonly domains: readonly Domain[];
  /** The name of the first calibration text that was given. */
  readonly first: string;
  /** Evaluation texts. */
  readonly texts: readonly EvaluationText[];
  /** Windows per domain. */
  readonly samples: number;
  /** Tokens per window. */
  readonly seqLen: number;
  /** The hash of the code. */
  readonly code: string;
  /** Finished rows. */
  readonly cache: RowCache;
  /** A folder for statistics and pruned models. */
  readonly workFolder: string;
  /** Told what is in hand. */
  readonly say: (text: string) => void;
}

/** Runs trials of one model and seed. */
export class Trials {
  readonly #setting: TrialSetting;
  readonly #seed: number;
  readonly #statistics = new Map<string, Promise<Statistics>>();
  #dense: Promise<ComparisonRun["dense"]> | undefined;

  /**
   * Prepares trials; nothing is run yet.
   *
   * @param setting Model, texts, cache
   * @param seed Seed of all sampling
   */
  constructor(setting: TrialSetting, seed: number) {
    this.#setting = setting;
    this.#seed = seed;
  }

  /**
   * The finished row of a trial, if there is one.
   *
   * @param trial The trial
   * @returns The row, or undefined
   */
  finished(trial: Trial): FinishedRow | undefined {
    return this.#setting.cache.get(this.key(trial));
  }

  /**
   * Measures a trial, or takes its row from the cache.
   *
   * @param trial The trial
   * @returns The row
   */
  async measure(trial: Trial): Promise<FinishedRow> {
    const known = this.finished(trial);
    if (known !== undefined) return known;
    const { engine, model, texts, domains, workFolder } = this.#setting;
    const request = { ...trial.request, seed: this.#seed };
    const statistics = await this.#statisticsFor(trial);
    this.#dense ??= evaluateTexts(engine, model, texts, { which: "dense" });
    const run: ComparisonRun = {
      engine,
      model,
      texts,
      tasks: [],
      dense: await this.#dense,
      calibrated: domains.map(({ name }) => name),
      directory: join(workFolder, "pruned"),
    };
    const start = performance.now();
    const { blockByBlock, scaledNorm } = trial;
    const row = await measureRow(run, statistics, request, { blockByBlock, scaledNorm });
    const finished = { row, seconds: (performance.now() - start) / 1000 };
    await this.#setting.cache.put(this.key(trial), finished);
    return finished;
  }

  /**
   * The name of a trial's conditions: trials that come to the same have the same.
   *
   * @param trial The trial
   * @returns The key of its row in the cache
   */
  key(trial: Trial): string {
    const { model, domains, first, texts, samples, seqLen, code } = this.#setting;
    return keyOf({
      code,
      model: model.fingerprint,
      calibration: domains.map(({ name, sha256 }) => [name, sha256]),
      evaluation: texts.map(({ name, sha256, windows }) => [name, sha256, windows.length]),
      first: trial.texts === "one" || trial.ordersFromOne ? first : undefined,
      samples,
      seqLen,
      ...this.#canonical(trial),
    });
  }

  /** What a trial comes to, however it was written. */
  #canonical({ request, ...trial }: Trial) {
    const { texts, ordersFromOne = false, blockByBlock = true, scaledNorm = true } = trial;
    const options = { ...request, seed: this.#seed };
    const { layers } = this.#setting.model.architecture;
    const resolved = resolveRequest(options, layers);
    return { texts, ordersFromOne, blockByBlock, scaledNorm, request: resolved };
  }

  async #statisticsFor(trial: Trial): Promise<Statistics> {
    const { engine, model } = this.#setting;
    const { request, texts, ordersFromOne } = this.#canonical(trial);
    const statistics = await this.#ordered(trial, request.metric === "obs");
    if (!usesLearning(request)) return statistics;
    // Curves follow texts, order of units and refit, not the sparsity.
    const { sparsity: _, ...rest } = request;
    const key = JSON.stringify([texts, ordersFromOne, rest]);
    return await this.#once(`learned ${key}`, () => {
      this.#setting.say("learning damage");
      return withLearned({ engine, model, statistics, request });
    });
  }

  #ordered(trial: Trial, needsOrders: boolean): Promise<Statistics> {
    const { first } = this.#setting;
    if (!needsOrders) return this.#selected(trial.texts);
    if (trial.ordersFromOne !== true) {
      if (trial.texts === "all") return this.#selected("all");
      return this.#once(`scored ${trial.texts}`, async () => {
        this.#setting.say("scoring units");
        return await this.#scored(await this.#selected(trial.texts));
      });
    }
    return this.#once(`ordered ${trial.texts} by ${first}`, async () => {
      const statistics = await this.#selected(trial.texts);
      const single = await this.#ordered({ ...trial, texts: "one", ordersFromOne: false }, true);
      const layers = statistics.layers.map(({ ffn, heads }, layer) => ({
        ffn: { ...ffn, obs: single.layers[layer].ffn.obs },
        heads: { ...heads, obs: single.layers[layer].heads.obs },
      }));
      return { ...statistics, layers, orderDomains: [first] };
    });
  }

  async #scored(statistics: Statistics): Promise<Statistics> {
    const names = statistics.domains.map(({ name }) => name);
    const layers = [];
    for (const [layer, each] of statistics.layers.entries()) {
      layers.push(await scoreLayer(this.#setting.model, layer, each, names));
    }
    return { ...statistics, layers };
  }

  #selected(texts: Texts): Promise<Statistics> {
    if (texts === "all") return this.#once("all", () => this.#calibrate());
    const { domains, first } = this.#setting;
    const names = texts === "one" ? [first] : domains.map(({ name }) => name);
    return this.#once(texts, async () => selectDomains(await this.#selected("all"), names));
  }

  async #calibrate(): Promise<Statistics> {
    const { engine, model, domains, samples, seqLen, workFolder, say } = this.#setting;
    say("calibrating");
    return await calibrateWith(engine, model, domains, {
      samples,
      seqLen,
      seed: this.#seed,
      request: { metric: "obs", refit: "lsq", shape: "adaptive" },
      learn: false,
      workFolder: join(workFolder, `statistics-${this.#seed}`),
    });
  }

  #once(key: string, make: () => Promise<Statistics>): Promise<Statistics> {
    const known = this.#statistics.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#statistics.set(key, made);
    return made;
  }
}
