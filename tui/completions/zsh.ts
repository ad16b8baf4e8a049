/**
 * Completions for zsh.
 * @module
 */
import type { CompletedCommand, CompletedOption, Value } from "./words.ts";

/**
 * Writes a script that completes the program's words in zsh, with their descriptions.
 *
 * @param commands What can be completed
 * @returns The script
 */
export function zshCompletions(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name, summary }) => `    ${quoted(`${name}:${escaped(summary)}`)}`);
  const cases = commands.map(({ name, options, argument }) => {
    const words = [...options.map(spec), ...argumentSpec(argument)];
    return `    ${name}) _arguments -S ${
      words.map((word) => `\\\n      ${quoted(word)}`).join(" ")
    } ;;`;
  });
  return `#compdef gprune
# zsh completions of gprune: put this line into ~/.zshrc, after compinit
#   source <(gprune completions zsh)
_gprune_named_path() {
  if compset -P '*='; then _files; else _message 'NAME=PATH'; fi
}
_gprune() {
  local -a commands
  commands=(
${names.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands 'command' commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
  esac
}
compdef _gprune gprune
`;
}

function spec({ flag, description, placeholder, value, repeats }: CompletedOption): string {
  const what = `${repeats ? "*" : ""}${flag}[${escaped(description)}]`;
  return value.kind === "none" ? what : `${what}:${escaped(placeholder)}:${action(value)}`;
}

function argumentSpec(value: Value): readonly string[] {
  return value.kind === "none" ? [] : [`1::argument:${action(value)}`];
}

function action(value: Value): string {
  switch (value.kind) {
    case "words":
      return `(${value.words.join(" ")})`;
    case "path":
      return "_files";
    case "folder":
      return "_files -/";
    case "namedPath":
      return "_gprune_named_path";
    default:
      return " ";
  }
}

/** Brackets, colons and backslashes end a part of a spec. */
function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
