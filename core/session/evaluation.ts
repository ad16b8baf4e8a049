/**
 * Evaluation: texts to windows, dense and pruned perplexity and accuracy under the same conditions.
 * @module
 */
import type { Engine } from "../engine/types.ts";
import { OptionError } from "../errors.ts";
import { type EvaluationText, measurePerplexity } from "../evaluate/perplexity.ts";
import type { Accuracy, FilePerplexity, PerplexityRow } from "../evaluate/report.ts";
import { accuracy, type ChoiceTask, scoreTasks } from "../evaluate/tasks.ts";
import type { Model } from "../model/types.ts";
import { doEveryStep, type ResumableOptions } from "../progress.ts";
import type { Domain } from "../text/domains.ts";
import { cutWindowsOf } from "../text/windows.ts";
import type { SessionEvent } from "./types.ts";

/** Options of {@linkcode evaluateTexts}. */
export interface EvaluationSettings extends ResumableOptions {
  /** `dense` or `pruned`, for progress and events. */
  readonly which: "dense" | "pruned";
  /** Called with every text's result. */
  readonly onEvent?: (event: SessionEvent) => void;
  /** Multiple-choice tasks in the model's tokens. Default none. */
  readonly tasks?: readonly ChoiceTask[];
}

/**
 * Cuts texts into the windows that they are evaluated on.
 *
 * @param model The model whose tokenizer is used
 * @param domains The texts
 * @param seqLen Tokens per window
 * @param firstWindows Windows of each text to use; all if absent
 * @returns The texts as windows
 * @throws {TextError} if a text is shorter than a window
 * @throws {OptionError} if `firstWindows` is no whole number from 1
 */
export async function evaluationTexts(
  model: Model,
  domains: readonly Domain[],
  seqLen: number,
  firstWindows?: number,
): Promise<readonly EvaluationText[]> {
  if (firstWindows !== undefined && (!Number.isInteger(firstWindows) || firstWindows < 1)) {
    throw new OptionError(
      `Cannot evaluate ${firstWindows} windows: give --eval-windows 1 or more`,
    );
  }
  const texts: EvaluationText[] = [];
  for (const domain of domains) {
    const tokens = Int32Array.from((await model.tokenizer()).encode(domain.text));
    const windows = cutWindowsOf(domain.name, tokens, seqLen).slice(0, firstWindows);
    texts.push({ name: domain.name, sha256: domain.sha256, windows, tokens });
  }
  return texts;
}

/** Perplexity by text and accuracy by task, with speed. */
export interface Evaluation {
  /** Perplexities in the texts' order. */
  readonly perplexity: readonly number[];
  /** Accuracies in the tasks' order. */
  readonly accuracy: readonly Accuracy[];
  /** Tokens per second of the forward pass over the texts. */
  readonly tokensPerSecond: number;
}

/**
 * Evaluates one model.
 *
 * @param engine What runs the model
 * @param model The model
 * @param texts Texts as windows
 * @param settings Tasks, progress, cancelling, events
 * @returns Perplexities, accuracies and speed
 */
export async function evaluateTexts(
  engine: Engine,
  model: Model,
  texts: readonly EvaluationText[],
  settings: EvaluationSettings,
): Promise<Evaluation> {
  const { which, tasks = [], remember = doEveryStep } = settings;
  const result = await remember(
    `perplexity of the ${which} model`,
    () => measurePerplexity(engine, model, texts, { ...settings, label: which }),
  );
  for (const { name, perplexity } of result.texts) {
    settings.onEvent?.({ type: "evaluated", which, name, perplexity });
  }
  const scores = await remember(
    `choices of the ${which} model`,
    () => scoreTasks(engine, model, tasks, { ...settings, label: `${which} choices` }),
  );
  return {
    perplexity: result.texts.map(({ perplexity }) => perplexity),
    accuracy: scores.map(accuracy),
    tokensPerSecond: result.tokensPerSecond,
  };
}

/**
 * The rows of a report.
 *
 * @param texts Texts as windows
 * @param dense Perplexities of the model as it was
 * @param pruned Perplexities of the pruned model, if there is one
 * @param calibrated Names of the texts that calibration had
 * @param files What files in other formats came to on each text; none if absent
 * @returns One row per text
 */
export function perplexityRows(
  texts: readonly EvaluationText[],
  dense: readonly number[],
  pruned: readonly number[] | undefined,
  calibrated: readonly string[],
  files: readonly (readonly FilePerplexity[])[] = [],
): readonly PerplexityRow[] {
  return texts.map(({ name, sha256, windows }, index) => ({
    name,
    tokens: windows.length * (windows[0].length - 1),
    windows: windows.length,
    seqLen: windows[0].length,
    sha256,
    dense: dense[index],
    ...(pruned === undefined ? {} : { pruned: pruned[index] }),
    calibrated: calibrated.includes(name),
    ...(files[index] === undefined || files[index].length === 0 ? {} : { files: files[index] }),
  }));
}
