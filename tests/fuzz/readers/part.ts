import fc from "fast-check";
import {
  loadPart,
  type PartWords,
  savePart,
  unitEntries,
} from "../../../core/session/parts/part_store.ts";
import { resolveRequest } from "../../../core/plan/request.ts";
import { randomStatistics } from "../../helpers/random-statistics.ts";
import { hostileJson } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { hostileSafetensors, safetensorsFile, takeApart } from "./safetensors_files.ts";
import { writeSmallModel } from "./small_model.ts";

/** Parts of statistics, which come from other machines. */
export async function part(folder: string): Promise<OpenReader> {
  const model = await writeSmallModel(folder);
  const path = `${folder}/1.part`;
  const { layers, headSize } = model.architecture;
  const statistics = randomStatistics(model);
  const sums = statistics.layers.map(({ ffn, heads }) => ({
    ffn: ffn.domains[0],
    heads: heads.domains[0],
  }));
  const words: PartWords = {
    schema: "gprune.statistics-part/1",
    shard: { index: 1, count: 2 },
    model: { source: model.source, fingerprint: model.fingerprint, layers, headSize },
    conditions: [{ name: "--samples", value: "2" }],
    request: resolveRequest({}, layers),
    seed: 0,
    samples: 2,
    seqLen: 8,
    gram: true,
    learn: false,
    texts: [{ name: "code", sha256: "" }],
    units: [
      { domain: "code", heldOut: false, first: 0, count: 2 },
      { domain: "code", heldOut: true, first: 0, count: 1 },
    ],
    own: [0],
  };
  const windows = [[new Int32Array(8), new Int32Array(8)]];
  const entries = sums.flatMap((each, layer) => unitEntries(layer, 0, each));
  await savePart(path, words, windows, entries);
  const real = await Deno.readFile(path);
  const { header, data } = takeApart(real);
  const hostileWords = hostileJson([JSON.parse(JSON.stringify(words))]).map((text) =>
    safetensorsFile(JSON.stringify({ ...header, __metadata__: { "gprune.part": text } }), data)
  );
  return {
    files: fc.oneof(hostileWords, hostileSafetensors([real])),
    read: async (file) => {
      await Deno.writeFile(path, file);
      const found = await loadPart(path);
      for (const unit of found.words.own) {
        await found.windows(unit);
        for (const layer of found.words.model.layers.keys()) await found.sums(layer, unit);
      }
    },
  };
}
