/**
 * Completions for fish.
 * @module
 */
import type { CompletedCommand, CompletedOption, Value } from "./words.ts";

/**
 * Writes a script that completes the program's words in fish, with their descriptions.
 *
 * @param commands What can be completed
 * @returns The script
 */
export function fishCompletions(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, summary, options, argument }) => [
    `complete -c gprune -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
    ...options.map((option) => line(name, option)),
    ...argumentLine(name, argument),
  ]);
  return `# fish completions of gprune: write this to ~/.config/fish/completions/gprune.fish
#   gprune completions fish > ~/.config/fish/completions/gprune.fish
function __gprune_named_path
    set -l current (commandline -ct)
    string match -q '*=*' -- $current; or return
    set -l name (string split -m 1 = -- $current)[1]
    for path in (complete -C "cat "(string replace "$name=" '' -- $current))
        echo $name=$path
    end
end
complete -c gprune -f
${lines.join("\n")}
`;
}

function line(command: string, { flag, description, value }: CompletedOption): string {
  const seen = quoted(`__fish_seen_subcommand_from ${command}`);
  const start = `complete -c gprune -n ${seen} -l ${flag.slice(2)} -d ${quoted(description)}`;
  switch (value.kind) {
    case "none":
      return start;
    case "words":
      return `${start} -x -a ${quoted(value.words.join(" "))}`;
    case "path":
      return `${start} -r -F`;
    case "folder":
      return `${start} -x -a '(__fish_complete_directories)'`;
    case "namedPath":
      return `${start} -x -a '(__gprune_named_path)'`;
    default:
      return `${start} -x`;
  }
}

function argumentLine(command: string, value: Value): readonly string[] {
  const words = value.kind === "words"
    ? value.words.join(" ")
    : value.kind === "folder"
    ? "(__fish_complete_directories)"
    : undefined;
  if (words === undefined) return [];
  const seen = quoted(`__fish_seen_subcommand_from ${command}`);
  return [`complete -c gprune -n ${seen} -a ${quoted(words)}`];
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
