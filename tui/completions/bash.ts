/**
 * Completions for bash.
 * @module
 */
import type { CompletedCommand, Value } from "./words.ts";

/**
 * Writes a script that completes the program's words in bash 4 and newer, and in the 3.2 of macOS.
 *
 * @param commands What can be completed
 * @returns The script
 */
export function bashCompletions(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ name, options, argument }) => {
    const words = options.map(({ flag }) => flag).join(" ");
    const values = options.flatMap(({ flag, value }) =>
      value.kind === "none" ? [] : [`      ${flag}) ${suggestion(value)} ;;`]
    );
    return `  ${name})
    case "$previous" in
${values.map((line) => `${line}\n`).join("")}      *)
        case "$current" in
          -*) _gprune_words "${words}" ;;
          *) ${suggestion(argument)} ;;
        esac ;;
    esac ;;`;
  });
  return `# bash completions of gprune: put this line into ~/.bashrc
#   source <(gprune completions bash)
_gprune_words() { COMPREPLY=($(compgen -W "$1" -- "$current")); }
_gprune_files() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen "$1" -- "$current"))
  compopt -o filenames 2>/dev/null
}
_gprune() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command=\${COMP_WORDS[1]}
  COMPREPLY=()
  # bash takes NAME=PATH for three words: what follows the sign is a path.
  if [[ $current == "=" ]]; then current=; _gprune_files -f; return; fi
  if [[ $previous == "=" ]]; then _gprune_files -f; return; fi
  if [[ $COMP_CWORD -eq 1 ]]; then
    _gprune_words "${commands.map(({ name }) => name).join(" ")} --help --version"
    return
  fi
  case "$command" in
${cases.join("\n")}
  esac
}
complete -F _gprune gprune
`;
}

function suggestion(value: Value): string {
  switch (value.kind) {
    case "words":
      return `_gprune_words "${value.words.join(" ")}"`;
    case "path":
      return "_gprune_files -f";
    case "folder":
      return "_gprune_files -d";
    default:
      return ":";
  }
}
