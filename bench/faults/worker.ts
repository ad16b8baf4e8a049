/**
 * The worker that runs the model of a live session, broken in the middle of its work.
 * @module
 */
import { EngineError } from "../../core/errors.ts";
import { WorkerHost, type WorkerLike } from "../../core/session/live/host.ts";
import { type FaultRow, Moments, Tally, wait } from "./harness.ts";

/**
 * Breaks the worker at random moments of a measurement, and measures again on the one that takes its place.
 *
 * @param cases How often
 * @param folder A folder for the worker's own files
 * @param seed What the moments are made from
 * @returns What came of it
 */
export async function breakWorkers(cases: number, folder: string, seed: number): Promise<FaultRow> {
  const tally = new Tally("the live session's worker throws");
  const moments = new Moments(seed);
  let worker: Worker | undefined;
  let started = 0;
  const host = new WorkerHost(() => {
    started++;
    const url = new URL("../../core/session/live/worker.ts", import.meta.url);
    return worker = new Worker(url, { type: "module" }) satisfies WorkerLike;
  });
  const measure = async () => await host.run("dense", { seqLen: 32, evalWindows: 2 });
  try {
    await host.run("open", { engine: "auto", temporary: folder });
    const begin = performance.now();
    const wanted = JSON.stringify((await measure()).perplexity);
    const length = performance.now() - begin;
    for (let index = 0; index < cases; index++) {
      const work = measure().then(() => undefined, (error: unknown) => error);
      await wait(moments.next() * length);
      // No message that it knows: it throws outside of any task.
      worker?.postMessage(null);
      const error = await work;
      if (error === undefined) tally.finished();
      else tally.stopped();
      if (error !== undefined && !(error instanceof EngineError)) tally.faults(String(error));
      // It may have broken after the measurement, at the next.
      const again = await measure().catch(() => measure());
      if (JSON.stringify(again.perplexity) !== wanted) tally.faults("another result afterwards");
    }
    if (started !== cases + 1) tally.faults(`${started - 1} workers were replaced`);
  } finally {
    host.close();
  }
  return tally.row(`${started - 1} were replaced, and every measurement after it was the same`);
}
