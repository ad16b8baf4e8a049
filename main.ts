/**
 * The command line of gprune.
 * @module
 */
import { libraryJobs } from "./tui/jobs.ts";
import { runCommandLine } from "./tui/program.ts";
import { interruptSignal } from "./tui/signals.ts";
import { processTerminal } from "./tui/terminal.ts";

if (import.meta.main) {
  const code = await runCommandLine(Deno.args, {
    jobs: libraryJobs(),
    terminal: processTerminal(),
    signal: interruptSignal(),
  });
  // Engines can leave threads that would keep the process alive.
  Deno.exit(code);
}
