/**
 * What may come of reading a hostile file: success, or one typed error whose message is one sentence on one line.
 * @module
 */
import { GpruneError } from "../../core/errors.ts";

/** The longest message that a person reads. */
const LONGEST_MESSAGE = 1200;

/** A control, a line break, a change of writing direction, or half a character: nothing for a terminal. */
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/**
 * What is wrong with an error.
 *
 * @param error What was thrown
 * @returns Undefined if it is one of gprune's own and its message is as it should be
 */
export function faultOf(error: unknown): string | undefined {
  if (!(error instanceof GpruneError) || error.constructor === GpruneError) {
    const { name, message, stack } = error as Error;
    return `not a typed error, but ${name}: ${String(message).slice(0, 300)}\n${
      stack?.split("\n").slice(1, 8).join("\n")
    }`;
  }
  const { message } = error;
  const short = JSON.stringify(message.slice(0, 300));
  if (UNPRINTABLE.test(message)) return `its message is not one line of text: ${short}`;
  if (!message.isWellFormed()) return `its message has half a character: ${short}`;
  if (message.length > LONGEST_MESSAGE) return `its message has ${message.length} characters`;
  if (!/^[A-Z]/.test(message)) return `its message does not begin a sentence: ${short}`;
  if (message.endsWith(".")) return `its message ends with a full stop: ${short}`;
  if (/\[object |': undefined|^undefined/.test(message)) {
    return `its message is no sentence: ${short}`;
  }
  return undefined;
}
