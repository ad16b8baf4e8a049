/**
 * What can be completed, taken from the program itself: its commands, their options, and the values of those.
 * @module
 */
import type { CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { formatNames, quantizationNames } from "../../core/export/formats.ts";
import * as option from "../options.ts";

/** What follows an option: nothing, one of some words, a path, a name with a path, or something else. */
export type Value =
  | { readonly kind: "none" | "path" | "folder" | "namedPath" | "other" }
  | { readonly kind: "words"; readonly words: readonly string[] };

/** An option that can be completed. */
export interface CompletedOption {
  /** With its dashes. */
  readonly flag: string;
  readonly description: string;
  /** What stands for its value in the help; empty where it takes none. */
  readonly placeholder: string;
  readonly value: Value;
  /** Whether it can come more than once. */
  readonly repeats: boolean;
}

/** A command that can be completed. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What follows the command: a model's folder, one of some words, or nothing. */
  readonly argument: Value;
}

/** Words of options that take one of some, or a list of them. */
export const valuesOf: Readonly<Record<string, readonly string[]>> = {
  "--engine": option.engines,
  "--method": option.methods,
  "--methods": option.methods,
  "--metric": option.metrics,
  "--structures": option.structures,
  "--shape": option.shapes,
  "--refit": option.refits,
  "--switch": option.switches,
  "--objective": option.objectives,
  "--format": formatNames,
  "--dtype": option.dataTypes,
  "--quantize": quantizationNames,
};

/**
 * Everything that can be completed.
 *
 * @param program The program with all its commands
 * @returns Its commands in their order
 */
export function completedCommands(program: CommandUnknownOpts): readonly CompletedCommand[] {
  const commands = program.commands.map((command): CompletedCommand => ({
    name: command.name(),
    summary: command.summary(),
    options: [...command.options.map(completedOption), help],
    argument: argumentOf(command),
  }));
  const names = commands.map(({ name }) => name);
  return [...commands, {
    name: "help",
    summary: "show the help of a command",
    options: [],
    argument: { kind: "words", words: names },
  }];
}

const help: CompletedOption = {
  flag: "--help",
  description: "show help",
  placeholder: "",
  value: { kind: "none" },
  repeats: false,
};

function completedOption(given: Option): CompletedOption {
  const flag = given.long ?? given.flags;
  const placeholder = /<(.*)>/.exec(given.flags)?.[1] ?? "";
  return {
    flag,
    description: given.description,
    placeholder,
    value: valueOf(flag, placeholder),
    repeats: given.description.includes("repeat it"),
  };
}

function valueOf(flag: string, placeholder: string): Value {
  const words = valuesOf[flag];
  if (words !== undefined) return { kind: "words", words };
  if (placeholder === "") return { kind: "none" };
  if (placeholder === "NAME=PATH") return { kind: "namedPath" };
  if (placeholder === "DIR") return { kind: "folder" };
  if (placeholder.startsWith("FILE")) return { kind: "path" };
  return { kind: "other" };
}

function argumentOf(command: CommandUnknownOpts): Value {
  const [first] = command.registeredArguments;
  if (first === undefined) return { kind: "none" };
  const words = first.argChoices;
  return words === undefined ? { kind: "folder" } : { kind: "words", words };
}
