/**
 * A hub on the loopback interface for tests: lists and serves the files of folders, with ranges, tokens and trouble.
 * @module
 */
import { createHash } from "node:crypto";

/** A repository of the fake hub. */
export interface FakeRepository {
  /** Its files by name. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** The token that it asks for; none if absent. */
  readonly token?: string;
  /** The status for those who have the token; 200 if absent. */
  readonly status?: number;
  /** Changes what is said about a file. */
  readonly list?: (entry: FakeEntry) => FakeEntry;
}

/** What the fake hub says about a file. */
export interface FakeEntry {
  readonly type: "file" | "directory";
  readonly path: string;
  readonly size: number;
  readonly oid: string;
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number };
}

/** What the fake hub was asked for. */
export interface FakeRequest {
  /** The path, without the query. */
  readonly path: string;
  /** The range that was asked for, if one was. */
  readonly range: string | null;
  /** The authorization header, if there was one. */
  readonly authorization: string | null;
}

/** Answers a request before the hub does; undefined lets it do its work. */
export type Trouble = (request: FakeRequest, body: Uint8Array<ArrayBuffer>) => Response | undefined;

/** A running fake hub. */
export interface FakeHub extends AsyncDisposable {
  /** Its address. */
  readonly url: string;
  /** Everything that it was asked for, oldest first. */
  readonly requests: FakeRequest[];
  /** Trouble to make; replace it at will. */
  trouble: Trouble;
}

/**
 * Starts a fake hub.
 *
 * @param repositories Its repositories by id
 * @returns The hub; dispose of it to stop it
 */
export function startFakeHub(repositories: Readonly<Record<string, FakeRepository>>): FakeHub {
  const requests: FakeRequest[] = [];
  const options = {
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  };
  const server = Deno.serve(options, (request) => {
    const { pathname: path } = new URL(request.url);
    const { headers } = request;
    const seen = { path, range: headers.get("range"), authorization: headers.get("authorization") };
    requests.push(seen);
    const [, id, name] = /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(?:tree|resolve)\/[^/]+\/?(.*)$/
      .exec(path) ?? [];
    const repository = repositories[id];
    const body = repository?.files.get(name) ?? new Uint8Array();
    const trouble = hub.trouble(seen, body);
    if (trouble !== undefined) return trouble;
    if (repository === undefined) return new Response("Repository not found", { status: 404 });
    if (repository.token && seen.authorization !== `Bearer ${repository.token}`) {
      return Response.json({ error: "Unauthorized" }, { status: 401 });
    }
    if (repository.status) return new Response("no", { status: repository.status });
    if (path.startsWith("/api/")) return Response.json(listing(repository));
    if (!repository.files.has(name)) return new Response("no file", { status: 404 });
    return serve(body, seen.range);
  });
  const hub: FakeHub = {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    trouble: () => undefined,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return hub;
}

/**
 * Reads a folder into a repository.
 *
 * @param folder The folder
 * @returns Its files
 */
export async function repositoryOf(folder: string): Promise<FakeRepository> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { name } of Deno.readDir(folder)) {
    files.set(name, await Deno.readFile(`${folder}/${name}`));
  }
  return { files };
}

/**
 * An answer whose connection breaks in the middle.
 *
 * @param body All that should be sent
 * @param from Where the answer begins
 * @param length How many bytes come before it breaks
 * @returns The answer
 */
export function brokenOff(body: Uint8Array<ArrayBuffer>, from: number, length: number): Response {
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async start(controller) {
      controller.enqueue(body.subarray(from, from + length));
      // The bytes need a moment to get out before the connection is torn down.
      await new Promise((resolve) => setTimeout(resolve, 50));
      controller.error(new Error("broken off"));
    },
  });
  const range = `bytes ${from}-${body.length - 1}/${body.length}`;
  const headers = { "content-length": `${body.length - from}` };
  return from === 0
    ? new Response(stream, { headers })
    : new Response(stream, { status: 206, headers: { ...headers, "content-range": range } });
}

function listing(repository: FakeRepository): FakeEntry[] {
  const entries = [...repository.files].map(([path, bytes]): FakeEntry => {
    const large = path.endsWith(".safetensors");
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    const lfs = { oid: sha256, size: bytes.length, pointerSize: 130 };
    return { type: "file", path, size: bytes.length, oid, ...(large ? { lfs } : {}) };
  });
  const folder: FakeEntry = { type: "directory", path: "onnx", size: 0, oid: "0" };
  return [folder, ...entries].map(repository.list ?? ((entry) => entry));
}

function serve(body: Uint8Array<ArrayBuffer>, range: string | null): Response {
  const first = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? NaN);
  if (Number.isNaN(first)) return new Response(body);
  if (first >= body.length) {
    const headers = { "content-range": `bytes */${body.length}` };
    return new Response(null, { status: 416, headers });
  }
  const headers = { "content-range": `bytes ${first}-${body.length - 1}/${body.length}` };
  return new Response(body.subarray(first), { status: 206, headers });
}
