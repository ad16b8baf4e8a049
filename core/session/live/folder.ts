/**
 * What live sessions keep in the user's cache: statistics, unfinished calibrations, measurements, recent models.
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "@std/path";
import { parseJson, readTextFile } from "../../json.ts";
import { hubSettings } from "../../model/hub.ts";

/** What was measured of one plan. */
export interface Measured {
  /** Perplexities in the order of the evaluation texts. */
  readonly perplexity: readonly number[];
  /** Tokens per second of the forward pass. */
  readonly tokensPerSecond: number;
  /** Parameters of the pruned model. */
  readonly parameters: number;
  /** Bytes of its weight files. */
  readonly bytes: number;
}

/** A model that was opened before. */
export interface RecentModel {
  /** What it was opened with; `embedded` for the embedded model. */
  readonly source: string;
  /** When, in milliseconds since 1970. */
  readonly openedAt: number;
}

/** Models that are remembered. */
const recentKept = 8;

/** The files of one model under one calibration. */
export interface SessionFolder {
  /** The folder. */
  readonly path: string;
  /** Statistics, once they are whole. */
  readonly statistics: string;
  /** Where an unfinished calibration goes on. */
  readonly unfinished: string;
}

/**
 * Where all sessions are kept: beside the hub's downloads.
 *
 * @returns A folder, which need not exist
 * @throws {ModelError} if no folder for the cache can be found
 */
export function sessionsFolder(): string {
  return join(dirname(hubSettings().cacheFolder), "sessions");
}

/**
 * The folder of one model under one calibration.
 *
 * @param root The folder of all sessions
 * @param name The model's name
 * @param conditions What the statistics depend on: fingerprint, texts, settings
 * @returns Its paths, which need not exist
 */
export function sessionFolder(
  root: string,
  name: string,
  conditions: Readonly<Record<string, unknown>>,
): SessionFolder {
  const hash = createHash("sha256").update(JSON.stringify(conditions)).digest("hex").slice(0, 16);
  const path = join(root, `${name.replace(/[^\w.-]/g, "-")}-${hash}`);
  return {
    path,
    statistics: join(path, "calibration.stats"),
    unfinished: join(path, "unfinished"),
  };
}

/** Measurements, kept from session to session. */
export class MeasurementStore {
  readonly #folder: SessionFolder;
  readonly #conditions: string;
  readonly #measured = new Map<string, Measured>();

  /**
   * Starts empty.
   *
   * @param folder The session's folder
   * @param conditions What perplexities depend on: texts, windows, statistics
   */
  constructor(folder: SessionFolder, conditions: Readonly<Record<string, unknown>>) {
    this.#folder = folder;
    this.#conditions = JSON.stringify(conditions);
  }

  /** Reads what earlier sessions measured under the same conditions. */
  async load(): Promise<void> {
    const found = await readJson(this.#path);
    if (found === undefined || found.conditions !== this.#conditions) return;
    for (const [key, measured] of Object.entries(found.measured ?? {})) {
      if (isMeasured(measured)) this.#measured.set(key, measured);
    }
  }

  /**
   * A measurement.
   *
   * @param key The plan's request as JSON, or `dense`
   * @returns What was measured, if anything
   */
  get(key: string): Measured | undefined {
    return this.#measured.get(key);
  }

  /**
   * Keeps a measurement, in the file too, where that can be written.
   *
   * @param key The plan's request as JSON, or `dense`
   * @param measured What was measured
   */
  set(key: string, measured: Measured): void {
    this.#measured.set(key, measured);
    void this.#save().catch(() => undefined);
  }

  get #path(): string {
    return join(this.#folder.path, "measured.json");
  }

  async #save(): Promise<void> {
    await Deno.mkdir(this.#folder.path, { recursive: true });
    const measured = Object.fromEntries(this.#measured);
    await writeJson(this.#path, { conditions: this.#conditions, measured });
  }
}

/**
 * Models that were opened before.
 *
 * @param root The folder of all sessions
 * @returns The latest first; none where nothing is remembered
 */
export async function recentModels(root: string): Promise<readonly RecentModel[]> {
  const found = await readJson(join(root, "recent.json"));
  return Array.isArray(found?.models)
    ? (found.models as (RecentModel | null)[]).filter((model): model is RecentModel =>
      typeof model?.source === "string"
    )
    : [];
}

/**
 * Remembers a model.
 *
 * @param root The folder of all sessions
 * @param source What it was opened with
 * @param now The time, in milliseconds since 1970
 */
export async function rememberModel(root: string, source: string, now: number): Promise<void> {
  const others = (await recentModels(root)).filter((recent) => recent.source !== source);
  const models = [{ source, openedAt: now }, ...others].slice(0, recentKept);
  await Deno.mkdir(root, { recursive: true });
  await writeJson(join(root, "recent.json"), { models });
}

function isMeasured(value: unknown): value is Measured {
  if (typeof value !== "object" || value === null) return false;
  const { perplexity, ...numbers } = value as Partial<Measured>;
  const { tokensPerSecond, parameters, bytes } = numbers;
  return Array.isArray(perplexity) &&
    [...perplexity, tokensPerSecond, parameters, bytes].every((each) => typeof each === "number");
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    const value = parseJson(await readTextFile(path));
    return typeof value === "object" && value !== null
      ? value as Record<string, unknown>
      : undefined;
  } catch {
    // A cache that cannot be read is a cache that is empty.
    return undefined;
  }
}

/** A file appears whole or not at all. */
async function writeJson(path: string, value: unknown): Promise<void> {
  const unfinished = `${path}.${crypto.randomUUID()}.part`;
  await Deno.writeTextFile(unfinished, JSON.stringify(value));
  await Deno.rename(unfinished, path);
}
