/**
 * Small random models of every family, with what PyTorch transformers computes with them; `bench/families_reference.py`
 * makes them.
 * @module
 */

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
