/**
 * The trade-off of a session: its rows, kept up with the choice, and the measurements that fill them in.
 * @module
 */
import type { Model } from "../../model/types.ts";
import { resolveRequest } from "../../plan/request.ts";
import type { PlanRequest } from "../../plan/types.ts";
import type { Board } from "./board.ts";
import type { Measured, MeasurementStore } from "./folder.ts";
import type { TaskRunner } from "./host.ts";
import { Measuring } from "./measuring.ts";
import type { Planner } from "./planner.ts";
import type { EvaluationTask } from "./protocol.ts";
import { candidates, type RowSource, rowSparsities, tradeoffRows } from "./rows.ts";
import type { Activity } from "./state.ts";

/** What the trade-off works with. */
export interface TradeoffNeeds {
  readonly model: Model;
  readonly planner: Planner;
  readonly store: MeasurementStore;
  readonly runner: TaskRunner;
  /** The file of statistics. */
  readonly statistics: string;
  readonly evaluation: EvaluationTask;
  /** What is chosen. */
  readonly chosen: () => PlanRequest;
  /** Whether nothing may be measured now. */
  readonly isBusy: () => boolean;
  /** Where rows are shown. */
  readonly board: Board;
  readonly onActivity: (activity: Activity | undefined) => void;
}

/** Keeps rows and measurements. */
export class Tradeoff {
  /** Measures in the background. */
  readonly measuring: Measuring;
  readonly #needs: TradeoffNeeds;
  #looking: AbortController | undefined;

  /**
   * Starts nothing yet.
   *
   * @param needs What it works with
   */
  constructor(needs: TradeoffNeeds) {
    const { planner, runner, statistics, evaluation, store } = needs;
    this.#needs = needs;
    this.measuring = new Measuring({
      runner,
      statistics,
      evaluation,
      isDenseKnown: () => store.get("dense") !== undefined,
      candidates: () => candidates(this.#rowSource()),
      chosen: needs.chosen,
      plan: async (request, signal) => {
        // A baseline has orders of its own, which are made without holding up keys.
        await planner.prepare(request, { signal });
        return planner.plan(request);
      },
      byItself: () => needs.board.state.measuresByItself,
      isBusy: needs.isBusy,
      onActivity: needs.onActivity,
      onDense: (found) => this.#tookDense(found),
      onMeasured: (request, found) => {
        store.set(JSON.stringify(request), found);
        this.refresh();
      },
      onError: (error) => needs.board.note(error.message, true),
    });
  }

  /** Makes the rows from what is known now. */
  refresh(): void {
    this.#needs.board.set({ rows: tradeoffRows(this.#rowSource()) });
  }

  /**
   * Follows a choice: its own row at once, the others one by one, then measurements.
   *
   * @param request What is chosen
   */
  follow(request: PlanRequest): void {
    this.refresh();
    void this.#lookAhead(request);
  }

  /** Stops for good. */
  close(): void {
    this.#looking?.abort();
    this.measuring.close();
  }

  async #lookAhead(request: PlanRequest): Promise<void> {
    this.#looking?.abort();
    const controller = new AbortController();
    this.#looking = controller;
    const others = rowSparsities(request).map((sparsity) => ({ ...request, sparsity }));
    try {
      await this.#needs.planner.lookAhead(others, controller.signal);
    } catch {
      // A newer choice has its own.
      return;
    }
    this.refresh();
    this.measuring.schedule();
  }

  #tookDense(found: Measured): void {
    const { store, board } = this.#needs;
    store.set("dense", found);
    const { perplexity, tokensPerSecond } = found;
    const texts = board.state.texts.map((text, index) => ({ ...text, dense: perplexity[index] }));
    board.set({ texts, denseTokensPerSecond: tokensPerSecond });
    this.refresh();
  }

  #rowSource(): RowSource {
    const { planner, store, model, board, chosen } = this.#needs;
    const { baseline, denseTokensPerSecond, texts } = board.state;
    const request = chosen();
    const { structures, seed } = request;
    const { layers } = model.architecture;
    const { parameters, bytes } = model;
    return {
      request,
      baseline: baseline === undefined
        ? undefined
        : (sparsity) => resolveRequest({ method: baseline, sparsity, structures, seed }, layers),
      texts,
      domains: planner.domains,
      dense: { parameters, bytes, tokensPerSecond: denseTokensPerSecond },
      measured: (wanted) => store.get(JSON.stringify(wanted)),
      outlook: (wanted) => planner.known(wanted),
    };
  }
}
