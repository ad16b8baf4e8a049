/**
 * An engine whose numbers are checked against another one's before it is trusted with a model.
 * @module
 */
import { checkBlock } from "./check.ts";
import type { BlockSpecification, Engine } from "./types.ts";

/**
 * Checks the first block of a model that is opened: its own weights and sizes, on a few made-up tokens.
 *
 * @param engine The engine to check
 * @param openReference Opens the engine that is trusted
 * @returns The engine; opening its first block throws a `GraphicsError` where the numbers differ
 */
export function checkedEngine(engine: Engine, openReference: () => Promise<Engine>): Engine {
  let checked: Promise<void> | undefined;
  const check = async (specification: BlockSpecification) => {
    checked ??= compare(engine, openReference, specification);
    await checked;
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
    openEmbedding: (model) => engine.openEmbedding(model),
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
