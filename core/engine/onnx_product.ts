/**
 * Products of large float64 matrices on ONNX Runtime, whose double-precision kernels use all of a processor.
 * @module
 */
import { tight } from "../linear/adding.ts";
import type { Block } from "../linear/product.ts";
import { GraphBuilder } from "../onnx/graph.ts";
import { doubles, openSession, type Session } from "./runtime.ts";

/** Additions and multiplications from which a call of ONNX Runtime pays: it takes a tenth of a millisecond. */
const WORTH_CALLING = 1e5;

/** A session for products of any size. */
export class OnnxProduct {
  readonly #threads: number;
  #session: Promise<Session> | undefined;

  /**
   * Describes the session; it is opened at the first product.
   *
   * @param threads Threads inside a product
   */
  constructor(threads: number) {
    this.#threads = threads;
  }

  /**
   * left · rightᵀ. Which numbers come out depends on nothing but the operands and the processor, never on time.
   *
   * @param left `[rows, depth]`
   * @param right `[columns, depth]`
   * @param lent An array that is filled and returned, `[rows, columns]`; a new one if absent
   * @returns `[rows, columns]`; undefined where a call does not pay
   * @throws {EngineError} if ONNX Runtime fails
   */
  async multiply(
    left: Block,
    right: Block,
    lent?: Float64Array,
  ): Promise<Float64Array | undefined> {
    if (operationsOf(left, right) < WORTH_CALLING) return undefined;
    const session = await (this.#session ??= this.#open());
    const [rows, columns] = [left.rows, right.rows];
    const product = lent ?? new Float64Array(rows * columns);
    await session.run(
      { left: feedOf(left), right: feedOf(right) },
      { product: doubles(product, [rows, columns]) },
    );
    return product;
  }

  /** Frees the session. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await (await session)?.close();
  }

  async #open(): Promise<Session> {
    const graph = new GraphBuilder();
    const left = graph.input("left", "F64", ["rows", "depth"]);
    const right = graph.input("right", "F64", ["columns", "depth"]);
    const product = graph.node("Gemm", [left, right], { attributes: { transB: 1 } });
    graph.output("product", product, "F64", ["rows", "columns"]);
    // There are no weights; an arena would keep memory that nobody uses again.
    return await openSession(graph.bytes("product"), "a product", {
      threads: this.#threads,
      goal: "memory",
    });
  }
}

/**
 * How much work a product is.
 *
 * @param left `[rows, depth]`
 * @param right `[columns, depth]`
 * @returns Additions and multiplications
 */
export function operationsOf(left: Block, right: Block): number {
  return 2 * left.rows * right.rows * left.columns;
}

function feedOf(block: Block) {
  const { data, offset, rows, columns } = tight(block);
  return doubles(data.subarray(offset, offset + rows * columns), [rows, columns]);
}
