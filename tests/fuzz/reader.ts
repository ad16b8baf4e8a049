/**
 * What the harness needs of a reader that it fuzzes.
 * @module
 */
import type fc from "fast-check";
import type { Bytes } from "./mutations.ts";

/** A reader on hostile files. */
export interface OpenReader {
  /** The files. */
  readonly files: fc.Arbitrary<Bytes>;
  /**
   * Reads one, and does with it what the product does first.
   *
   * @param file Its bytes
   * @throws {GpruneError} what the reader says of it
   */
  readonly read: (file: Bytes) => Promise<void>;
  /** Ends what was started. */
  readonly close?: () => Promise<void>;
}

/** Starts a reader in a folder of its own, outside of which it must write nothing. */
export type FuzzedReader = (folder: string) => Promise<OpenReader>;
