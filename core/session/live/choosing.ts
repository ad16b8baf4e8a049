/**
 * Choosing in a live session: what is asked for, undone and made again, and the plan that follows it, at once where the
 * orders it needs are there.
 * @module
 */
import { CancelledError } from "../../errors.ts";
import type { LayerShape } from "../../model/types.ts";
import type { PlanRequest } from "../../plan/types.ts";
import type { Board } from "./board.ts";
import { type Change, changeRequest, type History, redo, remember, undo } from "./choices.ts";
import type { Planner } from "./planner.ts";
import type { Activity } from "./state.ts";

/** What choosing works with. */
export interface ChoosingNeeds {
  readonly board: Board;
  /** The model's layers. */
  readonly layers: readonly LayerShape[];
  /** What is chosen at first. */
  readonly first: PlanRequest;
  /** Called before orders are made, which want the processor for themselves. */
  readonly onPreparing: () => void;
  /** Called when the plan of a choice is made, or why there is none is known. */
  readonly onPlanned: (request: PlanRequest) => void;
}

/** Keeps what is chosen, and its plan. */
export class Choosing {
  readonly #needs: ChoosingNeeds;
  #history: History;
  #planner: Planner | undefined;
  #preparing: AbortController | undefined;

  /**
   * Starts with the first choice, without a plan.
   *
   * @param needs What it works with
   */
  constructor(needs: ChoosingNeeds) {
    this.#needs = needs;
    this.#history = { past: [], present: needs.first, future: [] };
  }

  /** What is chosen. */
  get request(): PlanRequest {
    return this.#history.present;
  }

  /** Whether orders are being made, so that what is best cannot be known yet. */
  get isPreparing(): boolean {
    return this.#preparing !== undefined;
  }

  /**
   * Makes the orders of the present choice, before there is anything to choose.
   *
   * @param planner Makes orders and plans, from now on
   */
  async begin(planner: Planner): Promise<void> {
    this.#planner = planner;
    await planner.prepare(this.request, { onOrder: this.#showOrder });
  }

  /** Plans the present choice. */
  plan(): void {
    this.#choose(this.#history);
  }

  /**
   * Changes what is chosen.
   *
   * @param change What to change
   */
  change(change: Change): void {
    const changed = changeRequest(this.request, change, this.#needs.layers);
    if ("refused" in changed) return this.#needs.board.note(changed.refused, true);
    this.#choose(remember(this.#history, changed.request, change.type));
  }

  /** Takes the last change back. */
  undo(): void {
    this.#choose(undo(this.#history));
  }

  /** Makes a change again that was taken back. */
  redo(): void {
    this.#choose(redo(this.#history));
  }

  /** Says on the board whether the choice would be lost: what was never changed, or is written, is not. */
  tellUnsaved(): void {
    this.#needs.board.set({ unsaved: this.#isUnsaved() });
  }

  /** Stops making orders. */
  close(): void {
    this.#preparing?.abort();
  }

  #choose(history: History): void {
    this.#history = history;
    const { present, past, future } = history;
    this.#preparing?.abort();
    this.#preparing = undefined;
    this.#needs.board.set({
      request: present,
      undoable: past.length,
      redoable: future.length,
      unsaved: this.#isUnsaved(),
      notice: undefined,
    });
    if (this.#planner === undefined) return;
    if (this.#planner.missing(present) === 0) this.#planned(this.#planner);
    else void this.#prepare(this.#planner);
  }

  async #prepare(planner: Planner): Promise<void> {
    const { board, onPreparing } = this.#needs;
    const controller = new AbortController();
    this.#preparing = controller;
    onPreparing();
    try {
      await planner.prepare(this.request, {
        signal: controller.signal,
        onOrder: this.#showOrder,
      });
    } catch (error) {
      if (error instanceof CancelledError) return;
      board.set({ problem: (error as Error).message });
    }
    if (this.#preparing !== controller) return;
    this.#preparing = undefined;
    board.set({ activity: undefined });
    this.#planned(planner);
  }

  #planned(planner: Planner): void {
    const { board, onPlanned } = this.#needs;
    try {
      board.set({ plan: planner.plan(this.request), problem: undefined });
    } catch (error) {
      board.set({ problem: (error as Error).message });
    }
    onPlanned(this.request);
  }

  #isUnsaved(): boolean {
    const { past, future, present } = this.#history;
    const key = JSON.stringify(present);
    if (past.length + future.length === 0) return false;
    return this.#needs.board.state.written.every(({ request }) => JSON.stringify(request) !== key);
  }

  readonly #showOrder = (done: number, total: number): void => {
    const progress = { stage: "plan", done, total, unit: "orders" } as const;
    const activity: Activity = { kind: "orders", label: "ordering units", progress };
    this.#needs.board.set({ activity });
  };
}
