import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { CancelledError, ExportError, OptionError } from "../../../core/errors.ts";
import type { Progress } from "../../../core/progress.ts";
import { Random } from "../../../core/random.ts";
import { calibrateJob, prune, type PruneOptions } from "../../../core/session.ts";
import { smallModel, wordyDomain } from "../../helpers/pipeline.ts";
import { withRandomModel } from "../../helpers/random-model.ts";
import { assertSameResult } from "../../helpers/resume.ts";
import { type SmallPlace, withSmallPlace } from "../../helpers/small_place.ts";

/** A small place with a quiz of one question, and an adaptive cut. */
async function withPlace<T>(use: (place: SmallPlace) => Promise<T>): Promise<T> {
  return await withSmallPlace(async ({ model, folder, options }) => {
    const quiz = join(folder, "quiz.jsonl");
    const record = { context: "one two", choices: [" three", " four"], answer: 0 };
    await Deno.writeTextFile(quiz, `${JSON.stringify(record)}\n`);
    const tasks = [{ name: "quiz", path: quiz }];
    return await use({
      model,
      folder,
      options: { ...options, tasks, choiceTasks: false, shape: "adaptive" },
    });
  });
}

/** Cancels at a piece of progress; what has been seen by then. */
function stopAt(wanted: number): {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly seen: Progress[];
} {
  const stop = new AbortController();
  const seen: Progress[] = [];
  const onProgress = (progress: Progress) => {
    if (seen.push(progress) - 1 === wanted) stop.abort();
  };
  return { signal: stop.signal, onProgress, seen };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("prune() interrupted anywhere, again and again, ends with the same bytes", () =>
  withPlace(async ({ options, folder }) => {
    const whole = stopAt(Infinity);
    const settings = { ...options, formats: ["hf", "onnx"], quantize: ["q8"] };
    const expected = join(folder, "expected", "out");
    await prune({ ...settings, ...whole, out: expected });
    const random = Random.of("interruptions");
    const out = join(folder, "interrupted", "out");
    const stages = new Set<string>();
    let interruptions = 0;
    for (;;) {
      // Anywhere; later runs get further, since they have less to do.
      const watch = stopAt(random.below(Math.ceil(whole.seen.length * (interruptions + 1) / 8)));
      try {
        await prune({ ...settings, ...watch, out, resume: interruptions > 0 });
        break;
      } catch (error) {
        assert(error instanceof CancelledError, String(error));
      }
      interruptions++;
      stages.add(watch.seen.at(-1)!.stage);
      assertEquals(await exists(out), false);
      // A run that is killed leaves this behind, as good as nothing.
      await Deno.writeTextFile(join(`${out}.unfinished`, "layer-0.stats.part"), "half");
    }
    assert(interruptions >= 4, `only ${interruptions} interruptions`);
    assert(stages.size >= 3, `interrupted in ${[...stages].join(", ")} alone`);
    await assertSameResult(out, expected, `${interruptions} interruptions`);
    const left = (await Array.fromAsync(Deno.readDir(join(folder, "interrupted")))).map((e) =>
      e.name
    );
    assertEquals(left, ["out"]);
  }));

Deno.test("prune() goes on at the last finished step: what an earlier run did is not done again", () =>
  withPlace(async ({ options }) => {
    const stagesUntil = async (stage: string | undefined, resume: boolean) => {
      const stop = new AbortController();
      const seen = new Map<string, number>();
      const onProgress = (progress: Progress) => {
        seen.set(progress.stage, (seen.get(progress.stage) ?? 0) + 1);
        if (progress.stage === stage) stop.abort();
      };
      await prune({ ...options, resume, onProgress, signal: stop.signal }).catch((error) => {
        if (!(error instanceof CancelledError)) throw error;
      });
      return [...seen.keys()];
    };
    assertEquals((await stagesUntil("calibrate", false)).includes("sample"), true);
    assertEquals((await stagesUntil("learn", true)).includes("sample"), false);
    assertEquals((await stagesUntil("apply", true)).includes("score"), false);
    const last = await stagesUntil(undefined, true);
    assertEquals(["sample", "score"].filter((stage) => last.includes(stage)), []);
    assert(last.includes("evaluate"));
  }));

Deno.test("calibrateJob() interrupted anywhere writes the same statistics", () =>
  withPlace(async ({ options, folder }) => {
    const whole = stopAt(Infinity);
    const expected = join(folder, "whole.stats");
    await calibrateJob({ ...options, ...whole, save: expected });
    const random = Random.of("statistics");
    const save = join(folder, "interrupted.stats");
    let resume = false;
    for (let run = 1;; run++) {
      const watch = stopAt(random.below(Math.ceil(whole.seen.length * run / 4)));
      const done = await calibrateJob({ ...options, ...watch, save, resume })
        .then(() => true, (error) => {
          assert(error instanceof CancelledError, String(error));
          return false;
        });
      if (done) break;
      resume = true;
    }
    assert(resume);
    assertEquals(await Deno.readFile(save), await Deno.readFile(expected));
    assertEquals(await exists(`${save}.unfinished`), false);
  }));

Deno.test("prune() does again what it finds damaged in its journal", () =>
  withPlace(async ({ options, folder }) => {
    const expected = join(folder, "expected", "out");
    await prune({ ...options, out: expected });
    const stop = new AbortController();
    const onProgress = ({ stage, done }: Progress) => {
      if (stage === "evaluate" && done > 0) stop.abort();
    };
    await assertRejects(
      () => prune({ ...options, onProgress, signal: stop.signal }),
      CancelledError,
    );
    const work = `${options.out}.unfinished`;
    let damaged = 0;
    for await (const { name, isFile } of Deno.readDir(work)) {
      if (!isFile || name === "journal.json") continue;
      const path = join(work, name);
      const { size } = await Deno.stat(path);
      await Deno.truncate(path, Math.floor(size / 2));
      damaged++;
    }
    assert(damaged > 5, `${damaged} records`);
    await prune({ ...options, resume: true });
    await assertSameResult(options.out, expected, "damaged records");
  }));

/** Other options, and what the refusal says: each is tried on what an interrupted run left. */
const others: readonly (readonly [Partial<PruneOptions>, ...string[]])[] = [
  [{ sparsity: 0.5 }, "--sparsity was 0.4 and is 0.5"],
  [{ shape: "uniform" }, "--shape was adaptive and is uniform"],
  [{ samples: 5 }, "--samples was 4 and is 5"],
  [{ seqLen: 16 }, "--seq-len was 32 and is 16"],
  [{ seed: 7 }, "--seed was 0 and is 7"],
  [{ self: false }, "--no-self) was in and is left out"],
  [{ metric: "rms" }, "--metric was obs and is rms"],
  [{ refit: "none" }, "--refit was lsq and is none"],
  [{ modules: 2 }, "--modules was 4 and is 2"],
  [{ multiple: 4 }, "--multiple was 1 and is 4"],
  [{ switch: "blend" }, "--switch was none and is blend"],
  [{ structures: ["ffn"] }, "--structures was ffn,heads and is ffn"],
  [{ objective: "worst" }, "--objective was mean and is worst"],
  [{ scoreDomains: ["alpha"] }, "--score-domains was not given and is alpha"],
  [{ protectedLayers: [1] }, "--protect was not given and is 1"],
  [{ layerBudgets: [{ layer: 0, factor: 2 }] }, "--layer-budget was not given and is 0=2"],
  [{ method: "flap" }, "--method was gprune and is flap", "--metric was obs and is wifv"],
  [{ refine: false }, "--no-refine was not given and is given"],
  [{ evalWindows: 1 }, "--eval-windows was 2 and is 1"],
  [{ formats: ["hf", "gguf"] }, "--quantize was hf and is hf, gguf in f16"],
  [{ dataType: "f16" }, "--dtype was keep and is f16"],
  [{ tasks: [] }, "the tasks was quiz and is none"],
  [{ sparsity: 0.2, seed: 3 }, "--seed was 0 and is 3", "--sparsity was 0.4 and is 0.2"],
];

Deno.test("prune() refuses to go on with other options, another model or other texts, and says which", () =>
  withPlace(async ({ options, folder, model }) => {
    const expected = join(folder, "expected", "out");
    await prune({ ...options, out: expected });
    const stop = new AbortController();
    const onProgress = ({ stage }: Progress) => stage === "learn" && stop.abort();
    const interrupted = { ...options, signal: stop.signal, onProgress };
    await assertRejects(() => prune(interrupted), CancelledError);
    const refused = async (changes: Partial<PruneOptions>, ...says: readonly string[]) => {
      const error = await assertRejects(
        () => prune({ ...options, ...changes, resume: true }),
        OptionError,
      );
      for (const words of ["--resume", "unfinished", ...says]) {
        assert(error.message.includes(words), `'${words}' is not in: ${error.message}`);
      }
      assertEquals(error.message.split("\n").length, 1);
    };
    for (const [changes, ...says] of others) await refused(changes, ...says);
    const [alpha, beta] = options.calibration!;
    const renamed = [alpha, { ...beta, name: "other" }];
    await refused({ calibration: renamed }, "--calib was alpha, beta and is alpha, other");
    await refused({ evaluation: [alpha] }, "--eval was gamma, alpha and is alpha");
    const text = await Deno.readTextFile(beta.path);
    await Deno.writeTextFile(beta.path, `${text} more`);
    await refused({}, "the text 'beta' was ", "… and is ");
    await Deno.writeTextFile(beta.path, text);
    const gamma = options.evaluation![0].path;
    await Deno.writeTextFile(gamma, (await Deno.readTextFile(gamma)).toUpperCase());
    await refused({}, "the evaluation text 'gamma' was ");
    await Deno.writeTextFile(gamma, wordyDomain("gamma").text);
    const [quiz] = options.tasks!;
    const questions = await Deno.readTextFile(quiz.path);
    await Deno.writeTextFile(quiz.path, questions.replace('"answer":0', '"answer":1'));
    await refused({}, "the task 'quiz' was ");
    await Deno.writeTextFile(quiz.path, questions);
    await withRandomModel({ ...smallModel, seed: 2 }, async (other) => {
      await refused({ model: other }, "the model was ");
    });
    const config = join(model, "config.json");
    const before = await Deno.readTextFile(config);
    await Deno.writeTextFile(config, before.replace("{", '{ "comment": "changed",'));
    await refused({}, "the model was ");
    await Deno.writeTextFile(config, before);
    // A refusal takes nothing away: what was begun goes on.
    const stages = new Set<string>();
    await prune({ ...options, resume: true, onProgress: ({ stage }) => stages.add(stage) });
    assertEquals([stages.has("sample"), stages.has("score")], [false, false]);
    await assertSameResult(options.out, expected, "after refusals");
  }));

Deno.test("prune() refuses to go on from what another version left, and starts anew without --resume", () =>
  withPlace(async ({ options }) => {
    const work = `${options.out}.unfinished`;
    const leftovers = ["", "{}", '{"schema":"gprune.journal/1","version":"0.0.0","conditions":[]}'];
    for (const text of leftovers) {
      await Deno.mkdir(work, { recursive: true });
      await Deno.writeTextFile(join(work, "journal.json"), text);
      await assertRejects(
        () => prune({ ...options, resume: true }),
        ExportError,
        "another version",
      );
      assertEquals(await exists(options.out), false);
    }
    await prune(options);
    assertEquals(await exists(work), false);
  }));

Deno.test("prune() starts plainly when there is nothing to go on from", () =>
  withPlace(async ({ options }) => {
    const notes: string[] = [];
    const onEvent: PruneOptions["onEvent"] = (event) =>
      event.type === "note" && notes.push(event.message);
    await prune({ ...options, resume: true, onEvent });
    assert(notes.some((note) => note.includes("nothing to go on from")), notes.join());
  }));
