/**
 * Downloading one file so that an interrupted download goes on where it stopped.
 * @module
 */
import { createHash } from "node:crypto";
import { GpruneError, ModelError } from "../errors.ts";
import { throwIfCancelled } from "../progress.ts";

/** A file to be downloaded. */
export interface RemoteFile {
  /** Its name, for messages. */
  readonly name: string;
  /** Where it is. */
  readonly url: string;
  /** Its size in bytes. */
  readonly bytes: number;
  /** What its bytes must hash to, where that is known. */
  readonly digest?: FileDigest;
}

/** What the hub says of a file's bytes, as hexadecimal digits. */
export interface FileDigest {
  /** `sha256` of the bytes, as of large files; `blob` of git's header and the bytes, as of the others. */
  readonly kind: "sha256" | "blob";
  /** 64 digits, or the 40 of SHA-1, which git still names its objects by. */
  readonly hex: string;
}

/** How to download. */
export interface DownloadOptions {
  /** Headers of every request; not passed on when another host takes over. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds before the first new attempt, doubled before each further one. */
  readonly retryDelay: number;
  /** How often in a row an attempt may fail without a new byte. */
  readonly attempts: number;
  /** Milliseconds without a byte after which a connection counts as lost. */
  readonly patience: number;
  /** Cancels the download; what has come stays for the next time. */
  readonly signal?: AbortSignal;
  /** Called now and then with how many bytes of the file are there. */
  readonly onBytes?: (bytes: number) => void;
}

/** A status that will not change by asking again. The caller says what it means. */
export class StatusError extends Error {
  /** The HTTP status. */
  readonly status: number;

  /**
   * Makes the error.
   *
   * @param status The HTTP status
   */
  constructor(status: number) {
    super(`the server answered with status ${status}`);
    this.name = "StatusError";
    this.status = status;
  }
}

/** Something that may go better the next time. */
class TransientError extends Error {}

/**
 * Downloads a file. It grows as `PART` and takes its place when it is whole and, where its hash is known, right; if
 * `PART` is there already, only the rest is asked for.
 *
 * @param file What to download
 * @param target Where it goes
 * @param part Where it grows
 * @param options Headers, patience, cancellation
 * @throws {ModelError} if the connection stays lost, the size or hash is wrong, or the disk refuses
 * @throws {StatusError} if the server refuses
 * @throws {CancelledError} if the signal is aborted
 */
export async function downloadFile(
  file: RemoteFile,
  target: string,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  let have = await sizeOf(part);
  if (have > file.bytes || file.bytes === 0) {
    await Deno.writeFile(part, new Uint8Array());
    have = 0;
  }
  for (let failures = 0; have < file.bytes;) {
    try {
      await appendRest(file, part, have, options);
      break;
    } catch (error) {
      throwIfCancelled(options.signal);
      // A file of another size than listed is not the file: nothing of it is worth keeping.
      if (error instanceof ModelError) await Deno.remove(part).catch(() => undefined);
      if (!(error instanceof TransientError)) throw diskError(file, error);
      const before = have;
      have = await sizeOf(part);
      failures = have > before ? 1 : failures + 1;
      if (failures >= options.attempts) throw lostConnection(file, have, error);
      await pause(options.retryDelay * 2 ** (failures - 1), options.signal);
    }
  }
  await verify(file, part, options.signal);
  await Deno.rename(part, target);
}

async function appendRest(
  file: RemoteFile,
  part: string,
  have: number,
  options: DownloadOptions,
): Promise<void> {
  const idle = new AbortController();
  let timer = setTimeout(() => idle.abort(), options.patience);
  const signals = options.signal ? [idle.signal, options.signal] : [idle.signal];
  let output: Deno.FsFile | undefined;
  try {
    const response = await request(file, have, AbortSignal.any(signals), options);
    const start = response.status === 206 ? have : 0;
    output = await Deno.open(part, { write: true, create: true });
    await output.truncate(start);
    await output.seek(start, Deno.SeekMode.Start);
    let bytes = start;
    for await (const chunk of lossy(response)) {
      clearTimeout(timer);
      timer = setTimeout(() => idle.abort(), options.patience);
      bytes += chunk.length;
      if (bytes > file.bytes) throw wrongSize(file, `more than ${file.bytes}`);
      for (let done = 0; done < chunk.length;) done += await output.write(chunk.subarray(done));
      options.onBytes?.(bytes);
    }
    if (bytes < file.bytes) throw new TransientError("the connection was lost");
  } finally {
    clearTimeout(timer);
    output?.close();
  }
}

/** Asks for what is missing and checks that the answer is that. */
async function request(
  file: RemoteFile,
  have: number,
  signal: AbortSignal,
  options: DownloadOptions,
): Promise<Response> {
  // Compressed answers could be neither measured nor resumed.
  const headers: Record<string, string> = { ...options.headers, "Accept-Encoding": "identity" };
  if (have > 0) headers.Range = `bytes=${have}-`;
  const response = await fetch(file.url, { headers, signal }).catch((error) => {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new TransientError(`no connection (${innermost(error)})`, { cause: error });
  });
  const refuse = async (error: Error) => {
    await response.body?.cancel();
    return error;
  };
  if (response.status === 429 || response.status >= 500) {
    throw await refuse(new TransientError(`the server answered with status ${response.status}`));
  }
  if (response.status === 416) throw await refuse(wrongSize(file, `no more than ${have}`));
  if (!response.ok) throw await refuse(new StatusError(response.status));
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (response.status === 206 && Number(range?.[1]) !== have) {
    throw await refuse(new TransientError("the server sent another part than asked for"));
  }
  const claimed = response.status === 206 ? range?.[2] : response.headers.get("content-length");
  const encoded = response.headers.has("content-encoding");
  if (claimed && claimed !== "*" && !encoded && Number(claimed) !== file.bytes) {
    throw await refuse(wrongSize(file, claimed));
  }
  return response;
}

/** The pieces of a body; a connection that breaks is worth another attempt. */
async function* lossy(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    while (true) {
      const { done, value } = await reader.read().catch((error) => {
        throw new TransientError("the connection was lost", { cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function verify(file: RemoteFile, part: string, signal?: AbortSignal): Promise<void> {
  if (file.digest === undefined) return;
  const { kind, hex } = file.digest;
  const algorithm = hex.length === 40 ? "sha1" : "sha256";
  const hash = createHash(algorithm);
  if (kind === "blob") hash.update(`blob ${file.bytes}\0`);
  const input = await Deno.open(part);
  try {
    const buffer = new Uint8Array(8 << 20);
    for (let count = await input.read(buffer); count !== null; count = await input.read(buffer)) {
      throwIfCancelled(signal);
      hash.update(buffer.subarray(0, count));
    }
  } finally {
    input.close();
  }
  if (hash.digest("hex") === hex) return;
  await Deno.remove(part);
  throw new ModelError(
    `Cannot download '${file.name}': what came is damaged (its ${
      kind === "blob" ? "object id" : "SHA-256"
    } is not the hub's); run it again`,
  );
}

function lostConnection(file: RemoteFile, have: number, error: Error): ModelError {
  return new ModelError(
    `Cannot download '${file.name}': ${error.message} after ${have} of ${file.bytes} bytes; run it again to go on from there`,
    { cause: error },
  );
}

function wrongSize(file: RemoteFile, found: string): ModelError {
  return new ModelError(
    `Cannot download '${file.name}': the server has ${found} bytes of it, and the hub lists ${file.bytes}`,
  );
}

function diskError(file: RemoteFile, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof GpruneError || error instanceof StatusError) return error;
  const full = "code" in error && error.code === "ENOSPC";
  const reason = full ? "the disk is full; make room and run it again to go on" : error.message;
  return new ModelError(`Cannot download '${file.name}': ${reason}`, { cause: error });
}

function innermost(error: unknown): string {
  return error instanceof Error
    ? error.cause === undefined ? error.message : innermost(error.cause)
    : String(error);
}

async function sizeOf(path: string): Promise<number> {
  return await Deno.stat(path).then(({ size }) => size, () => 0);
}

/**
 * Waits.
 *
 * @param milliseconds How long
 * @param signal Ends the wait
 * @throws {CancelledError} if the signal is aborted
 */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(finish, milliseconds);
    function finish(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    }
    signal?.addEventListener("abort", finish);
  });
  throwIfCancelled(signal);
}
