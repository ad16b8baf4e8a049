/**
 * The screen of the questions before a session.
 * @module
 */
import type { Answer, WizardState } from "../keys/wizard.ts";
import { wrap } from "../format.ts";
import { fitHeight, fitLine, type Line, line } from "./spans.ts";
import { keyLine } from "./status.ts";

/**
 * Draws the question that is asked.
 *
 * @param state Where the person is
 * @param columns Columns of the terminal
 * @param rows Rows of the terminal
 * @returns Exactly `rows` lines
 */
export function wizardScreen(state: WizardState, columns: number, rows: number): readonly Line[] {
  const { questions, step, at, typing, problem } = state;
  const title = fitLine(
    [{ text: " gprune   makes language models smaller", bold: true }],
    columns,
  ).map((span) => ({ ...span, inverse: true }));
  const answered = state.answers.map((answer, index): Line => [
    { text: `  ${questions[index].title}  `, dim: true },
    { text: answerText(answer, state) },
  ]);
  const { choices } = questions[step];
  const body: readonly Line[] = [
    [],
    ...(problem === undefined ? [] : [
      ...wrap(`! ${problem}`, columns - 2).split("\n").map((text) => line(text, { color: "red" })),
      [],
    ]),
    ...answered,
    ...(answered.length > 0 ? [[]] : []),
    line(`${step + 1} of ${questions.length}   ${questions[step].title}`, { bold: true }),
    [],
    ...choices.flatMap(({ label, hint }, index): readonly Line[] => {
      const here = index === at;
      return [[
        { text: here ? "  ▸ " : "    ", bold: true },
        { text: label, bold: here },
        { text: `   ${hint}`, dim: true },
      ]];
    }),
    [],
    ...(typing === undefined ? [] : [
      [
        { text: `  ${typing.label}: ` },
        { text: typing.text, bold: true },
        { text: " ", inverse: true },
      ],
    ]),
  ];
  const keys = typing === undefined
    ? [["Enter", "take it"], ["↑↓", "another"], ["Esc", "back"], ["q", "quit"]] as const
    : [["Enter", "take it"], ["Esc", "back"]] as const;
  return [title, ...fitHeight(body, rows - 2), keyLine(keys, columns)];
}

function answerText(answer: Answer, { questions }: WizardState): string {
  if (answer.type === "model" && answer.model !== undefined) return answer.model;
  if (answer.type === "texts" && answer.folder !== undefined) return answer.folder;
  const all = questions.flatMap(({ choices }) => choices);
  return all.find((choice) => JSON.stringify(choice.answer) === JSON.stringify(answer))?.label ??
    "";
}
