/**
 * Models of the Hugging Face hub: which files of a repository are needed, and downloading them into a cache.
 * @module
 */
import { listFiles } from "@huggingface/hub";
import { z } from "zod";
import { GpruneError, ModelError } from "../errors.ts";
import { parseJson, readTextFile } from "../json.ts";
import { throwIfCancelled, type WorkOptions } from "../progress.ts";
import { parseConfig, readConfig } from "./config.ts";
import { downloadFile, type FileDigest, pause, type RemoteFile, StatusError } from "./download.ts";
import { COMPANION_FILES } from "./files.ts";

/** Where the hub is and what it is asked for. */
export interface HubOptions extends WorkOptions {
  /** A branch, a tag or a commit; `main` if absent. */
  readonly revision?: string;
  /** The hub's address; `HF_ENDPOINT` or `https://huggingface.co` if absent. */
  readonly hubUrl?: string;
  /** A token for private and gated models, or "" for none; `HF_TOKEN` or `HUGGING_FACE_HUB_TOKEN` if absent. */
  readonly token?: string;
  /** Where models are kept; `hub` in `GPRUNE_CACHE` or in the user's cache folder if absent. */
  readonly cacheFolder?: string;
  /** Milliseconds before the first new attempt after a failure, doubled before each further one; 500 if absent. */
  readonly retryDelay?: number;
}

/** Where the hub and the cache are, and who asks. */
export interface HubSettings {
  /** The hub's address, without a slash at its end. */
  readonly hubUrl: string;
  /** The token, if there is one. */
  readonly token?: string;
  /** Where models are kept. */
  readonly cacheFolder: string;
}

/** A file of a repository, as the hub lists it. */
interface ListedFile {
  readonly path: string;
  readonly size: number;
  readonly oid?: string;
  readonly lfs?: { readonly oid: string; readonly size: number };
}

/** What a hub says about an entry of a repository, as far as it is used. Paths of files that are used have no `/`. */
const LISTED = z.looseObject({
  type: z.string(),
  path: z.string(),
  size: z.int().nonnegative(),
  oid: z.string().regex(/^[0-9a-f]*$/).optional(),
  lfs: z.looseObject({
    oid: z.string().regex(/^(sha256:)?[0-9a-f]{64}$/),
    size: z.int().nonnegative(),
  }).optional(),
});

/** What is known about a cached model. */
interface CacheRecord {
  readonly complete: boolean;
  /** The hub's object id of every file that is there. */
  readonly files: Readonly<Record<string, string>>;
}

/** The same as it lies in its file. */
const KEPT = z.object({
  complete: z.boolean(),
  files: z.record(z.string().regex(/^[^/\\]+$/), z.string()),
});

const RECORD = ".gprune-download.json";
const ATTEMPTS = 5;
const LISTING_ATTEMPTS = 3;
const PATIENCE = 60_000;

/**
 * Whether a source could be the id of a model on the hub.
 *
 * @param source What the user gave
 * @returns True for `org/name`
 */
export function isHubId(source: string): boolean {
  return /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9_][\w.-]*$/.test(source) && !source.includes("..");
}

/**
 * Settings of the hub: the options, and the environment for what they leave out.
 *
 * @param options What the caller decides
 * @param environment Reads a variable of the environment
 * @returns Address, token and cache folder
 * @throws {ModelError} if no folder for the cache can be found
 */
export function hubSettings(
  options: HubOptions = {},
  environment: (name: string) => string | undefined = readEnvironment,
): HubSettings {
  const variable = (name: string) => environment(name) || undefined;
  const hubUrl = options.hubUrl ?? variable("HF_ENDPOINT") ?? "https://huggingface.co";
  const token = options.token ?? variable("HF_TOKEN") ?? variable("HUGGING_FACE_HUB_TOKEN");
  const own = variable("GPRUNE_CACHE");
  const home = variable("HOME") ?? variable("USERPROFILE");
  const shared = variable("XDG_CACHE_HOME") ?? (home && `${home}/.cache`);
  const cacheFolder = options.cacheFolder ??
    (own ? `${own}/hub` : shared && `${shared}/gprune/hub`);
  if (cacheFolder === undefined) {
    throw new ModelError("Cannot find a folder for downloads: set GPRUNE_CACHE to one");
  }
  return { hubUrl: hubUrl.replace(/\/+$/, ""), token: token || undefined, cacheFolder };
}

/**
 * Downloads the files of a model that are needed, or finds them in the cache. Interrupted downloads go on where they
 * stopped. Without a connection, a model that was downloaded whole before is used as it is.
 *
 * @param id The model's id, `org/name`
 * @param options Revision, token, progress in bytes, cancellation
 * @returns The folder that holds the files
 * @throws {ModelError} if the model is not there, may not be read, has no safetensors, or the network or disk fails
 * @throws {CancelledError} if the signal is aborted
 */
export async function downloadModel(id: string, options: HubOptions = {}): Promise<string> {
  if (!isHubId(id)) throw new ModelError(`Cannot download '${id}': a hub id looks like org/name`);
  const settings = hubSettings(options);
  const revision = options.revision ?? "main";
  const folder = `${settings.cacheFolder}/${id.replace("/", "--")}/${encodeURIComponent(revision)}`;
  const record = await readRecord(folder);
  // A commit never changes, so what is there needs no question to the hub.
  if (record.complete && /^[0-9a-f]{40}$/.test(revision)) return folder;
  let files: ListedFile[];
  try {
    files = await listPatiently(id, revision, settings, options);
  } catch (error) {
    throwIfCancelled(options.signal);
    if (record.complete && !isRefusal(error)) return folder;
    throw explain(error, id, revision, settings);
  }
  const needed = neededFiles(id, files);
  try {
    await downloadAll({ id, revision, folder, record, settings, options }, needed);
  } catch (error) {
    throw explain(error, id, revision, settings);
  }
  return folder;
}

interface Job {
  readonly id: string;
  readonly revision: string;
  readonly folder: string;
  readonly record: CacheRecord;
  readonly settings: HubSettings;
  readonly options: HubOptions;
}

async function downloadAll(job: Job, needed: readonly ListedFile[]): Promise<void> {
  const { folder, settings, options } = job;
  await makeFolder(folder);
  const kept: Record<string, string> = {};
  const total = needed.reduce((sum, file) => sum + file.size, 0);
  let before = 0;
  for (const file of needed) {
    throwIfCancelled(options.signal);
    const report = progressReporter(options, before, total, file.path);
    if (!(await isCached(job, file))) {
      await writeRecord(folder, { complete: false, files: { ...job.record.files, ...kept } });
      // The object id in its name keeps a half-downloaded file apart from its next version.
      const part = `${folder}/${file.path}.${objectId(file).slice(0, 12)}.part`;
      await downloadFile(remoteFile(job, file), `${folder}/${file.path}`, part, {
        headers: authorization(settings),
        retryDelay: options.retryDelay ?? 500,
        attempts: ATTEMPTS,
        patience: PATIENCE,
        signal: options.signal,
        onBytes: report,
      });
    }
    kept[file.path] = objectId(file);
    before += file.size;
    options.onProgress?.({
      stage: "download",
      done: before,
      total,
      unit: "bytes",
      detail: file.path,
    });
    // A model that cannot be used is refused before its weights come.
    if (file.path === "config.json") {
      parseConfig(await readConfig(`${folder}/config.json`), `${job.id}/config.json`);
    }
  }
  await writeRecord(folder, { complete: true, files: kept });
}

/** Reports at most once a mebibyte. */
function progressReporter(
  options: HubOptions,
  before: number,
  total: number,
  detail: string,
): (bytes: number) => void {
  let last = 0;
  return (bytes) => {
    if (bytes - last < 1 << 20 && bytes >= last) return;
    last = bytes;
    options.onProgress?.({ stage: "download", done: before + bytes, total, unit: "bytes", detail });
  };
}

function remoteFile({ id, revision, settings }: Job, file: ListedFile): RemoteFile {
  return {
    name: `${id}/${file.path}`,
    url: `${settings.hubUrl}/${id}/resolve/${encodeURIComponent(revision)}/${
      encodeURIComponent(file.path)
    }`,
    bytes: file.size,
    digest: digestOf(file),
  };
}

/** Large files are listed with the hash of their bytes, the others with that of git's object. */
function digestOf({ oid, lfs }: ListedFile): FileDigest | undefined {
  const large = lfs?.oid.replace(/^sha256:/, "").toLowerCase();
  if (large !== undefined) return { kind: "sha256", hex: large };
  return oid !== undefined && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i.test(oid)
    ? { kind: "blob", hex: oid.toLowerCase() }
    : undefined;
}

async function isCached({ folder, record }: Job, file: ListedFile): Promise<boolean> {
  if (record.files[file.path] !== objectId(file)) return false;
  return await Deno.stat(`${folder}/${file.path}`).then(
    ({ size }) => size === file.size,
    () => false,
  );
}

function objectId(file: ListedFile): string {
  return file.lfs?.oid.replace(/^sha256:/, "") ?? file.oid ?? String(file.size);
}

/** Lists a repository; what may be a passing trouble is tried again. */
async function listPatiently(
  id: string,
  revision: string,
  settings: HubSettings,
  options: HubOptions,
): Promise<ListedFile[]> {
  for (let attempt = 1;; attempt++) {
    try {
      return await listRepository(id, revision, settings, options.signal);
    } catch (error) {
      const status = statusOf(error);
      const passing = status === undefined
        ? error instanceof TypeError
        : status === 429 || status >= 500;
      if (!passing || attempt === LISTING_ATTEMPTS || options.signal?.aborted) throw error;
      await pause((options.retryDelay ?? 500) * 2 ** (attempt - 1), options.signal);
    }
  }
}

async function listRepository(
  id: string,
  revision: string,
  settings: HubSettings,
  signal?: AbortSignal,
): Promise<ListedFile[]> {
  const files: ListedFile[] = [];
  // The library refuses tokens that do not start with hf_, which mirrors may give out: so the header is set here.
  const withToken: typeof fetch = (input, init) =>
    fetch(input, {
      ...init,
      signal,
      headers: { ...(init?.headers as Record<string, string>), ...authorization(settings) },
    });
  const listing = listFiles({
    repo: { type: "model", name: id },
    revision: encodeURIComponent(revision),
    hubUrl: settings.hubUrl,
    fetch: withToken,
  });
  for await (const entry of listing) {
    const checked = LISTED.safeParse(entry);
    if (!checked.success) {
      throw new SyntaxError("the listing holds what is no file", { cause: checked.error });
    }
    if (entry.type === "file") files.push(entry);
  }
  return files;
}

/** The files that are needed, small ones first: config, tokenizer and the like, then the weights. */
function neededFiles(id: string, files: readonly ListedFile[]): ListedFile[] {
  const config = files.filter(({ path }) => path === "config.json");
  if (config.length === 0) {
    throw new ModelError(
      `Cannot use '${id}': it has no config.json, so it is not a model in the Hugging Face layout`,
    );
  }
  const companions = files.filter(({ path }) => COMPANION_FILES.includes(path));
  const weights = files.filter(({ path }) => /^[^/\\]+\.safetensors$/.test(path));
  const whole = weights.filter(({ path }) => path === "model.safetensors");
  if (whole.length > 0) return [...config, ...companions, ...whole];
  const ending = ".safetensors.index.json";
  const index = files.find(({ path }) => path.endsWith(ending) && !/[/\\]/.test(path));
  if (index !== undefined) {
    const stem = `${index.path.slice(0, -ending.length)}-`;
    const shards = weights.filter(({ path }) => path.startsWith(stem));
    return [...config, ...companions, index, ...shards];
  }
  if (weights.length === 1) return [...config, ...companions, ...weights];
  const other = files.find(({ path }) => /\.(bin|pth?|gguf|onnx|h5|msgpack)$/.test(path));
  throw new ModelError(
    `Cannot use '${id}': it has no .safetensors weights` +
      (other ? ` (only others, such as '${other.path}'); take a copy that has them` : ""),
  );
}

function authorization({ token }: HubSettings): Record<string, string> {
  return token === undefined ? {} : { Authorization: `Bearer ${token}` };
}

function statusOf(error: unknown): number | undefined {
  if (error instanceof StatusError) return error.status;
  return error instanceof Error && "statusCode" in error ? Number(error.statusCode) : undefined;
}

function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status !== undefined && status < 500;
}

/** What an error of the hub means to the user. */
function explain(error: unknown, id: string, revision: string, settings: HubSettings): unknown {
  const fail = (reason: string) =>
    new ModelError(`Cannot download '${id}': ${reason}`, { cause: error });
  const status = statusOf(error);
  if (status === 401) {
    return settings.token === undefined
      ? fail(
        "no such model, or a private one; for a private one set HF_TOKEN to your token, for a folder check its path",
      )
      : fail("the hub does not accept the token in HF_TOKEN, or the model does not exist");
  }
  if (status === 403) {
    return fail(
      `access is restricted; ask for it at ${settings.hubUrl}/${id} and set HF_TOKEN to your token`,
    );
  }
  if (status === 404) {
    return fail(
      `${settings.hubUrl} has no such model with revision '${revision}'; for a folder check its path`,
    );
  }
  if (status !== undefined) return fail(`${settings.hubUrl} answered with status ${status}`);
  if (error instanceof TypeError) {
    return fail(`${settings.hubUrl} cannot be reached; check the network, or give a folder`);
  }
  if (error instanceof GpruneError) return error;
  if (error instanceof Deno.errors.NotCapable) {
    const { host } = new URL(settings.hubUrl);
    return fail(
      `there is no permission to reach ${host} or where it sends downloads; name the hosts in --allow-net of the task in deno.json`,
    );
  }
  if (error instanceof SyntaxError) {
    return fail(`the answer of ${settings.hubUrl} is not that of a hub; look at HF_ENDPOINT`);
  }
  return fail(error instanceof Error ? error.message : String(error));
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(
      `Cannot make cache folder '${folder}': ${reason}; set GPRUNE_CACHE to a folder that can be written`,
      { cause: error },
    );
  }
}

async function readRecord(folder: string): Promise<CacheRecord> {
  try {
    const record = KEPT.parse(parseJson(await readTextFile(`${folder}/${RECORD}`)));
    const present = await Promise.all(
      Object.keys(record.files).map((name) =>
        Deno.stat(`${folder}/${name}`).then(() => true, () => false)
      ),
    );
    return { complete: record.complete && present.every(Boolean), files: record.files };
  } catch {
    // Missing or damaged: everything is asked for again, and what is there is found by its size.
    return { complete: false, files: {} };
  }
}

async function writeRecord(folder: string, record: CacheRecord): Promise<void> {
  await Deno.writeTextFile(`${folder}/${RECORD}`, JSON.stringify(record, null, 2));
}

function readEnvironment(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    // Without the permission to read it, it counts as not set.
    return undefined;
  }
}
