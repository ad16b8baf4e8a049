/**
 * Sessions that several blocks use one after the other: blocks of one model differ in their weights alone, and weights
 * can be given at every run.
 * @module
 */
import { openSession, type Session, type SessionOptions } from "./runtime.ts";

/** A session that is on loan. */
export interface Loan {
  /** The session; others may use it too. */
  readonly session: Session;
  /** Ends the loan. */
  readonly release: () => Promise<void>;
}

/** Sessions that stay open without being on loan: each keeps the memory of its last run. */
const IDLE_SESSIONS = 2;

interface Entry {
  readonly session: Promise<Session>;
  loans: number;
}

/** Sessions by graph. What is not on loan stays open for the next one, within reason. */
export class SharedSessions {
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  #isClosed = false;

  /**
   * Lends the session of a graph, which is made if there is none.
   *
   * @param graph The bytes of an ONNX model without weights
   * @param what What the graph is, for error messages
   * @param options How sessions are prepared; the same at every call
   * @returns The session; release it after use
   * @throws {EngineError} if ONNX Runtime is missing or refuses the graph
   */
  async lend(graph: Uint8Array, what: string, options: SessionOptions): Promise<Loan> {
    const key = new TextDecoder("latin1").decode(graph);
    const entry = this.#entries.get(key) ??
      { session: openSession(graph, what, options), loans: 0 };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.loans++;
    try {
      const session = await entry.session;
      return {
        session,
        release: async () => {
          entry.loans--;
          await this.#closeIdle(this.#isClosed ? 0 : IDLE_SESSIONS);
        },
      };
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  /** Closes what is not on loan, now and from now on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#closeIdle(0);
  }

  async #closeIdle(kept: number): Promise<void> {
    const idle = [...this.#entries].filter(([, { loans }]) => loans === 0);
    for (const [key, { session }] of idle.slice(0, Math.max(0, idle.length - kept))) {
      this.#entries.delete(key);
      await (await session).close();
    }
  }
}
