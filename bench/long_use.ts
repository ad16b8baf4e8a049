/**
 * A long session on the embedded model: many plans and evaluations, and the memory that is not given back.
 * `deno run -A --v8-flags=--expose-gc bench/long_use.ts [--plans 200] [--evaluations 20]`
 * @module
 */
import { parseArgs } from "node:util";
import { WorkerHost } from "../core/session/live/host.ts";
import { LiveSession } from "../core/session/live/session.ts";

/** What a long session held, in bytes. */
export interface LongUse {
  readonly plans: number;
  readonly evaluations: number;
  /** Heap of the main thread after garbage collection: after the first tenth, and at the end. */
  readonly heapBytes: readonly [number, number];
  /** Memory of the process, worker and engine included, at the same times. */
  readonly residentBytes: readonly [number, number];
}

/**
 * Uses a session for long. Memory is looked at once everything has been used, since engines and caches fill up then.
 *
 * @param plans How many plans are made
 * @param evaluations How many cut models are evaluated in a worker
 * @returns The memory held
 * @throws {Error} if the session fails
 */
export async function longUse(plans: number, evaluations: number): Promise<LongUse> {
  const collect = (globalThis as { readonly gc?: () => void }).gc;
  if (collect === undefined) throw new Error("Start it with --v8-flags=--expose-gc");
  const folder = await Deno.makeTempDir({ prefix: "gprune-long-" });
  const options = {
    samples: 4,
    seqLen: 64,
    evalWindows: 1,
    cacheFolder: folder,
    request: { refit: "none" as const },
  };
  const session = new LiveSession(options, new WorkerHost());
  const look = async () => {
    for (let round = 0; round < 3; round++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const { heapUsed, external, rss } = Deno.memoryUsage();
    return { heap: heapUsed + external, rss };
  };
  try {
    await session.start();
    if (session.state.phase !== "ready") throw new Error(JSON.stringify(session.state.failure));
    session.setMeasuring(false);
    let first: Awaited<ReturnType<typeof look>> | undefined;
    for (let round = 0; round < evaluations; round++) {
      for (let plan = 0; plan < plans / evaluations; plan++) {
        if (plan % 7 === 6) session.change({ type: "shape" });
        session.change({ type: "sparsity-to", sparsity: 0.1 + 0.006 * ((7 * plan + round) % 100) });
      }
      // No sparsity twice, so that every evaluation is a new one.
      session.change({ type: "sparsity-to", sparsity: 0.2 + 0.01 * round });
      await measured(session);
      if (round === Math.ceil(evaluations / 10)) first = await look();
    }
    const last = await look();
    first ??= last;
    return {
      plans,
      evaluations,
      heapBytes: [first.heap, last.heap],
      residentBytes: [first.rss, last.rss],
    };
  } finally {
    await session.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Measures the choice, and waits until its row says so. */
async function measured(session: LiveSession): Promise<void> {
  const isDone = () => {
    const { rows, plan } = session.state;
    return rows.some((row) => row.measured && row.sparsity === plan?.request.sparsity);
  };
  session.measureNow();
  const end = performance.now() + 60_000;
  while (!isDone()) {
    if (performance.now() > end) throw new Error("The choice was not measured within a minute");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      plans: { type: "string", default: "200" },
      evaluations: { type: "string", default: "20" },
    },
  });
  console.log(JSON.stringify(await longUse(Number(values.plans), Number(values.evaluations))));
  Deno.exit(0);
}
