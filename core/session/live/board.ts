/**
 * The board of a live session: its state, changed in one place, and whoever watches it.
 * @module
 */
import { firstState, type LiveState } from "./state.ts";

/** Holds the state of a session and tells every change of it. */
export class Board {
  readonly #listeners = new Set<(state: LiveState) => void>();
  #state: LiveState = firstState;

  /** What there is to draw. */
  get state(): LiveState {
    return this.#state;
  }

  /**
   * Watches the state.
   *
   * @param listener Called with every new state
   * @returns Stops watching
   */
  subscribe(listener: (state: LiveState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all watching. */
  close(): void {
    this.#listeners.clear();
  }

  /**
   * Changes the state.
   *
   * @param part What is new
   */
  set(part: Partial<LiveState>): void {
    this.#state = { ...this.#state, ...part };
    for (const listener of this.#listeners) listener(this.#state);
  }

  /**
   * Shows a notice.
   *
   * @param message One sentence
   * @param isError Whether something went wrong
   */
  note(message: string, isError = false): void {
    this.set({ notice: { message, isError } });
  }
}
