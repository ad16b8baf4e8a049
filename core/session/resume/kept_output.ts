/**
 * What a run has finished of its output, in its journal: fits, the pruned model, files in other formats.
 * @module
 */
import { createHash } from "node:crypto";
import type { AppliedPlan } from "../../apply/apply.ts";
import type { KeptFits } from "../../apply/kept_fits.ts";
import { encode, numberCount, type TensorEntry } from "../../model/safetensors.ts";
import { openModel } from "../../model/open.ts";
import { readTensor } from "../../model/tensor_reader.ts";
import type { Plan } from "../../plan/types.ts";
import type { Remember } from "../../progress.ts";
import { type Journal, syncFolder } from "./journal.ts";

/**
 * Keeps fits in a journal.
 *
 * @param journal The journal
 * @param plan The plan that is carried out: fits of another are not used
 * @returns Where fits are kept
 */
export function keptFits(journal: Journal, plan: Plan): KeptFits {
  const hash = createHash("sha256").update(JSON.stringify(plan)).digest("hex").slice(0, 16);
  const stepOf = (name: string) => `fit of ${name} for plan ${hash}`;
  return {
    read: async (name) => {
      const found = await journal.readTensors(stepOf(name));
      if (found === undefined) return undefined;
      const weights = new Map<string, Float32Array>();
      for (const [key, tensor] of found.tensors) weights.set(key, await readTensor(tensor));
      return { weights, words: found.words };
    },
    write: async (name, { weights, words }) => {
      const entries = Array.from(weights, ([key, data]): TensorEntry => ({
        name: key,
        dataType: "F32",
        shape: [data.length],
        bytes: () => encode(data, "F32"),
      })).filter(({ shape }) => numberCount(shape) > 0);
      await journal.writeTensors(stepOf(name), words, entries);
    },
  };
}

/** Options of {@linkcode keptModel}. */
export interface KeptModelOptions {
  /** The folder of the result, in which everything is made. */
  readonly folder: string;
  /** The folder of the pruned model: the same, or one inside it. */
  readonly directory: string;
  /** Makes the pruned model. */
  readonly apply: () => Promise<AppliedPlan>;
}

/**
 * The pruned model: the one that an earlier run has finished, or one that is made.
 *
 * @param journal The journal
 * @param options Where it is; how it is made
 * @returns The model and what its refits came to
 */
export async function keptModel(
  journal: Journal,
  { folder, directory, apply }: KeptModelOptions,
): Promise<AppliedPlan> {
  const known = await journal.read<Omit<AppliedPlan, "model">>("apply");
  if (known !== undefined) return { ...known.value, model: await openModel(directory) };
  // Half of a model may lie there, on a disk that was too full for the other half.
  await Deno.remove(folder, { recursive: true }).catch(() => undefined);
  await Deno.mkdir(folder, { recursive: true });
  const { model, ...rest } = await apply();
  await syncFolder(folder);
  await journal.write("apply", rest);
  return { ...rest, model };
}

/**
 * Remembers steps together with what they said.
 *
 * @param journal The journal
 * @param notes What has been said so far; what steps of an earlier run said is said again
 * @param say Says something
 * @param folder A folder whose files are forced to the disk before a step counts as finished
 * @returns What remembers
 */
export function rememberWithNotes(
  journal: Journal,
  notes: readonly string[],
  say: (note: string) => void,
  folder?: string,
): Remember {
  return async <T>(step: string, work: () => Promise<T>): Promise<T> => {
    let isDone = false;
    const before = notes.length;
    const record = await journal.remember(step, async () => {
      const value = await work();
      if (folder !== undefined) await syncFolder(folder);
      isDone = true;
      return { value, said: notes.slice(before) };
    });
    if (!isDone) record.said.forEach(say);
    return record.value;
  };
}
