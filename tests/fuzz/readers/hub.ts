import { downloadModel } from "../../../core/model/hub.ts";
import { repositoryOf, startFakeHub } from "../../helpers/fake-hub.ts";
import { type Bytes, bytesOf, hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { writeSmallModel } from "./small_model.ts";

const RECORD = ".gprune-download.json";

async function openHub(
  folder: string,
  hostile: { readonly listing: boolean },
): Promise<OpenReader> {
  const model = await writeSmallModel(`${folder}/model`, true);
  const repository = await repositoryOf(model.folder);
  const hub = startFakeHub({ "org/model": repository });
  const cacheFolder = `${folder}/cache/hub`;
  const settings = { hubUrl: hub.url, cacheFolder, token: "", retryDelay: 0 };
  const place = await downloadModel("org/model", settings);
  const listing = await (await fetch(`${hub.url}/api/models/org/model/tree/main`)).json();
  const record = JSON.parse(await Deno.readTextFile(`${place}/${RECORD}`));
  let answer: Bytes = bytesOf("");
  if (hostile.listing) {
    const headers = { "content-type": "application/json" };
    hub.trouble = ({ path }) =>
      path.startsWith("/api/") ? new Response(answer, { headers }) : undefined;
  }
  return {
    files: hostileJsonFiles(hostile.listing ? [listing] : [record]),
    read: async (file) => {
      answer = file;
      await Deno.mkdir(place, { recursive: true });
      if (!hostile.listing) await Deno.writeFile(`${place}/${RECORD}`, file);
      await downloadModel("org/model", settings);
      const strange = await namesOutside(`${folder}/cache`);
      if (strange.length > 0) throw new Error(`written outside: ${strange.join(" ")}`);
    },
    close: async () => await hub[Symbol.asyncDispose](),
  };
}

/** Files that are not in the model's own folder. */
async function namesOutside(cache: string): Promise<readonly string[]> {
  const names = (path: string) => Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  const strange = [
    ...(await names(cache)).filter((name) => name !== "hub"),
    ...(await names(`${cache}/hub`)).filter((name) => name !== "org--model"),
    ...(await names(`${cache}/hub/org--model`)).filter((name) => name !== "main"),
  ];
  for (const name of strange) await Deno.remove(`${cache}/${name}`).catch(() => undefined);
  return strange;
}

/** The hub's answer to what files a model has; what it names is downloaded. */
export async function hubListing(folder: string): Promise<OpenReader> {
  return await openHub(folder, { listing: true });
}

/** The record of a download in the cache. */
export async function hubRecord(folder: string): Promise<OpenReader> {
  return await openHub(folder, { listing: false });
}
