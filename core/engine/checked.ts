/**
 * An engine whose numbers are checked against another one's before it is trusted with a model.
 * @module
 */
import { checkBlock } from "./check.ts";
import type { AttentionKind } from "../model/types.ts";
import type { BlockSpecification, Engine } from "./types.ts";

/**
 * Checks the first block of a model that is opened, and the first of each other kind of attention: their own weights and
 * sizes, on a few made-up tokens.
 *
 * @param engine The engine to check
 * @param openReference Opens the engine that is trusted
 * @returns The engine; opening such a block throws a `GraphicsError` where the numbers differ
 */
export function checkedEngine(engine: Engine, openReference: () => Promise<Engine>): Engine {
  const checked = new Map<AttentionKind | undefined, Promise<void>>();
  const check = async (specification: BlockSpecification) => {
    const { attention } = specification.shape;
    const known = checked.get(attention) ?? compare(engine, openReference, specification);
    checked.set(attention, known);
    await known;
  };
  return {
    name: engine.name,
    device: engine.device,
    memory: engine.memory,
    openBlock: async (specification) => {
      await check(specification);
      return await engine.openBlock(specification);
    },
    openCachedBlock: async (specification) => {
      await check(specification);
      return await engine.openCachedBlock(specification);
    },
    openFittingBlock: async (specification, structure) => {
      await check(specification);
      return await engine.openFittingBlock(specification, structure);
    },
    openStreamFit: (...inputs) => engine.openStreamFit(...inputs),
    ...(engine.multiply && { multiply: (...inputs) => engine.multiply!(...inputs) }),
    openEmbedding: (model) => engine.openEmbedding(model),
    announceBlock: (block) => engine.announceBlock?.(block),
    openHead: (model, finalNorm) => engine.openHead(model, finalNorm),
    close: () => engine.close(),
  };
}

async function compare(
  engine: Engine,
  openReference: () => Promise<Engine>,
  specification: BlockSpecification,
): Promise<void> {
  const reference = await openReference();
  try {
    await checkBlock(engine, reference, { ...specification, capture: "sums" });
  } finally {
    await reference.close();
  }
}
