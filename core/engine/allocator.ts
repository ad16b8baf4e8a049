/**
 * Making the C library give freed memory back to the system. By itself glibc keeps what arrays of up to 32 MiB were in,
 * and in a heap that has holes that is forgotten memory: peaks then differ by hundreds of megabytes from run to run.
 * @module
 */
import { createRequire } from "node:module";
import { dirname, join } from "@std/path";

/** `M_MMAP_THRESHOLD` of glibc's `mallopt`: larger pieces are mapped one by one, and unmapped when they are freed. */
const MAP_THRESHOLD = -3;
const MAPPED_FROM_BYTES = 1 << 20;

const folders: Readonly<Record<string, string>> = { x86_64: "x64", aarch64: "arm64" };

/**
 * Makes this process map every piece of memory from 1 MiB on by itself, on Linux with glibc. It costs a little time.
 *
 * The function is looked up through ONNX Runtime's library, which is linked to the C library: that is the only native
 * code that gprune's permissions let it open.
 *
 * @returns Gives back what smaller pieces were in, at every call, which takes a millisecond or two; undefined where
 *   nothing was done
 */
export function returnFreedMemory(): (() => void) | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const entry = createRequire(import.meta.url).resolve("onnxruntime-node");
    const folder = join(dirname(dirname(entry)), "bin", "napi-v6", "linux");
    // It stays open: the process uses what it is linked to anyway.
    const { symbols } = Deno.dlopen(
      join(folder, folders[Deno.build.arch], "libonnxruntime.so.1"),
      {
        mallopt: { parameters: ["i32", "i32"], result: "i32" },
        malloc_trim: { parameters: ["usize"], result: "i32" },
      },
    );
    symbols.mallopt(MAP_THRESHOLD, MAPPED_FROM_BYTES);
    return () => symbols.malloc_trim(0n);
  } catch {
    return undefined;
  }
}
