/**
 * The most memory that a piece of work took.
 * @module
 */

/**
 * Does work and watches this process's resident memory.
 *
 * @param work The work
 * @returns Bytes above what was there before, at the highest point (where the system has no such mark, at the end)
 */
export async function memoryOf(work: () => Promise<void>): Promise<number> {
  const canReset = resetPeak();
  const before = Deno.memoryUsage().rss;
  await work();
  const after = canReset ? peak() : Deno.memoryUsage().rss;
  return Math.max(0, after - before);
}

/** Linux starts its mark of the peak anew when it is told to. */
function resetPeak(): boolean {
  try {
    Deno.writeTextFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

function peak(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
}
