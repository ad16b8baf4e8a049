/**
 * A large square product on the engine's library: what the processor gives at a moment.
 * @module
 */
import { floats, openSession } from "../../core/engine/runtime.ts";
import { GraphBuilder } from "../../core/onnx/graph.ts";

const SIZE = 2048;
const RUNS = 2;

/** A product that can be run now and then. */
export interface Sgemm {
  /** Runs it twice, after once to warm up. */
  run(): Promise<void>;
  /** Operations per second of all runs since the last call. */
  rate(): number;
  /** Seconds that all runs since the last `rate` took, those to warm up included. */
  seconds(): number;
}

/**
 * Prepares the product.
 *
 * @param threads Threads inside an operation
 * @returns The product
 */
export async function openSgemm(threads: number): Promise<Sgemm> {
  const size = [SIZE, SIZE];
  const graph = new GraphBuilder();
  const inputs = ["a", "b"].map((name) => graph.input(name, "F32", size));
  graph.output("c", graph.node("MatMul", inputs), "F32", size);
  const session = await openSession(graph.bytes("sgemm"), "a product", { threads, goal: "speed" });
  const numbers = Float32Array.from({ length: SIZE ** 2 }, (_, at) => Math.sin(at));
  const feeds = { a: floats(numbers, size), b: floats(numbers, size) };
  const outputs = { c: floats(new Float32Array(numbers.length), size) };
  let counted = 0, all = 0, runs = 0;
  return {
    run: async () => {
      const start = performance.now();
      await session.run(feeds, outputs);
      const warm = performance.now();
      for (let run = 0; run < RUNS; run++) await session.run(feeds, outputs);
      const end = performance.now();
      counted += end - warm;
      all += end - start;
      runs += RUNS;
    },
    rate: () => {
      const rate = 2000 * runs * SIZE ** 3 / counted;
      counted = all = runs = 0;
      return rate;
    },
    seconds: () => all / 1000,
  };
}
