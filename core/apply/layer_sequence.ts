/**
 * A refit block by block as the writing of tensors asks for it.
 * @module
 */
import type { RefitRow } from "../evaluate/report.ts";
import type { BlockRole } from "../model/types.ts";
import type { refitSequentially, ScaledNorm, SequentialLayer } from "./sequential.ts";

/** Layers of a refit block by block, made when the first of their tensors is written. */
export class LayerSequence {
  readonly #layers: ReturnType<typeof refitSequentially>;
  readonly #refits: RefitRow[];
  #latest: SequentialLayer | undefined;
  #norm: ScaledNorm | undefined;

  constructor(layers: ReturnType<typeof refitSequentially>, refits: RefitRow[]) {
    this.#layers = layers;
    this.#refits = refits;
  }

  async fitted(layer: number, role: BlockRole): Promise<Float32Array | undefined> {
    while (this.#latest === undefined || this.#latest.layer < layer) {
      // What was written need not outlive the making of the next.
      this.#latest = undefined;
      const next = await this.#layers.next();
      if (next.done) return undefined;
      this.#latest = next.value;
      this.#refits.push(...next.value.rows);
    }
    return this.#latest.fitted.get(role);
  }

  /** The final norm, where it was fitted; call it after the last layer. */
  async finalNorm(): Promise<ScaledNorm | undefined> {
    for (;;) {
      const next = await this.#layers.next();
      if (next.done) return this.#norm = next.value;
      this.#refits.push(...next.value.rows);
    }
  }

  /** What the final norm was multiplied by, once it has been written. */
  get finalNormScale(): number | undefined {
    return this.#norm?.scale;
  }

  async close(): Promise<void> {
    await this.#layers.return(undefined);
  }
}
