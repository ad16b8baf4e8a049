import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { type PlanOptions, resolveRequest } from "../../core/plan/request.ts";
import {
  calibrateWords,
  commandLine,
  commandLines,
  type CommandSource,
  planWords,
  pruneWords,
} from "../../tui/command_text.ts";
import { run } from "./command_line.ts";

const layers = Array.from(
  { length: 6 },
  () => ({ ffnWidth: 2048, keyValueHeads: 4, queryHeads: 8 }),
);
const sourceOf = (
  options: PlanOptions,
  settings: Partial<CommandSource["settings"]> = {},
): CommandSource => ({
  settings: { samples: 32, evalWindows: 16, seqLen: 256, ...settings },
  request: resolveRequest(options, layers),
  layers,
  statistics: "my.stats",
  shown: (path) => path,
});

const anyOptions = fc.record({
  sparsity: fc.integer({ min: 0, max: 95 }).map((percent) => percent / 100),
  structures: fc.constantFrom(["ffn", "heads"], ["ffn"], ["heads"]),
  modules: fc.constantFrom(1, 2, 4, 8),
  metric: fc.constantFrom("obs", "wanda-sp", "wifv", "rms"),
  refit: fc.constantFrom("lsq", "bias", "none"),
  multiple: fc.constantFrom(1, 32, 64),
  switch: fc.constantFrom("none", "blend"),
  objective: fc.constantFrom("mean", "worst"),
  seed: fc.integer({ min: 0, max: 9 }),
  shape: fc.constant("adaptive"),
  protectedLayers: fc.constantFrom(undefined, [0], [0, 4]),
  layerBudgets: fc.constantFrom(undefined, [{ layer: 1, factor: 1.25 }, {
    layer: 2,
    factor: 0.64,
  }]),
  scoreDomains: fc.constantFrom(undefined, ["code", "self"]),
}) as fc.Arbitrary<PlanOptions>;

Deno.test("pruneWords() and planWords() ask for exactly what was chosen", async () => {
  await fc.assert(
    fc.asyncProperty(anyOptions, async (options) => {
      const source = sourceOf(options);
      for (const words of [pruneWords(source, ["--out", "o"]), planWords(source, "p.json")]) {
        const { code, err, options: given } = await run(words);
        assertEquals([code, err], [0, ""]);
        assertEquals(resolveRequest(given, layers), source.request);
        assert(String(given.stats).endsWith("/my.stats"));
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("pruneWords() goes without measuring alternatives and with the session's texts", async () => {
  const evaluation = [{ name: "chat", path: "/data/my chat.txt" }];
  const model = "/models/mine";
  const source = sourceOf({}, { evaluation, model, engine: "onnx" });
  const { options } = await run(pruneWords(source, ["--out", "o", "--dtype", "f16"]));
  assertEquals(
    [options.refine, options.evaluation, options.evalWindows, options.model, options.dataType],
    [false, evaluation, 16, model, "f16"],
  );
});

Deno.test("calibrateWords() takes the session's statistics again", async () => {
  const calibration = [{ name: "a", path: "/a.txt" }, { name: "b", path: "/b" }];
  const source = sourceOf({}, {
    calibration,
    self: false,
    seed: 3,
    revision: "main",
    model: "o/n",
  });
  const { code, options } = await run(calibrateWords(source, "x.stats"));
  assertEquals(code, 0);
  assertEquals(
    [options.calibration, options.self, options.samples, options.seqLen, options.seed],
    [calibration, false, 32, 256, 3],
  );
  assertEquals([options.model, options.revision], ["o/n", "main"]);
});

Deno.test("commandLine() quotes for a shell", () => {
  assertEquals(
    commandLine(["prune", "--eval", "a=my chat's.txt"]),
    "gprune prune --eval 'a=my chat'\\''s.txt'",
  );
});

Deno.test("commandLines() join to the same command, and keep options and values together", () => {
  const words = ["prune", "--stats", "a-long-path/to.stats", "--no-refine", "--out", "somewhere"];
  const lines = commandLines(words, 34);
  assert(lines.every((line) => line.length <= 34), lines.join("\n"));
  assertEquals(lines.join("\n").replaceAll(/ \\\n\s+/g, " "), commandLine(words));
  assert(lines.some((line) => line.includes("--out somewhere")));
});
