/**
 * Whether ONNX files say the same on processors with fewer instructions: writes small random models in every
 * quantisation and compares their logits with those of the float32 file, on this processor and on others as QEMU plays
 * them (Debian's `qemu-user`). PATH is a Python with onnxruntime and numpy.
 *
 *     deno run -A bench/processors.ts [--python PATH]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { exportTargets } from "../core/export/formats.ts";
import { writeFormats } from "../core/export/write_formats.ts";
import { openModel } from "../core/model/open.ts";
import { type RandomModelOptions, withRandomModel } from "../tests/helpers/random-model.ts";

const { values: { python } } = parseArgs({
  options: { python: { type: "string", default: "python3" } },
});

/** AVX2 without VNNI; the same of another maker; neither AVX nor AVX2. */
const processors = ["EPYC-Rome", "Haswell-noTSX", "Nehalem"];
const quantizations = ["none", "f16", "q8", "q4"];
const models: Readonly<Record<string, RandomModelOptions>> = {
  plain: {},
  wide: { hidden: 32, ffnWidth: 500 },
  bf16: { keyValueHeads: 1, dtype: "bf16", ffnWidth: 31 },
};

const folder = await Deno.makeTempDir({ prefix: "gprune-processors-" });
try {
  for (const [name, options] of Object.entries(models)) {
    await withRandomModel(options, async (source) => {
      const targets = exportTargets(["onnx"], quantizations);
      await writeFormats(await openModel(source), `${folder}/${name}`, targets, { name });
    });
  }
  const script = new URL("processors_logits.py", import.meta.url).pathname;
  console.log("error of all logits as a share of their size, by file\n");
  for (const processor of [undefined, ...processors]) {
    const emulated = processor === undefined ? [] : ["qemu-x86_64", "-cpu", processor];
    const [command, ...args] = [...emulated, python, script, folder];
    const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    console.log(`${processor ?? "this processor"}\n${new TextDecoder().decode(stdout)}`);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
