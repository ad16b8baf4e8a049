import fc from "fast-check";
import { Journal } from "../../../core/session/resume/journal.ts";
import { KeptCalibration } from "../../../core/session/resume/kept_calibration.ts";
import { hostileBytes, hostileJsonFiles } from "../mutations.ts";
import type { OpenReader } from "../reader.ts";
import { hostileSafetensors } from "./safetensors_files.ts";

const conditions = [{ name: "--samples", value: "2" }];
const curves = [{
  layer: 0,
  structure: "ffn",
  fractions: [0.5],
  relativeErrors: [0.1],
  damage: [0.2],
  damagePerDomain: [[0.1, 0.3]],
}] as const;

/** The journal of an interrupted run: what it was asked for, and records of every kind. */
export async function journal(folder: string): Promise<OpenReader> {
  const work = `${folder}/work`;
  const first = await Journal.open(work, { conditions });
  const kept = new KeptCalibration(first, 1);
  await kept.writeGroup(0, [new Int32Array(4), new Int32Array(4)]);
  await kept.writeCurves(0, curves);
  await kept.writeDenseLoss([1, Infinity]);
  await first.writeTensors("weights", { rows: [1] }, [
    { name: "a", dataType: "F32", shape: [2], bytes: () => new Uint8Array(8) },
  ]);
  const names = Array.from(Deno.readDirSync(work), ({ name }) => name).sort();
  const reals = names.map((name) => Deno.readFileSync(`${work}/${name}`));
  const words = reals.filter((_, index) => names[index].endsWith(".json"))
    .map((bytes) => JSON.parse(new TextDecoder().decode(bytes).split("\n").at(-1)!));
  const tensors = reals.filter((_, index) => names[index].endsWith(".safetensors"));
  return {
    files: fc.oneof(hostileJsonFiles(words), hostileSafetensors(tensors), hostileBytes(reals)),
    read: async (file) => {
      for (const name of names) {
        for (const [index, each] of names.entries()) {
          await Deno.writeFile(`${work}/${each}`, reals[index]);
        }
        await Deno.writeFile(`${work}/${name}`, file);
        const found = await Journal.open(work, { conditions, resume: true });
        const kept = new KeptCalibration(found, 1);
        await kept.readGroup(0, 2, 4);
        for (const { damage } of await kept.readCurves()) damage.map((each) => each.toFixed(2));
        (await kept.readDenseLoss())?.map((each) => each.toFixed(2));
        await kept.readLayers();
        await found.readTensors("weights");
      }
    },
  };
}
