import { calibrateWith, type CalibrationSettings } from "../../core/session/calibrate.ts";
import type { Statistics } from "../../core/calibrate/types.ts";
import { openEngine } from "../../core/engine/open.ts";
import type { Engine } from "../../core/engine/types.ts";
import { openModel } from "../../core/model/open.ts";
import type { Model } from "../../core/model/types.ts";
import { type Domain, domainOf } from "../../core/text/domains.ts";
import { Random } from "../../core/random.ts";
import { type RandomModelOptions, withRandomModel } from "./random-model.ts";

/** Sizes that run in milliseconds and still have groups, modules and several layers. */
export const smallModel: RandomModelOptions = {
  layers: 3,
  hidden: 32,
  headSize: 8,
  queryHeads: 8,
  keyValueHeads: 4,
  ffnWidth: 48,
  maxPositions: 64,
  seed: 1,
};

/**
 * Opens a small random model and an engine for a test, and closes them after it.
 *
 * @param use The test
 * @param options Other sizes
 * @returns What the test gives
 */
export async function withSmallModel<T>(
  use: (model: Model, engine: Engine) => Promise<T>,
  options: RandomModelOptions = {},
): Promise<T> {
  return await withRandomModel({ ...smallModel, ...options }, async (folder) => {
    const engine = await openEngine("onnx");
    try {
      return await use(await openModel(folder), engine);
    } finally {
      await engine.close();
    }
  });
}

/**
 * A text of made-up words.
 *
 * @param name The domain's name; other names give other words
 * @param characters About how long
 * @returns The domain
 */
export function wordyDomain(name: string, characters = 6000): Domain {
  const random = Random.of(`words ${name}`);
  const letters = "abcdefghijklmnopqrstuvwxyz";
  const words = Array.from(
    { length: 40 },
    () => Array.from({ length: 2 + random.below(6) }, () => letters[random.below(26)]).join(""),
  );
  let text = "";
  while (text.length < characters) text += `${words[random.below(40)]} `;
  return domainOf(name, text);
}

/** Three domains for tests. */
export const domains: readonly Domain[] = ["alpha", "beta", "gamma"].map((name) =>
  wordyDomain(name)
);

/**
 * Calibrates a small model in memory.
 *
 * @param engine The engine
 * @param model The model
 * @param settings Other settings; few and short windows by default
 * @param texts Other texts
 * @returns Statistics
 */
export async function smallStatistics(
  engine: Engine,
  model: Model,
  settings: CalibrationSettings = {},
  texts: readonly Domain[] = domains,
): Promise<Statistics> {
  return await calibrateWith(engine, model, texts, { samples: 8, seqLen: 32, ...settings });
}
