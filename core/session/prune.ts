/**
 * Pruning, the main job: calibrate, plan, apply, evaluate, write.
 * @module
 */
import { basename, join } from "@std/path";
import { applyPlan } from "../apply/apply.ts";
import type { Report } from "../evaluate/report.ts";
import { modelCard } from "../export/card.ts";
import { hashFiles, requireWritable, writeFolder } from "../export/folder.ts";
import { hashStatistics, loadStatistics } from "../calibrate/store.ts";
import { requireHolders, weightsFolder } from "../export/write_formats.ts";
import { reportPage } from "../report/report_page.ts";
import { refinedPlan } from "../learn/refine.ts";
import { isHubId } from "../model/hub.ts";
import { openModel } from "../model/open.ts";
import type { Model } from "../model/types.ts";
import { makePlan, requireReachable } from "../plan/make_plan.ts";
import { selfDomain } from "../plan/weights.ts";
import { resolveRequest } from "../plan/request.ts";
import { calibrationDomains, evaluationDomains, windowLength } from "../text/texts.ts";
import { calibrateWith, requireSamples } from "./calibrate.ts";
import { calibrationConditions, outputConditions } from "./resume/conditions.ts";
import { evaluateTexts, evaluationTexts, perplexityRows } from "./evaluation.ts";
import { writeAndMeasure } from "./exports.ts";
import { memoryTask } from "./memory/memory_tasks.ts";
import { Journal } from "./resume/journal.ts";
import { keptFits, keptModel, rememberWithNotes } from "./resume/kept_output.ts";
import { makeReport, type ReportStage } from "./report.ts";
import { brokenPromise, MemoryPeak, outputTargets, Stopwatch, withModel } from "./setup.ts";
import { evaluationTasks, taskRows } from "./tasks.ts";
import type { JobResult, OutputOptions, PruneOptions } from "./types.ts";

/**
 * Prunes a model and writes the result.
 *
 * @param options Which model, on which texts, how much, where to
 * @returns The folder and its report
 * @throws {GpruneError} if anything cannot be done; `out` is then as it was
 */
export async function prune(options: PruneOptions): Promise<JobResult> {
  const targets = outputTargets(options);
  requireSamples(options.samples ?? 128);
  await requireWritable(options.out, { force: options.force });
  const watch = new Stopwatch<ReportStage>();
  const memory = new MemoryPeak();
  const notes: string[] = [];
  const note = (message: string) => {
    notes.push(message);
    options.onEvent?.({ type: "note", message });
  };
  return await withModel(options, async (engine, model) => {
    const { layers } = model.architecture;
    const request = resolveRequest(options, layers);
    await requireHolders(model, targets, request);
    const given = options.stats === undefined
      ? undefined
      : await loadStatistics(options.stats, { leavesNumbers: true });
    const seqLen = windowLength(model, options.seqLen ?? given?.domains[0]?.seqLen);
    const evaluated = await evaluationDomains(options.evaluation);
    const texts = await evaluationTexts(model, evaluated, seqLen, options.evalWindows);
    const tasks = await evaluationTasks(model, texts, { ...options, onNote: note });
    const domains = await calibrationDomains(options.calibration);
    // Published methods know nothing of text that the model wrote itself.
    const self = options.self ?? request.method === "gprune";
    const names = given?.domains.map(({ name }) => name) ??
      [...domains.map(({ name }) => name), ...(self ? [selfDomain] : [])];
    requireReachable(model, request, names);
    const journal = await Journal.open(`${await placeOf(options.out)}.unfinished`, {
      resume: options.resume,
      conditions: [
        ...calibrationConditions({
          model,
          engine,
          request,
          samples: options.samples ?? 128,
          seqLen,
          seed: options.seed ?? 0,
          self,
          domains: given === undefined ? domains : [],
        }),
        ...outputConditions({
          ...options,
          evaluated,
          tasks,
          targets,
          statistics: options.stats && await hashStatistics(options.stats),
        }),
      ],
      onNote: (message) => options.onEvent?.({ type: "note", message }),
    });
    const statistics = given ?? await watch.time(
      "calibrate",
      () =>
        calibrateWith(engine, model, domains, {
          ...options,
          self,
          request,
          journal,
          onNote: note,
          onProgress: (progress) => {
            memory.look();
            options.onProgress?.(progress);
          },
        }),
    );
    const { plan } = await watch.time(
      "plan",
      () =>
        options.refine === false
          ? { plan: makePlan(model, statistics, request) }
          : refinedPlan(engine, model, statistics, request, {
            ...options,
            remember: journal.remember,
          }),
    );
    options.onEvent?.({ type: "planned", plan });
    const { force, signal, onProgress } = options;
    const workIn = journal.folder && join(journal.folder, "result");
    const report = await writeFolder(options.out, { force, workIn }, async (partial) => {
      const directory = weightsFolder(partial, targets, options);
      const applied = await watch.time("apply", () =>
        keptModel(journal, {
          folder: partial,
          directory,
          apply: () =>
            applyPlan(model, plan, {
              engine,
              statistics,
              directory,
              dataType: options.dataType,
              signal,
              onProgress,
              keptFits: keptFits(journal, plan),
            }),
        }));
      for (const { fallback, layer, structure } of applied.refits) {
        if (fallback !== undefined) note(`Layer ${layer}, ${structure}: ${fallback}`);
      }
      const evaluation = { ...options, tasks, remember: journal.remember };
      const [dense, pruned] = await watch.time("evaluate", async () => [
        await evaluateTexts(engine, model, texts, { ...evaluation, which: "dense" }),
        await evaluateTexts(engine, applied.model, texts, { ...evaluation, which: "pruned" }),
      ]);
      const name = basename(options.out);
      const files = await writeAndMeasure({
        ...options,
        engine,
        name,
        targets,
        directory: partial,
        dense: model,
        pruned: applied.model,
        texts,
        remember: rememberWithNotes(journal, notes, note, partial),
        onNote: note,
        watch,
      });
      const perplexity = perplexityRows(
        texts,
        dense.perplexity,
        pruned.perplexity,
        given === undefined ? domains.map(({ name }) => name) : names,
        files.perplexity,
      );
      const broken = brokenPromise(memory.bytes, options.memory);
      if (broken !== undefined) note(broken);
      const parts = {
        engine,
        model,
        pruned: await asWritten(applied.model, partial, options),
        plan,
        statistics,
        request: { ...shownOptions(options), seed: options.seed ?? 0, seqLen },
        refits: applied.refits,
        finalNormScale: applied.finalNormScale,
        perplexity,
        tasks: taskRows(tasks, dense.accuracy, pruned.accuracy),
        speed: {
          denseTokensPerSecond: dense.tokensPerSecond,
          prunedTokensPerSecond: pruned.tokensPerSecond,
        },
        exports: files.rows,
        watch,
        memory,
        notes,
      };
      return await writeReport(partial, parts, watch, { name, command: options.command });
    });
    await journal.close();
    return { folder: options.out, report };
  }, (model) => {
    const request = resolveRequest(options, model.architecture.layers);
    return memoryTask(model, {
      seqLen: windowLength(model, options.seqLen),
      requests: [request],
      calibration: options.stats === undefined ? options : undefined,
      applies: true,
      evaluates: true,
      targets,
    });
  });
}

/** Where the output really is: finished steps lie beside it, on its own disk. */
async function placeOf(out: string): Promise<string> {
  return await Deno.realPath(out).catch(() => out);
}

function shownOptions(options: PruneOptions): Readonly<Record<string, unknown>> {
  const { samples = 128, evalWindows, self } = options;
  return {
    samples,
    evalWindows: evalWindows ?? "all",
    choiceTasks: options.choiceTasks ?? true,
    self: self ?? true,
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...shownOutput(options),
  };
}

/**
 * What was asked for of the output, for the report.
 *
 * @param options Formats, quantisations, data type
 * @returns The same with defaults filled in
 */
export function shownOutput(
  options: Pick<OutputOptions, "formats" | "quantize" | "dataType" | "zeroPad">,
): Readonly<Record<string, unknown>> {
  const targets = outputTargets(options).filter(({ format }) => format !== "hf");
  return {
    formats: options.formats ?? ["hf"],
    ...(targets.length === 0 ? {} : { quantize: targets.map(({ quantize }) => quantize) }),
    dataType: options.dataType ?? "keep",
    ...(options.zeroPad ? { zeroPad: true } : {}),
  };
}

/**
 * A model for the report: with the sizes of its layers, and the bytes of the files that were written.
 *
 * @param model The model
 * @param folder The folder that was written
 * @param options Whether it was padded
 * @returns The model; where nothing was padded, as it is
 */
export async function asWritten(
  model: Model,
  folder: string,
  { zeroPad }: Pick<OutputOptions, "zeroPad">,
): Promise<Model> {
  return zeroPad ? { ...model, bytes: (await openModel(folder)).bytes } : model;
}

/**
 * Writes card and report, for programs and for a browser, beside the model's files.
 *
 * @param folder Where the files are
 * @param parts What the report is made of, but for the files
 * @param watch Times the writing
 * @param shown For the card: the result's name, and the command that makes the same
 * @returns The report
 */
export async function writeReport(
  folder: string,
  parts: Omit<Parameters<typeof makeReport>[0], "files">,
  watch: Stopwatch<ReportStage>,
  { name, command }: { readonly name: string; readonly command?: string },
): Promise<Report> {
  await watch.time("export", async () => {
    const card = modelCard(makeReport({ ...parts, files: [] }), {
      name,
      baseModel: isHubId(parts.model.source) ? parts.model.source : undefined,
      command,
      formats: parts.request.formats as readonly string[] | undefined,
    });
    await Deno.writeTextFile(join(folder, "README.md"), card);
  });
  const files = await watch.time("export", () => hashFiles(folder));
  const report = makeReport({ ...parts, files });
  await Deno.writeTextFile(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  await Deno.writeTextFile(join(folder, "report.html"), reportPage(report));
  return report;
}
