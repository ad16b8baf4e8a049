/**
 * The questions before a session without a model: which model, which texts, what may be cut. Everything is preset, so
 * that Enter three times is an answer.
 * @module
 */
import type { Structure } from "../../core/model/types.ts";
import { editText, type Key } from "./reducer.ts";

/** What a choice stands for. */
export type Answer =
  | { readonly type: "model"; readonly model: string | undefined }
  | { readonly type: "texts"; readonly folder: string | undefined }
  | { readonly type: "structures"; readonly structures: readonly Structure[] }
  /** A text that is still to be typed. */
  | { readonly type: "type"; readonly what: "model" | "texts"; readonly label: string };

/** A choice of a question. */
export interface Choice {
  readonly label: string;
  readonly hint: string;
  readonly answer: Answer;
}

/** A question. */
export interface Question {
  readonly title: string;
  readonly choices: readonly Choice[];
}

/** Where a person is among the questions. */
export interface WizardState {
  /** The questions. */
  readonly questions: readonly Question[];
  /** The question that is asked, counted from 0. */
  readonly step: number;
  /** The choice under the cursor. */
  readonly at: number;
  /** What is being typed, where something is. */
  readonly typing?: {
    readonly what: "model" | "texts";
    readonly label: string;
    readonly text: string;
  };
  /** What was answered. */
  readonly answers: readonly Answer[];
  /** What went wrong last time. */
  readonly problem?: string;
}

/** What a session is opened with. */
export interface WizardResult {
  /** A folder, a hub id, or nothing for the embedded model. */
  readonly model?: string;
  /** A folder of texts, or nothing for the embedded ones. */
  readonly textFolder?: string;
  /** What may be cut; undefined where that was not asked. */
  readonly structures?: readonly Structure[];
}

/** What a key comes to. */
export interface WizardOutcome {
  readonly state: WizardState;
  /** The answers, once there are all. */
  readonly result?: WizardResult;
  /** Whether the person wants to leave. */
  readonly quits?: boolean;
}

/**
 * The first question.
 *
 * @param recent Models that were opened before, the latest first
 * @param problem What went wrong last time
 * @param answered Questions that the command line has answered
 * @returns The state before any key
 */
export function firstWizard(
  recent: readonly string[],
  problem?: string,
  answered: readonly ("texts" | "structures")[] = [],
): WizardState {
  const embedded: Choice = {
    label: "The embedded model",
    hint: "tiny, comes with gprune, nothing to download",
    answer: { type: "model", model: undefined },
  };
  const known = recent.map((source): Choice =>
    source === "embedded"
      ? embedded
      : { label: source, hint: "opened before", answer: { type: "model", model: source } }
  );
  const models: Question = {
    title: "Which model?",
    choices: [
      ...known,
      ...(recent.includes("embedded") ? [] : [embedded]),
      {
        label: "A folder …",
        hint: "Hugging Face layout: config.json, tokenizer.json, safetensors",
        answer: { type: "type", what: "model", label: "Folder" },
      },
      {
        label: "A model of the Hugging Face hub …",
        hint: "such as HuggingFaceTB/SmolLM-135M",
        answer: { type: "type", what: "model", label: "Hub id" },
      },
    ],
  };
  const questions = [
    models,
    ...(answered.includes("texts") ? [] : [textQuestion]),
    ...(answered.includes("structures") ? [] : [structureQuestion]),
  ];
  return {
    questions,
    step: 0,
    at: 0,
    answers: [],
    problem,
  };
}

const textQuestion: Question = {
  title: "Which texts should it stay good at?",
  choices: [
    {
      label: "The embedded texts and the model's own words",
      hint: "needs no files",
      answer: { type: "texts", folder: undefined },
    },
    {
      label: "My own: a folder of text files …",
      hint: "every file or folder in it is one kind of text",
      answer: { type: "type", what: "texts", label: "Folder" },
    },
  ],
};

const structureQuestion: Question = {
  title: "What may be cut?",
  choices: [
    {
      label: "FFN neurons and KV heads",
      hint: "the split between them is found",
      answer: { type: "structures", structures: ["ffn", "heads"] },
    },
    {
      label: "FFN neurons alone",
      hint: "attention stays whole",
      answer: { type: "structures", structures: ["ffn"] },
    },
    {
      label: "KV heads alone",
      hint: "makes the key/value cache smaller",
      answer: { type: "structures", structures: ["heads"] },
    },
  ],
};

/**
 * Takes in a key.
 *
 * @param state Where the person is
 * @param key The key
 * @returns Where they are next, and the answers once there are all
 */
export function pressWizard(state: WizardState, key: Key): WizardOutcome {
  if (key.type === "interrupt") return { state, quits: true };
  if (state.typing !== undefined) return pressTyping(state, state.typing, key);
  const { choices } = state.questions[state.step];
  switch (key.type) {
    case "up":
      return { state: { ...state, at: (state.at + choices.length - 1) % choices.length } };
    case "down":
    case "tab":
      return { state: { ...state, at: (state.at + 1) % choices.length } };
    case "escape":
    case "left":
    case "backspace":
      return { state: back(state) };
    case "enter":
    case "right":
      return answer(state, choices[state.at].answer);
    default:
      return key.type === "text" && key.text === "q" ? { state, quits: true } : { state };
  }
}

function pressTyping(
  state: WizardState,
  typing: NonNullable<WizardState["typing"]>,
  key: Key,
): WizardOutcome {
  if (key.type === "escape") return { state: { ...state, typing: undefined } };
  const text = typing.text.trim();
  if (key.type === "enter") {
    if (text === "") return { state };
    return answer(
      { ...state, typing: undefined },
      typing.what === "model" ? { type: "model", model: text } : { type: "texts", folder: text },
    );
  }
  return { state: { ...state, typing: { ...typing, text: editText(typing.text, key) } } };
}

function answer(state: WizardState, given: Answer): WizardOutcome {
  if (given.type === "type") {
    const { what, label } = given;
    return { state: { ...state, typing: { what, label, text: "" } } };
  }
  const answers = [...state.answers, given];
  const next = { ...state, answers, step: state.step + 1, at: 0, problem: undefined };
  if (next.step < state.questions.length) return { state: next };
  return { state, result: resultOf(answers) };
}

function back(state: WizardState): WizardState {
  if (state.step === 0) return state;
  return { ...state, step: state.step - 1, at: 0, answers: state.answers.slice(0, -1) };
}

function resultOf(answers: readonly Answer[]): WizardResult {
  let result: WizardResult = {};
  for (const each of answers) {
    if (each.type === "model") result = { ...result, model: each.model };
    if (each.type === "texts") result = { ...result, textFolder: each.folder };
    if (each.type === "structures") result = { ...result, structures: each.structures };
  }
  return result;
}
