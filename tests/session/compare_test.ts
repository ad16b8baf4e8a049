import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { CancelledError, OptionError, TextError } from "../../core/errors.ts";
import type { CompareRow } from "../../core/evaluate/report.ts";
import type { Progress } from "../../core/progress.ts";
import { compareJob, prune } from "../../core/session.ts";
import type { CompareOptions } from "../../core/session/types.ts";

import { withSmallPlace } from "../helpers/small_place.ts";

/** A small model, two calibration texts, one of them and another to evaluate on. */
async function withTexts<T>(use: (options: CompareOptions, folder: string) => Promise<T>) {
  return await withSmallPlace(({ folder, options }) => {
    const { sparsity: _, out: __, ...texts } = options;
    return use({ ...texts, sparsities: [0.4] }, folder);
  });
}

const pruned = (row: CompareRow) => row.perplexity.map((text) => text.pruned);

Deno.test("compareJob() of baselines alone samples, scores and learns nothing", () =>
  withTexts(async (options) => {
    const stages = new Set<string>();
    const { rows, calibration } = await compareJob({
      ...options,
      methods: ["flap", "wanda-sp", "magnitude", "random"],
      refits: ["none", "lsq"],
      request: { shape: "adaptive" },
      onProgress: ({ stage }) => stages.add(stage),
    });
    assertEquals([...stages].sort(), ["calibrate", "compare", "evaluate"]);
    assertEquals(calibration.map(({ name }) => name), ["alpha", "beta"]);
    assertEquals(rows.map(({ method, refit }) => `${method} ${refit}`), [
      "flap none",
      "flap lsq",
      "wanda-sp none",
      "wanda-sp lsq",
      "magnitude none",
      "magnitude lsq",
      "random none",
      "random lsq",
    ]);
    for (let at = 0; at < rows.length; at += 2) {
      assert(pruned(rows[at]).some((value, text) => value !== pruned(rows[at + 1])[text]));
    }
  }));

Deno.test("compareJob() learns once for each refit of gprune, and no row depends on another", () =>
  withTexts(async (options) => {
    const learned: number[] = [];
    const own = { ...options, request: { shape: "adaptive", structures: ["ffn"] } } as const;
    const both = await compareJob({
      ...own,
      methods: ["wanda-sp", "gprune"],
      refits: ["none", "lsq"],
      sparsities: [0.4, 0.2],
      onProgress: ({ stage, done, total }) => {
        if (stage === "learn" && done === total) learned.push(total);
      },
    });
    assertEquals(learned.length, 2);
    for (const refit of ["none", "lsq"] as const) {
      const alone = await compareJob({ ...own, methods: ["gprune"], refits: [refit] });
      const row = both.rows.find((each) =>
        each.method === "gprune" && each.refit === refit && each.sparsity === 0.4
      );
      assertEquals(row, alone.rows[0]);
    }
    const baseline = await compareJob({ ...own, methods: ["wanda-sp"], refits: ["lsq"] });
    const row = both.rows.find((each) => each.refit === "lsq" && each.sparsity === 0.4)!;
    // Self-text is calibrated on here and not there; the published method knows nothing of it.
    pruned(row).forEach((value, text) => {
      const other = pruned(baseline.rows[0])[text];
      assert(Math.abs(value - other) < 1e-9 * other, `${value} and ${other}`);
    });
  }));

Deno.test("compareJob() gives the row that prune() reports", () =>
  withTexts(async (options, folder) => {
    for (const method of ["gprune", "flap", "wanda-sp"] as const) {
      const { rows: [row] } = await compareJob({
        ...options,
        methods: [method],
        refits: ["lsq"],
        request: { shape: "adaptive" },
      });
      const { report } = await prune({
        ...options,
        method,
        refit: "lsq",
        shape: "adaptive",
        sparsity: 0.4,
        choiceTasks: false,
        out: join(folder, method),
      });
      assertEquals(
        row.perplexity.map((text) => [text.name, text.dense, text.pruned]),
        report.perplexity.map((text) => [text.name, text.dense, text.pruned]),
      );
      assert(Math.abs(row.reachedSparsity - report.result.sparsity) < 1e-12);
    }
  }));

Deno.test("compareJob() says which row of how many is in hand, and never goes back", () =>
  withTexts(async (options) => {
    const steps: Progress[] = [];
    await compareJob({
      ...options,
      methods: ["gprune", "random"],
      sparsities: [0.2, 0.4],
      onProgress: (progress) => {
        if (progress.stage === "compare") steps.push(progress);
      },
    });
    assert(steps.every(({ total, unit }) => total === 4 && unit === "rows"));
    assert(steps.every(({ done }, at) => at === 0 || done >= steps[at - 1].done - 1e-9));
    assertEquals(steps.at(-1)!.done, 4);
    assert(steps[0].detail!.startsWith("row 1 of 4: gprune + lsq at 20 %"), steps[0].detail);
    assert(steps.at(-1)!.detail!.startsWith("row 4 of 4: random + none at 40 %"));
    // The parts of a row move it on, not its end alone.
    assert(new Set(steps.map(({ done }) => done)).size > 8);
  }));

Deno.test("compareJob() stops in the middle of a row when cancelled, and leaves nothing behind", () =>
  withTexts(async (options) => {
    const before = await leftovers();
    const stop = new AbortController();
    const onProgress = ({ stage, done }: Progress) => {
      if (stage === "compare" && done > 0.2) stop.abort();
    };
    await assertRejects(
      () => compareJob({ ...options, methods: ["wanda-sp"], signal: stop.signal, onProgress }),
      CancelledError,
    );
    assertEquals(await leftovers(), before);
  }));

async function leftovers(): Promise<number> {
  const probe = await Deno.makeTempDir();
  let count = 0;
  for await (const { name } of Deno.readDir(join(probe, ".."))) {
    if (name.startsWith("gprune-compare-")) count++;
  }
  await Deno.remove(probe);
  return count;
}

Deno.test("compareJob() refuses empty lists, unknown texts and texts of the wrong kind", () =>
  withTexts(async (options, folder) => {
    const refuses = async (
      change: Partial<CompareOptions>,
      error: typeof OptionError | typeof TextError,
      says: string,
    ) => void await assertRejects(() => compareJob({ ...options, ...change }), error, says);
    await refuses({ methods: [] }, OptionError, "Cannot compare nothing");
    await refuses({ sparsities: [] }, OptionError, "Cannot compare nothing");
    await refuses({ refits: [] }, OptionError, "Cannot compare nothing");
    await refuses({ sparsities: [1] }, OptionError, "Cannot prune to sparsity 1");
    await refuses({ seqLen: 4096 }, OptionError, "give a smaller --seq-len");
    await refuses({ evalWindows: 0 }, OptionError, "--eval-windows 1 or more");
    const missing = { name: "none", path: join(folder, "none.txt") };
    await refuses({ evaluation: [missing] }, TextError, "none");
    await refuses({ tasks: [missing] }, TextError, "no such file");
  }));
