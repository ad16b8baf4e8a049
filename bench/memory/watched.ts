/**
 * gprune in a process of its own, whose highest resident memory the kernel counts.
 * @module
 */

/** What a command took. */
export interface Watched {
  /** The kernel's high-water mark of the process. */
  readonly peakBytes: number;
  /** How long it took. */
  readonly seconds: number;
  /** What it printed on standard output. */
  readonly output: string;
}

/**
 * Runs a command of gprune and looks at its memory while it lives.
 *
 * @param args The command and its options
 * @returns What it took
 * @throws {Error} if it fails, with what it says
 */
export async function watched(args: readonly string[]): Promise<Watched> {
  const start = performance.now();
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "main.ts", ...args, "--quiet"],
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  let peakBytes = 0;
  const look = () => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      const kilobytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
      peakBytes = Math.max(peakBytes, 1024 * kilobytes);
    } catch {
      // The process has ended.
    }
  };
  const timer = setInterval(look, 100);
  const { code, stdout, stderr } = await child.output();
  clearInterval(timer);
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return {
    peakBytes,
    seconds: (performance.now() - start) / 1000,
    output: new TextDecoder().decode(stdout),
  };
}
