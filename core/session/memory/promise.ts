/**
 * Promising memory: limits that keep a job below a number of bytes, and a process that gives back what it frees.
 * @module
 */
import { returnFreedMemory } from "../../engine/allocator.ts";
import { MemoryBudget } from "../../engine/memory.ts";
import { keepTidy } from "../../garbage.ts";
import { type MemoryTask, promisedLimits } from "./memory_needs.ts";

/**
 * Starts to keep a promise.
 *
 * @param task What the job does
 * @param bytes What it is to stay below
 * @returns The budget for the job's engine
 * @throws {OptionError} if the job does not fit
 */
export function promiseMemory(task: MemoryTask, bytes: number): MemoryBudget {
  const limits = promisedLimits(task, bytes);
  keepTidy(returnFreedMemory());
  return new MemoryBudget(limits);
}
