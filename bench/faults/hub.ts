/**
 * Downloads that are dropped, cut, changed, refused, sent in circles and killed.
 * @module
 */
import type { GpruneError } from "../../core/errors.ts";
import { downloadModel } from "../../core/model/hub.ts";
import {
  brokenOff,
  type FakeHub,
  startFakeHub,
  type Trouble,
} from "../../tests/helpers/fake-hub.ts";
import { faultOf } from "../../tests/fuzz/outcome.ts";
import { type FaultRow, gprune, isThere, killAfter, Moments, Tally } from "./harness.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** One kind of trouble: what the hub does to a request, given numbers from 0 to 1. */
interface HubFault {
  readonly name: string;
  /** Whether asking again, as often as the product does, gets the file. */
  readonly passes?: boolean;
  readonly trouble: (next: () => number) => Trouble;
}

const isFile = (path: string) => path.includes("/resolve/");
const startOf = (range: string | null) => Number(/^bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);

/** Lets the first requests through the trouble, and no others. */
function firstOnly(count: number, trouble: Trouble): Trouble {
  let left = count;
  return (request, body) => isFile(request.path) && left-- > 0 ? trouble(request, body) : undefined;
}

const faults: readonly HubFault[] = [
  {
    name: "dropped connections",
    passes: true,
    trouble: (next) =>
      firstOnly(3, ({ range }, body) => {
        const from = startOf(range);
        return brokenOff(body, from, Math.floor(next() * (body.length - from)));
      }),
  },
  {
    name: "a body cut short, with an honest length",
    trouble: (next) => ({ path }, body) =>
      isFile(path) ? new Response(body.slice(0, Math.floor(next() * body.length))) : undefined,
  },
  {
    name: "a body cut short, without a length",
    trouble: (next) => ({ path }, body) => {
      if (!isFile(path)) return undefined;
      const part = body.slice(0, Math.floor(next() * body.length));
      return new Response(new Blob([part]).stream());
    },
  },
  {
    name: "a body that is too long",
    trouble: (next) => ({ path }, body) => {
      if (!isFile(path)) return undefined;
      const more = new Uint8Array(1 + Math.floor(next() * 5000));
      return new Response(new Blob([body, more]).stream());
    },
  },
  {
    name: "a wrong content-length",
    trouble: (next) => ({ path }, body) =>
      isFile(path)
        ? new Response(null, {
          headers: { "content-length": `${Math.floor(next() * 2 * body.length)}` },
        })
        : undefined,
  },
  {
    name: "weights with one bit flipped",
    trouble: (next) => ({ path, range }, body) => {
      if (!path.endsWith(".safetensors") || range !== null) return undefined;
      const changed = body.slice();
      changed[Math.floor(next() * changed.length)] ^= 1 << Math.floor(8 * next());
      return new Response(changed);
    },
  },
  {
    name: "status 429, then the file",
    passes: true,
    trouble: () => firstOnly(3, () => new Response("slow down", { status: 429 })),
  },
  {
    name: "status 500 for good",
    trouble: () => ({ path }) => isFile(path) ? new Response("no", { status: 500 }) : undefined,
  },
  {
    name: "redirects in circles",
    trouble: () => ({ path }) =>
      isFile(path) ? new Response(null, { status: 302, headers: { location: path } }) : undefined,
  },
  {
    name: "a page in place of the listing",
    trouble: () => ({ path }) => isFile(path) ? undefined : new Response("<html>Log in</html>"),
  },
];

/**
 * Troubles downloads, and then downloads again without trouble over what is left.
 *
 * @param model Files of a model
 * @param cases How often for each kind of trouble
 * @param folder An empty folder
 * @param seed What the trouble is made from
 * @returns What came of it
 */
export async function troubleDownloads(
  model: ReadonlyMap<string, Bytes>,
  cases: number,
  folder: string,
  seed: number,
): Promise<readonly FaultRow[]> {
  await using hub = startFakeHub({ "org/model": { files: model } });
  const rows: FaultRow[] = [];
  for (const { name, passes, trouble } of faults) {
    const moments = new Moments(seed);
    const tally = new Tally(`hub: ${name}`);
    for (let index = 0; index < cases; index++) {
      const cacheFolder = `${folder}/cache-${rows.length}-${index}`;
      const settings = { hubUrl: hub.url, cacheFolder, token: "", retryDelay: 1 };
      hub.trouble = trouble(() => moments.next());
      try {
        const place = await downloadModel("org/model", settings);
        tally.finished();
        tally.faults(...await differences(model, place));
      } catch (error) {
        tally.stopped();
        const fault = faultOf(error);
        if (fault !== undefined) tally.faults(fault);
        else if (passes) tally.faults(`given up: ${(error as GpruneError).message}`);
      }
      hub.trouble = () => undefined;
      const place = await downloadModel("org/model", settings);
      tally.faults(...await differences(model, place));
      await Deno.remove(cacheFolder, { recursive: true });
    }
    rows.push(tally.row());
  }
  rows.push(await killDownloads(hub, model, cases, folder, seed));
  return rows;
}

/** Kills a program while it downloads, and lets it go on. */
async function killDownloads(
  hub: FakeHub,
  model: ReadonlyMap<string, Bytes>,
  cases: number,
  folder: string,
  seed: number,
): Promise<FaultRow> {
  const tally = new Tally("hub: the program is killed");
  const moments = new Moments(seed);
  hub.trouble = ({ path, range }, body) => isFile(path) ? slowly(body, range) : undefined;
  const run = (cache: string, disturb?: (process: Deno.ChildProcess) => Promise<void>) =>
    gprune(["inspect", "org/model"], {
      disturb,
      env: { HF_ENDPOINT: hub.url, GPRUNE_CACHE: cache, HF_TOKEN: "" },
    });
  const whole = await run(`${folder}/killed`);
  await Deno.remove(`${folder}/killed`, { recursive: true });
  for (let index = 0; index < cases; index++) {
    const cache = `${folder}/killed-${index}`;
    // Each is killed twice, the second time in what the first left.
    for (let kill = 0; kill < 2; kill++) {
      const end = await run(cache, killAfter(moments.next() * whole.milliseconds));
      if (end.code === 0) tally.finished();
      else tally.stopped();
    }
    const end = await run(cache);
    if (end.code !== 0) tally.faults(`does not go on: ${end.errors}`);
    tally.faults(...await differences(model, `${cache}/hub/org--model/main`));
  }
  return tally.row();
}

/** A body that comes in pieces. */
function slowly(body: Bytes, range: string | null): Response {
  const from = startOf(range);
  const piece = Math.ceil(body.length / 40);
  let at = from;
  const stream = new ReadableStream<Bytes>({
    async pull(controller) {
      if (at >= body.length) return controller.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
      controller.enqueue(body.slice(at, at + piece));
      at += piece;
    },
  });
  const headers = { "content-length": `${Math.max(0, body.length - from)}` };
  const part = { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` };
  return range === null
    ? new Response(stream, { headers })
    : new Response(stream, { status: 206, headers: { ...headers, ...part } });
}

async function differences(
  model: ReadonlyMap<string, Bytes>,
  place: string,
): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const [name, bytes] of model) {
    if (!await isThere(`${place}/${name}`)) {
      // What the product does not need it does not fetch.
      if (/\.(safetensors|json)$/.test(name)) faults.push(`'${name}' is lost`);
      continue;
    }
    const found = await Deno.readFile(`${place}/${name}`);
    const same = found.length === bytes.length && found.every((byte, at) => byte === bytes[at]);
    if (!same) faults.push(`'${name}' is corrupt`);
  }
  return faults;
}
