/**
 * Memory as a promise: results that do not depend on where streams lie, and processes that stay below what was said.
 */
import { assert, assertEquals } from "@std/assert";
import { writeRandomLlama } from "../../../bench/memory/model.ts";
import { applyPlan } from "../../../core/apply/apply.ts";
import { MemoryBudget, ordinaryLimits } from "../../../core/engine/memory.ts";
import { openOnnxEngine } from "../../../core/engine/onnx.ts";
import { hashFiles } from "../../../core/export/folder.ts";
import { refinedPlan } from "../../../core/learn/refine.ts";
import { openModel } from "../../../core/model/open.ts";
import { calibrateWith } from "../../../core/session/calibrate.ts";
import { evaluateTexts, evaluationTexts } from "../../../core/session/evaluation.ts";
import { smallModel, wordyDomain } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { withTemporaryFolder } from "../../helpers/temporary.ts";

Deno.test("A pruned model is the same, byte for byte, whether streams, matrices and blocks stay in memory or not", async () => {
  await withRandomModel({ ...smallModel, tied: false }, async (folder) => {
    const run = async (spills: boolean) =>
      await withTemporaryFolder(async (out) => {
        const tight = { streamBytes: 0, samplingBytes: 0, tableBytes: 0 };
        const memory = new MemoryBudget({ ...ordinaryLimits, ...(spills ? tight : {}) });
        const engine = await openOnnxEngine({ memory });
        try {
          const model = await openModel(folder);
          const request = { shape: "adaptive", sparsity: 0.4 } as const;
          const domains = [wordyDomain("one"), wordyDomain("two")];
          const statistics = await calibrateWith(engine, model, domains, {
            samples: 6,
            seqLen: 24,
            request,
            workFolder: spills ? `${out}/work` : undefined,
          });
          const { plan } = await refinedPlan(engine, model, statistics, request);
          const applied = await applyPlan(model, plan, {
            engine,
            statistics,
            directory: `${out}/pruned`,
          });
          const texts = await evaluationTexts(model, [wordyDomain("three")], 24, 4);
          const { perplexity } = await evaluateTexts(engine, applied.model, texts, {
            which: "pruned",
          });
          assert(memory.takeStream(spills ? 0 : ordinaryLimits.streamBytes), "all is given back");
          return {
            files: await hashFiles(`${out}/pruned`),
            curves: statistics.learned,
            perplexity,
          };
        } finally {
          await engine.close();
        }
      });
    assertEquals(await run(true), await run(false));
  });
});

const command = new URL("../../../main.ts", import.meta.url).pathname;

interface Finished {
  readonly code: number;
  readonly output: string;
  readonly error: string;
}

async function gprune(args: readonly string[]): Promise<Finished> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", command, ...args],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, output: text(stdout), error: text(stderr) };
}

const options = [
  ...["--samples", "2", "--seq-len", "32", "--eval-windows", "1", "--no-choice"],
  ...["--json", "--quiet"],
];

Deno.test({
  name: "gprune prune --memory stays below the promise where the model is of the promise's size",
  // The true peak of a process is what Linux keeps.
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await withTemporaryFolder(async (work) => {
      // 300 MB of weights, 20 MB a block.
      const sizes = { layers: 30, hidden: 768, headSize: 64, queryHeads: 12, keyValueHeads: 4 };
      await writeRandomLlama(`${work}/model`, { ...sizes, ffnWidth: 1536, vocabulary: 4096 });
      const choice = ["--metric", "wifv", "--refit", "none", "--no-self", "--no-refine"];
      const promise = ["--memory", "560MB", "--out", `${work}/out`];
      const { code, output, error } = await gprune([
        ...["prune", `${work}/model`, ...choice],
        ...[...options, ...promise],
      ]);
      assertEquals(code, 0, error);
      const report = JSON.parse(output);
      assert(report.peakMemoryBytes < 560e6, `${report.peakMemoryBytes} bytes at the peak`);
      assert(report.peakMemoryBytes > 100e6, "no process of this kind is so small");
    });
  },
});

Deno.test("gprune prune --memory refuses at once what it could not keep, in one sentence", async () => {
  await withTemporaryFolder(async (work) => {
    const out = `${work}/out`;
    const { code, output, error } = await gprune([
      "prune",
      "--memory",
      "60MB",
      ...options,
      "--out",
      out,
    ]);
    assertEquals(code, 2);
    assertEquals(output, "");
    assertEquals(error.trim().split("\n").length, 1);
    assert(/Cannot keep to 60 MB of memory: \d+ MB are needed/.test(error), error);
    assertEquals(await Deno.stat(out).catch(() => "absent"), "absent");
  });
});

for (const name of ["evaluate", "export", "compare", "calibrate"]) {
  Deno.test(`gprune ${name} --memory refuses at once too`, async () => {
    await withTemporaryFolder(async (work) => {
      const place = name === "export"
        ? ["--out", `${work}/out`]
        : name === "calibrate"
        ? ["--save", `${work}/stats`]
        : [];
      const { code, error } = await gprune([name, "--memory", "60MB", "--quiet", ...place]);
      assertEquals(code, 2);
      assert(error.includes("Cannot keep to 60 MB of memory: "), error);
    });
  });
}
