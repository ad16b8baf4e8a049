/**
 * A real terminal for tests: a program in tmux, keys sent to it, screens read from it.
 * @module
 */

/** Milliseconds between two keys: a person's, so that escape sequences stay apart. */
const betweenKeys = 80;

/**
 * Whether tmux is missing; says so, since tests that need it are then left out.
 *
 * @returns The value for a test's `ignore`
 */
export function tmuxIsMissing(): boolean {
  try {
    if (new Deno.Command("tmux", { args: ["-V"], stdout: "null" }).outputSync().success) {
      return false;
    }
  } catch {
    // Not installed.
  }
  console.log("Tests that drive a terminal are left out: tmux is missing");
  return true;
}

/** What is started in a terminal. */
export interface TmuxOptions {
  /** The program and its words. */
  readonly command: readonly string[];
  readonly columns: number;
  readonly rows: number;
  /** The folder to start in. */
  readonly folder: string;
  /** Variables of the environment beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A terminal with a program in it. */
export class Tmux {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  /** Starts a program; when it ends, `EXIT` and its code are printed. */
  static async start(options: TmuxOptions): Promise<Tmux> {
    const { command, columns, rows, folder, environment = {} } = options;
    const socket = `gprune-${crypto.randomUUID()}`;
    const tmux = new Tmux(socket);
    const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
    const variables = Object.entries(environment).map(([name, value]) => quote(`${name}=${value}`));
    const line = ["env", ...variables, ...command.map(quote)].join(" ");
    const keep =
      `${line}; echo EXIT $?; stty -a | grep -o -e '-\\?icanon' -e '-\\?echo ' ; exec sleep 600`;
    await tmux.#run(
      ...["-f", "/dev/null", "new-session", "-d", "-c", folder],
      ...["-x", String(columns), "-y", String(rows), keep],
    );
    return tmux;
  }

  /** What is on the screen; with `styles`, escape codes too. */
  async screen(options: { readonly styles?: boolean } = {}): Promise<string> {
    return await this.#run("capture-pane", "-p", ...(options.styles ? ["-e"] : []));
  }

  /** Presses keys by their names in tmux, one by one. */
  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      await this.#run("send-keys", key);
      await new Promise((resolve) => setTimeout(resolve, betweenKeys));
    }
  }

  /** Types a text letter by letter. */
  async type(text: string): Promise<void> {
    for (const letter of text) {
      await this.#run("send-keys", "-l", letter);
      await new Promise((resolve) => setTimeout(resolve, betweenKeys / 4));
    }
  }

  /** Gives the terminal another size. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.#run("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** A value that tmux knows, such as `alternate_on`. */
  async value(name: string): Promise<string> {
    return (await this.#run("display-message", "-p", `#{${name}}`)).trim();
  }

  /** Waits until the screen is as wanted, and gives it. */
  async until(wanted: RegExp, seconds = 240): Promise<string> {
    const end = Date.now() + seconds * 1000;
    let screen = "";
    while (Date.now() < end) {
      screen = await this.screen();
      if (wanted.test(screen)) return screen;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    throw new Error(`Waited ${seconds} s for ${wanted} in vain; the screen is\n${screen}`);
  }

  /** Ends the terminal and what runs in it. */
  async close(): Promise<void> {
    await this.#run("kill-server").catch(() => undefined);
  }

  async #run(...args: readonly string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("tmux", {
      args: ["-L", this.#socket, ...args],
      // Inside another tmux it would talk to that one.
      env: { TMUX: "", TERM: "xterm-256color", LC_ALL: "C.UTF-8" },
    }).output();
    if (!success) throw new Error(`tmux ${args[0]}: ${new TextDecoder().decode(stderr)}`);
    return new TextDecoder().decode(stdout);
  }
}
