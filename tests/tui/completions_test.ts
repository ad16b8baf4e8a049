import { assert, assertEquals } from "@std/assert";
import { completedCommands, valuesOf } from "../../tui/completions/words.ts";
import { createProgram } from "../../tui/program.ts";
import { processTerminal } from "../../tui/terminal.ts";
import { libraryJobs } from "../../tui/jobs.ts";
import { Tmux, tmuxIsMissing } from "../helpers/tmux.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";
import { run } from "./command_line.ts";

function shellIsMissing(shell: string): boolean {
  try {
    return !new Deno.Command(shell, { args: ["-c", "true"] }).outputSync().success;
  } catch {
    console.log(`Tests of completions in ${shell} are left out: it is missing`);
    return true;
  }
}

async function output(shell: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(shell, { args: [...args], cwd, stdin: "null" })
    .output();
  assertEquals(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout);
}

/** A folder with a script and some things to complete. */
async function withScript(
  shell: string,
  use: (folder: string, script: string) => Promise<void>,
): Promise<void> {
  await withTemporaryFolder(async (folder) => {
    const { code, out, err } = await run(["completions", shell]);
    assertEquals([code, err], [0, ""]);
    const script = `${folder}/script`;
    await Deno.writeTextFile(script, out);
    await Deno.mkdir(`${folder}/my model`);
    await Deno.writeTextFile(`${folder}/wiki.txt`, "");
    await use(folder, script);
  });
}

const program = createProgram({
  jobs: libraryJobs(),
  terminal: processTerminal(),
  signal: new AbortController().signal,
  colors: false,
  args: [],
});

Deno.test("completedCommands() knows every command and option of the program", async () => {
  const commands = completedCommands(program);
  for (const { name, options } of commands) {
    if (name === "help") continue;
    const { out } = await run([name, "--help"]);
    const shown = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag);
    assertEquals(options.map(({ flag }) => flag).toSorted(), shown.toSorted(), name);
  }
  const { out } = await run(["--help"]);
  const shown = [...out.matchAll(/^ {2}([a-z]+) .*?(?:\[|<| {2})/gm)].map(([, name]) => name);
  for (const { name } of commands) assert(shown.includes(name), name);
});

Deno.test("every word that is completed for an option is one that it takes", async () => {
  for (const [flag, words] of Object.entries(valuesOf)) {
    const owner = completedCommands(program).find(({ options }) =>
      options.some((each) => each.flag === flag)
    );
    assert(owner !== undefined, flag);
    for (const word of words) {
      const { err } = await run([owner.name, flag, word]);
      assert(!err.includes("is not one of"), `${flag} ${word}: ${err}`);
    }
  }
});

Deno.test("gprune completions refuses a shell that it does not know", async () => {
  const { code, err } = await run(["completions", "fsh"]);
  assertEquals(code, 2);
  assertEquals(err, "error: SHELL 'fsh' is not one of bash, zsh, fish; did you mean 'zsh'?\n");
});

Deno.test("bash completes commands, options, values and paths", {
  ignore: shellIsMissing("bash"),
}, () =>
  withScript("bash", async (folder, script) => {
    const complete = async (...words: readonly string[]) => {
      const code = `source ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gprune;
        printf '%s\\n' "\${COMPREPLY[@]}"`;
      const out = await output("bash", ["--norc", "-c", code, "bash", "gprune", ...words], folder);
      return out.trim().split("\n");
    };
    assertEquals(await complete("pr"), ["prune"]);
    assertEquals(await complete("prune", "--metr"), ["--metric"]);
    assertEquals(await complete("prune", "--shape", "a"), ["adaptive"]);
    assertEquals(await complete("prune", "my"), ["my model"]);
    assertEquals(await complete("prune", "--calib", "wiki", "=", "wi"), ["wiki.txt"]);
    assertEquals(await complete("plan", "--stats", "w"), ["wiki.txt"]);
    assertEquals(await complete("doctor", "--sparsity", ""), [""]);
  }));

Deno.test("fish completes commands, options, values and paths", {
  ignore: shellIsMissing("fish"),
}, () =>
  withScript("fish", async (folder, script) => {
    const complete = async (line: string) =>
      (await output("fish", ["-N", "-c", `source ${script}; complete -C '${line}'`], folder))
        .trim().split("\n").map((each) => each.split("\t")[0]);
    assertEquals(await complete("gprune pr"), ["prune"]);
    assertEquals(await complete("gprune prune --metr"), ["--metric"]);
    assertEquals(await complete("gprune prune --shape a"), ["adaptive"]);
    assertEquals(await complete("gprune prune my"), ["my model/"]);
    assertEquals(await complete("gprune prune --calib wiki=wi"), ["wiki=wiki.txt"]);
    assertEquals(await complete("gprune plan --stats w"), ["wiki.txt"]);
  }));

Deno.test("zsh completes commands, options, values and paths", {
  ignore: shellIsMissing("zsh") || tmuxIsMissing(),
}, () =>
  withScript("zsh", async (folder, script) => {
    const tmux = await Tmux.start({
      command: ["zsh", "-f", "-i"],
      columns: 100,
      rows: 30,
      folder,
      environment: { PS1: "> " },
    });
    try {
      await tmux.until(/^>/m, 20);
      await tmux.type(
        `autoload -Uz compinit && compinit -u -d ${folder}/dump && source ${script} && clear`,
      );
      await tmux.press("Enter");
      for (
        const [typed, completed] of [
          ["gprune pru", "gprune prune "],
          ["gprune prune --metr", "gprune prune --metric "],
          ["gprune prune --shape a", "gprune prune --shape adaptive "],
          ["gprune prune my", "gprune prune my\\\\ model/"],
          ["gprune prune --calib wiki=wi", "gprune prune --calib wiki=wiki.txt"],
          ["gprune plan --stats w", "gprune plan --stats wiki.txt"],
        ]
      ) {
        await tmux.type(typed);
        await tmux.press("Tab");
        await tmux.until(new RegExp(`^> ${completed.trimEnd()}`, "m"), 20);
        await tmux.press("C-c");
      }
    } finally {
      await tmux.close();
    }
  }));
