/**
 * Measuring in the background: the sparsity nearest the choice first, stopped as soon as something else helps more.
 * @module
 */
import { CancelledError } from "../../errors.ts";
import type { Plan, PlanRequest } from "../../plan/types.ts";
import type { Progress } from "../../progress.ts";
import type { Measured } from "./folder.ts";
import type { TaskRunner } from "./host.ts";
import type { EvaluationTask } from "./protocol.ts";
import type { Candidate } from "./rows.ts";
import type { Activity } from "./state.ts";

/** Milliseconds of quiet before measuring starts. */
const quietMilliseconds = 800;
/** A measurement that has come so far is not stopped for one that is nearer the choice. */
const finishFrom = 0.5;

/** What measuring asks of the session. */
export interface MeasuringNeeds {
  readonly runner: TaskRunner;
  /** The file of statistics. */
  readonly statistics: string;
  readonly evaluation: EvaluationTask;
  /** Whether the dense model was measured. */
  readonly isDenseKnown: () => boolean;
  /** What is left to measure, the most helpful first. */
  readonly candidates: () => readonly Candidate[];
  /** What is chosen. */
  readonly chosen: () => PlanRequest;
  readonly plan: (request: PlanRequest, signal: AbortSignal) => Promise<Plan>;
  /** Whether measuring happens without being asked for. */
  readonly byItself: () => boolean;
  /** Whether the worker is wanted for something else. */
  readonly isBusy: () => boolean;
  readonly onActivity: (activity: Activity | undefined) => void;
  readonly onDense: (measured: Measured) => void;
  readonly onMeasured: (request: PlanRequest, measured: Measured) => void;
  readonly onError: (error: Error) => void;
}

interface Running {
  readonly candidate: Candidate | "dense";
  readonly controller: AbortController;
  share: number;
}

/** Measures one plan after the other. */
export class Measuring {
  readonly #needs: MeasuringNeeds;
  readonly #failed = new Set<string>();
  #running: Running | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #asked: string | undefined;

  /**
   * Starts nothing yet.
   *
   * @param needs What it works with
   */
  constructor(needs: MeasuringNeeds) {
    this.#needs = needs;
  }

  /** Looks, after a moment of quiet, at what would help most. */
  schedule(): void {
    this.#quiet();
    if (this.#closed) return;
    this.#stopWhatNobodyWants();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#next();
    }, quietMilliseconds);
  }

  /** Measures the choice at once, even where measuring by itself is off. */
  now(): void {
    this.#quiet();
    this.#asked = JSON.stringify(this.#needs.chosen());
    this.#failed.delete(this.#asked);
    this.#next();
  }

  /** Stops, for something that was asked for. */
  stop(): void {
    this.#quiet();
    this.#running?.controller.abort(new CancelledError("Something else goes first"));
  }

  /** Stops for good. */
  close(): void {
    this.#closed = true;
    this.stop();
  }

  /** What runs may be of a choice that is no more. */
  #stopWhatNobodyWants(): void {
    if (this.#running === undefined || this.#running.candidate === "dense") return;
    const key = JSON.stringify(this.#running.candidate.request);
    const wanted = this.#needs.candidates().some(({ request }) => JSON.stringify(request) === key);
    if (!wanted) this.stop();
  }

  #next(): void {
    if (this.#closed || this.#needs.isBusy()) return;
    const best = this.#best();
    if (best === undefined) return;
    if (this.#running === undefined) return void this.#run(best);
    const { candidate, share } = this.#running;
    if (candidate === "dense" || best === "dense" || share >= finishFrom) return;
    if (JSON.stringify(candidate.request) !== JSON.stringify(best.request)) this.stop();
  }

  #best(): Candidate | "dense" | undefined {
    const { byItself, isDenseKnown, candidates } = this.#needs;
    if (!byItself() && this.#asked === undefined) return undefined;
    if (!isDenseKnown()) return "dense";
    const left = candidates().filter(({ request }) => !this.#failed.has(JSON.stringify(request)));
    const asked = left.find(({ request }) => JSON.stringify(request) === this.#asked);
    if (asked === undefined) this.#asked = undefined;
    return asked ?? (byItself() ? left[0] : undefined);
  }

  async #run(candidate: Candidate | "dense"): Promise<void> {
    const controller = new AbortController();
    const running: Running = { candidate, controller, share: 0 };
    this.#running = running;
    const { onActivity, onError } = this.#needs;
    const about = activityOf(candidate);
    onActivity(about);
    const onProgress = (progress: Progress) => {
      // The cut is most of the work, the evaluation the rest.
      running.share = progress.stage === "evaluate" ? 1 : progress.done / progress.total / 2;
      onActivity({ ...about, progress });
    };
    try {
      await this.#measure(candidate, { signal: controller.signal, onProgress });
    } catch (error) {
      if (!(error instanceof CancelledError)) {
        if (candidate !== "dense") this.#failed.add(JSON.stringify(candidate.request));
        onError(error as Error);
        // Without the dense model there is nothing to compare with: not until it is asked for again.
        if (candidate === "dense") this.#asked = undefined;
      }
      if (candidate === "dense" && !(error instanceof CancelledError)) return this.#ended(running);
    }
    this.#ended(running);
    // Where keys are being pressed, it waits for them to rest.
    if (this.#timer === undefined) this.#next();
  }

  #quiet(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #ended(running: Running): void {
    if (this.#running !== running) return;
    this.#running = undefined;
    this.#needs.onActivity(undefined);
  }

  async #measure(
    candidate: Candidate | "dense",
    watch: { readonly signal: AbortSignal; readonly onProgress: (progress: Progress) => void },
  ): Promise<void> {
    const { runner, evaluation, statistics, plan, onDense, onMeasured } = this.#needs;
    if (candidate === "dense") return onDense(await runner.run("dense", evaluation, watch));
    const made = await plan(candidate.request, watch.signal);
    const task = { ...evaluation, plan: made, stats: statistics };
    onMeasured(candidate.request, await runner.run("measure", task, watch));
  }
}

function activityOf(candidate: Candidate | "dense"): Activity {
  if (candidate === "dense") return { kind: "dense", label: "measuring the dense model" };
  const { method, sparsity } = candidate.request;
  const percent = `${Math.round(100 * sparsity)} %`;
  return candidate.isBaseline
    ? { kind: "baseline", label: `measuring ${method} at ${percent}` }
    : { kind: "measure", label: `measuring ${percent}` };
}
