/**
 * Interruption: the first signal cancels the work cleanly, the second ends the process.
 * @module
 */

/**
 * Turns SIGINT and SIGTERM into cancellation.
 *
 * @returns A signal that the first interruption aborts
 */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) {
      // The live line may still stand there, and the shell's prompt belongs below it.
      if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode("\n"));
      Deno.exit(130);
    }
    controller.abort(new Error("Interrupted"));
  };
  Deno.addSignalListener("SIGINT", interrupt);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", interrupt);
  return controller.signal;
}
