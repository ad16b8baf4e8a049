/**
 * Small random models of every family, with what PyTorch transformers computes with them; `bench/families_reference.py`
 * makes them.
 * @module
 */
import { applyPlan } from "../../core/apply/apply.ts";
import { exportZeroPadded } from "../../core/export/zero_pad.ts";
import { familyOf } from "../../core/model/families.ts";
import { openModel } from "../../core/model/open.ts";
import { planOf } from "./random-statistics.ts";

/** What transformers computes, float32 in base64. */
export interface FamilyReference {
  /** The stock class. */
  readonly model_class: string;
  /** Two texts. */
  readonly tokens: readonly (readonly number[])[];
  /** `[texts, length, vocabulary]` */
  readonly logits: string;
  /** Of the first text, after the embedding and after each block, `[length, hidden]`. */
  readonly streams: readonly string[];
}

/** One model. */
export interface FamilyFixture {
  /** Its name, such as `qwen2-window`. */
  readonly name: string;
  /** Its folder. */
  readonly folder: string;
  /** What transformers computes. */
  readonly reference: FamilyReference;
}

const FOLDER = new URL("../fixtures/families/", import.meta.url);

/** Every model, by name. */
export const familyFixtures: readonly FamilyFixture[] = [...Deno.readDirSync(FOLDER)]
  .filter(({ isDirectory }) => isDirectory)
  .map(({ name }) => name).sort()
  .map((name) => {
    const folder = new URL(`${name}/`, FOLDER).pathname.replace(/\/$/, "");
    const reference = JSON.parse(Deno.readTextFileSync(`${folder}/reference.json`));
    return { name, folder, reference };
  });

/**
 * Prunes a model by a fixed uniform plan so that stock classes load it: two of three neurons stay, and the first KV group
 * where heads need not fill the stream. Where they must, a second folder loses heads and is padded with zeros.
 *
 * @param name The fixture's name
 * @param directory Where to write; the second folder is beside it, with `-padded` behind its name
 * @returns The folders
 */
export async function prunedFamily(name: string, directory: string): Promise<readonly string[]> {
  const { folder } = familyFixtures.find((fixture) => fixture.name === name)!;
  const model = await openModel(folder);
  const headsFillStream = familyOf(model.architecture.family).headsInStream === "fill";
  const neurons = model.architecture.layers.map(({ ffnWidth }) => ({
    ffnKept: Array.from({ length: ffnWidth }, (_, unit) => unit).filter((unit) => unit % 3 !== 1),
  }));
  const both = neurons.map((layer) => ({ ...layer, keyValueHeadsKept: [0] }));
  const write = async (kept: typeof neurons, target: string) =>
    (await applyPlan(model, planOf(model, kept, { shape: "uniform" }), { directory: target }))
      .model;
  await write(headsFillStream ? neurons : both, directory);
  if (!headsFillStream) return [directory];
  const temporary = await Deno.makeTempDir();
  const padded = `${directory}-padded`;
  try {
    await exportZeroPadded(await write(both, temporary), padded);
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
  return [directory, padded];
}
