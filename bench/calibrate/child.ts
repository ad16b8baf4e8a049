/**
 * Processes that take orders line by line and answer each with a line of JSON.
 * @module
 */

/** One such process. */
export class Child {
  readonly #process: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: ReadableStreamDefaultReader<string>;
  #text = "";

  /**
   * Starts a process.
   *
   * @param command The program
   * @param args Its arguments
   * @param env More of the environment
   */
  constructor(
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#process = new Deno.Command(command, {
      args: [...args],
      env,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#orders = this.#process.stdin.getWriter();
    this.#answers = this.#process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /**
   * Gives an order and waits for the answer.
   *
   * @param order The order
   * @returns The answer
   * @throws {Error} if the process ends instead
   */
  async ask<T>(order: string): Promise<T> {
    await this.#orders.write(new TextEncoder().encode(`${order}\n`));
    return await this.read<T>(order);
  }

  /**
   * Waits for a line.
   *
   * @param what What it answers, for the error
   * @returns What it says
   * @throws {Error} if the process ends instead
   */
  async read<T>(what: string): Promise<T> {
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#answers.read();
      if (done) throw new Error(`Cannot get an answer to '${what}': the process has ended`);
      this.#text += value;
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return JSON.parse(line);
  }

  /** Lets the process end. */
  async close(): Promise<void> {
    await this.#orders.close();
    await this.#answers.cancel();
    await this.#process.status;
  }
}
