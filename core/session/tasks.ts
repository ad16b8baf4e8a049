/**
 * Multiple-choice tasks of a job: those from files, and those made from its evaluation texts.
 * @module
 */
import { OptionError } from "../errors.ts";
import { choiceItems, type ChoiceSource, makeChoiceTask } from "../evaluate/choice_tasks.ts";
import type { Accuracy, TaskRow } from "../evaluate/report.ts";
import { encodeTask, openTaskFiles } from "../evaluate/task_files.ts";
import type { ChoiceTask } from "../evaluate/tasks.ts";
import type { Model } from "../model/types.ts";
import type { EvaluationOptions } from "./types.ts";

/** Questions that one evaluated window stands for, where their number is limited. */
const itemsPerWindow = 8;

/** Options of {@linkcode evaluationTasks}. */
export interface TaskOptions extends Omit<EvaluationOptions, "evaluation"> {
  /** Seed of the places that questions are made at. Default 0. */
  readonly seed?: number;
  /** Called where no task can be made from a text, with one sentence. */
  readonly onNote?: (message: string) => void;
}

/**
 * Prepares tasks: files in the order given, then one task for each text unless `choiceTasks` is false.
 *
 * @param model The model whose tokenizer is used
 * @param texts The evaluation texts
 * @param options Files, whether to make tasks from texts, seed, limit
 * @returns The tasks, none of them empty
 * @throws {TextError} if a task file cannot be used
 * @throws {OptionError} if a task file has the name of a task made from a text
 */
export async function evaluationTasks(
  model: Model,
  texts: readonly ChoiceSource[],
  options: TaskOptions = {},
): Promise<readonly ChoiceTask[]> {
  const { tasks = [], choiceTasks = true, evalWindows, seed, onNote } = options;
  const { maxPositions } = model.architecture;
  const sources = choiceTasks ? texts : [];
  const taken = tasks.find(({ name }) => sources.some((text) => name === `${text.name}-choice`));
  if (taken !== undefined) {
    throw new OptionError(
      `Cannot use two tasks named '${taken.name}': rename the --task, or leave out the task made from the text with --no-choice`,
    );
  }
  const files = await openTaskFiles(tasks);
  if (files.length === 0 && sources.length === 0) return [];
  const tokenizer = await model.tokenizer();
  const items = evalWindows === undefined ? choiceItems : itemsPerWindow * evalWindows;
  const made: ChoiceTask[] = files.map((file) => encodeTask(file, { tokenizer, maxPositions }));
  for (const text of sources) {
    const task = makeChoiceTask(text, { decode: tokenizer.decode, maxPositions, seed, items });
    if (task.items.length > 0) made.push(task);
    else onNote?.(`No multiple choice from the text '${text.name}': it has too few passages`);
  }
  return made;
}

/**
 * The rows of a report.
 *
 * @param tasks The tasks
 * @param dense Accuracies of the model as it was
 * @param pruned Accuracies of the pruned model, if there is one
 * @returns One row per task
 */
export function taskRows(
  tasks: readonly ChoiceTask[],
  dense: readonly Accuracy[],
  pruned?: readonly Accuracy[],
): readonly TaskRow[] {
  return tasks.map(({ name, items }, index) => ({
    name,
    items: items.length,
    dense: dense[index],
    ...(pruned === undefined ? {} : { pruned: pruned[index] }),
  }));
}
