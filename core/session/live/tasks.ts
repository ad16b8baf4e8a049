/**
 * What the worker of a live session does, on a model that stays open.
 * @module
 */
import { join } from "@std/path";
import { applyPlan } from "../../apply/apply.ts";
import { loadStatistics } from "../../calibrate/store.ts";
import type { Statistics } from "../../calibrate/types.ts";
import { openEngine } from "../../engine/open.ts";
import type { Engine } from "../../engine/types.ts";
import { EngineError } from "../../errors.ts";
import { continuePrompt } from "../../evaluate/continuation.ts";
import type { EvaluationText } from "../../evaluate/perplexity.ts";
import { openModel } from "../../model/open.ts";
import type { Model } from "../../model/types.ts";
import type { Plan } from "../../plan/types.ts";
import type { WorkOptions } from "../../progress.ts";
import { calibrationDomains, evaluationDomains } from "../../text/texts.ts";
import { calibrateWith } from "../calibrate.ts";
import { evaluateTexts, evaluationTexts } from "../evaluation.ts";
import { placeStatistics } from "../jobs.ts";
import { promiseMemory } from "../memory/promise.ts";
import { memoryTask } from "../memory/memory_tasks.ts";
import { prune } from "../locked.ts";
import type { EvaluationTask, TaskEvent, TaskName, WorkerTasks } from "./protocol.ts";

/** How a task is cancelled and tells what it does. */
export interface TaskContext extends Required<WorkOptions> {
  /** Called at every event. */
  readonly onEvent: (event: TaskEvent) => void;
}

/** The tasks as functions. */
export type Tasks = {
  readonly [name in TaskName]: (
    options: WorkerTasks[name]["options"],
    context: TaskContext,
  ) => Promise<WorkerTasks[name]["result"]>;
};

/** Pruned models that are kept, so that what was measured can be sampled from at once. */
const prunedKept = 3;

/**
 * Makes the tasks; they share what is open.
 *
 * @returns The tasks
 */
export function createTasks(): Tasks {
  const worker = new Workbench();
  return {
    open: (options, context) => worker.open(options, context),
    calibrate: async (options, context) => {
      const { engine, model } = worker.opened;
      const statistics = await calibrateWith(
        engine,
        model,
        await calibrationDomains(options.calibration),
        {
          ...options,
          ...context,
          gram: true,
          learn: true,
          resume: await exists(options.workFolder),
          // Nobody asked to go on: what another engine or version left is not worth a refusal.
          otherwise: "start anew",
          onNote: (message) => context.onEvent({ type: "note", message }),
        },
      );
      await placeStatistics(statistics, options.save, options.workFolder);
      return null;
    },
    dense: async (options, context) => {
      const { model } = worker.opened;
      const { parameters, bytes } = model;
      return { ...await worker.evaluate(model, options, context, "dense"), parameters, bytes };
    },
    measure: async (options, context) => {
      const pruned = await worker.pruned(options.plan, options.stats, context);
      const { parameters, bytes } = pruned;
      return { ...await worker.evaluate(pruned, options, context, "pruned"), parameters, bytes };
    },
    sample: async ({ prompt, plan, stats, tokens, seed }, context) => {
      const { engine, model } = worker.opened;
      const settings = { prompt, tokens, seed, signal: context.signal };
      const say = (which: "dense" | "pruned") => (text: string) =>
        context.onEvent({ type: "text", which, text });
      const dense = await continuePrompt(engine, model, { ...settings, onText: say("dense") });
      const smaller = await worker.pruned(plan, stats, context);
      const pruned = await continuePrompt(engine, smaller, { ...settings, onText: say("pruned") });
      return { dense, pruned };
    },
    close: async () => {
      await worker.close();
      return null;
    },
    write: (options, context) =>
      prune({
        ...options,
        signal: context.signal,
        onProgress: context.onProgress,
        onEvent: (event) => {
          if (event.type === "note") context.onEvent(event);
        },
      }),
  };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** The open model and what was made of it. */
class Workbench {
  #opened: { readonly engine: Engine; readonly model: Model } | undefined;
  #statistics: { readonly path: string; readonly statistics: Statistics } | undefined;
  #texts: { readonly key: string; readonly texts: readonly EvaluationText[] } | undefined;
  readonly #pruned = new Map<string, { readonly folder: string; readonly model: Model }>();
  #temporary = "";

  /** Engine and model. */
  get opened(): { readonly engine: Engine; readonly model: Model } {
    if (this.#opened === undefined) throw new EngineError("Cannot work without a model: open one");
    return this.#opened;
  }

  async open(
    { model: source, revision, engine: name, promise, temporary }: WorkerTasks["open"]["options"],
    context: TaskContext,
  ): Promise<WorkerTasks["open"]["result"]> {
    const model = await openModel(source, { ...context, revision });
    const memory = promise && promiseMemory(
      memoryTask(model, {
        seqLen: promise.seqLen,
        requests: [promise.request],
        calibration: { ...promise.calibration, gram: true, learn: true },
        applies: true,
        evaluates: true,
      }),
      promise.memory,
    );
    const engine = await openEngine(name, {
      architecture: model.architecture,
      memory,
    });
    this.#opened = { engine, model };
    this.#temporary = temporary;
    return { engine: engine.name, device: engine.device };
  }

  async close(): Promise<void> {
    await this.#opened?.engine.close();
    this.#opened = undefined;
  }

  async evaluate(
    model: Model,
    options: EvaluationTask,
    context: TaskContext,
    which: "dense" | "pruned",
  ): Promise<{ readonly perplexity: readonly number[]; readonly tokensPerSecond: number }> {
    const texts = await this.#evaluationTexts(options);
    const { signal, onProgress } = context;
    const found = await evaluateTexts(this.opened.engine, model, texts, {
      signal,
      onProgress,
      which,
    });
    return { perplexity: found.perplexity, tokensPerSecond: found.tokensPerSecond };
  }

  /** The model that a plan makes, in a temporary folder. */
  async pruned(plan: Plan, stats: string, context: TaskContext): Promise<Model> {
    const key = JSON.stringify(plan.request);
    const known = this.#pruned.get(key);
    if (known !== undefined) {
      this.#pruned.delete(key);
      this.#pruned.set(key, known);
      return known.model;
    }
    const { engine, model } = this.opened;
    const folder = join(this.#temporary, crypto.randomUUID());
    await Deno.mkdir(folder);
    try {
      const applied = await applyPlan(model, plan, {
        engine,
        statistics: plan.request.refit === "none" ? undefined : await this.#loaded(stats),
        directory: folder,
        signal: context.signal,
        onProgress: context.onProgress,
      });
      this.#pruned.set(key, { folder, model: applied.model });
    } catch (error) {
      await Deno.remove(folder, { recursive: true }).catch(() => undefined);
      throw error;
    }
    for (const [oldest, { folder }] of this.#pruned) {
      if (this.#pruned.size <= prunedKept) break;
      this.#pruned.delete(oldest);
      await Deno.remove(folder, { recursive: true }).catch(() => undefined);
    }
    return this.#pruned.get(key)!.model;
  }

  async #loaded(path: string): Promise<Statistics> {
    if (this.#statistics?.path !== path) {
      this.#statistics = { path, statistics: await loadStatistics(path) };
    }
    return this.#statistics.statistics;
  }

  async #evaluationTexts(options: EvaluationTask): Promise<readonly EvaluationText[]> {
    const { evaluation, seqLen, evalWindows } = options;
    const key = JSON.stringify([evaluation, seqLen, evalWindows]);
    if (this.#texts?.key !== key) {
      const domains = await evaluationDomains(evaluation);
      const texts = await evaluationTexts(this.opened.model, domains, seqLen, evalWindows);
      this.#texts = { key, texts };
    }
    return this.#texts.texts;
  }
}
