/**
 * What screens are drawn from: the session, what the keys have brought up, the size of the terminal. Plain data, so
 * that every screen is a function of it.
 * @module
 */
import type { LiveState } from "../../core/session/live/state.ts";
import type { Stage } from "../../core/progress.ts";
import type { UiState } from "../keys/reducer.ts";
import type { ProgressState } from "../progress_line.ts";

/** Everything that is drawn. */
export interface View {
  /** The session. */
  readonly live: LiveState;
  /** Cursor and overlays. */
  readonly ui: UiState;
  /** Columns of the terminal. */
  readonly columns: number;
  /** Rows of the terminal. */
  readonly rows: number;
  /** How fast the stages of the work go. */
  readonly paces: ReadonlyMap<Stage, ProgressState>;
  /** The time, in milliseconds of the clock of the paces. */
  readonly now: number;
  /** Resident memory of this process, where it is known. */
  readonly memoryBytes?: number;
}

/** The least that the main screen needs. */
export const leastSize = { columns: 80, rows: 24 } as const;
