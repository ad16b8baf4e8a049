/**
 * The options of the command line, each described and checked in one place; a command takes those that apply to it.
 * @module
 */
import { Option } from "@commander-js/extra-typings";
import { formatNames as formats, quantizationNames } from "../core/export/formats.ts";
import type { LayerBudget, Method, Metric, Refit, Shape, Switch } from "../core/plan/types.ts";
import type { Structure } from "../core/model/types.ts";
import type { NamedPath } from "../core/session/types.ts";
import {
  byteSize,
  choice,
  choiceList,
  layerBudget,
  layerList,
  namedPath,
  nameList,
  shard,
  sparsity,
  sparsityList,
  UsageError,
  whole,
} from "./values.ts";

/** Every method. */
export const methods: readonly Method[] = ["gprune", "flap", "wanda-sp", "magnitude", "random"];
/** The metrics that a user can choose for `gprune`. */
export const metrics: readonly Metric[] = ["wanda-sp", "wifv", "rms", "obs"];
/** Every kind of unit. */
export const structures: readonly Structure[] = ["ffn", "heads"];
/** Every shape. */
export const shapes: readonly Shape[] = ["uniform", "adaptive"];
/** Every refit. */
export const refits: readonly Refit[] = ["none", "bias", "lsq"];
/** Who can judge unreliable modules. */
export const switches: readonly Switch[] = ["none", "magnitude", "blend"];
/** Engines, and the choice between them. */
export const engines = ["auto", "onnx", "webgpu"] as const;
/** What learned shares can make small. */
export const objectives = ["mean", "worst"] as const;
/** How the numbers of the `hf` output can be stored. */
export const dataTypes = ["keep", "f32", "f16", "bf16"] as const;
/** The sparsity where none is asked for. */
export const defaultSparsity = 0.3;
const reservedNames = { self: "which is text sampled from the model itself; take another name" };

const modelGroup = "Model:";
const calibrationGroup = "Calibration:";
const pruningGroup = "Pruning:";
const evaluationGroup = "Evaluation:";
const outputGroup = "Output:";
const generalGroup = "General:";
const inputGroup = "Input:";

/** `--revision REV` */
export const revisionOption = new Option(
  "--revision <REV>",
  "branch, tag or commit of a model of the hub",
).helpGroup(modelGroup);

/** `--engine E` */
export const engineOption = new Option(
  "--engine <E>",
  "what runs the model: auto, onnx, webgpu (default: auto)",
).argParser((text) => choice("--engine", text, engines)).helpGroup(modelGroup);

/** `--memory SIZE` */
export const memoryOption = new Option(
  "--memory <SIZE>",
  "memory to stay below, such as 3GB or 800MB; refused at the start where that cannot be (default: a share of what is free)",
).argParser((text) => byteSize("--memory", text)).helpGroup(modelGroup);

/** `--calib NAME=PATH` */
export const calibOption = new Option(
  "--calib <NAME=PATH>",
  'a calibration text: a text file, a .jsonl with a field "text" or a folder; repeat it for more (default: embedded texts)',
).argParser((text, before: readonly NamedPath[] | undefined) =>
  namedPath("--calib", text, before, reservedNames)
).helpGroup(calibrationGroup);

/** `--no-self` */
export const noSelfOption = new Option(
  "--no-self",
  "leave out the domain sampled from the model itself",
).helpGroup(calibrationGroup);

/** `--samples N` */
export const samplesOption = new Option("--samples <N>", "windows per domain (default: 128)")
  .argParser((text) => whole("--samples", text, 1)).helpGroup(calibrationGroup);

/** `--seq-len L` */
export const seqLenOption = new Option(
  "--seq-len <L>",
  "tokens per window (default: 2048, or the model's own limit)",
).argParser((text) => whole("--seq-len", text, 2)).helpGroup(calibrationGroup);

/** `--samples N` of `tui`, where one waits for it. */
export const liveSamplesOption = new Option("--samples <N>", "windows per domain (default: 32)")
  .argParser((text) => whole("--samples", text, 1)).helpGroup(calibrationGroup);

/** `--seq-len L` of `tui`. */
export const liveSeqLenOption = new Option(
  "--seq-len <L>",
  "tokens per window (default: 512, or the model's own limit)",
).argParser((text) => whole("--seq-len", text, 2)).helpGroup(calibrationGroup);

/** `--seed S` */
export const seedOption = new Option("--seed <S>", "seed of all sampling (default: 0)")
  .argParser((text) => whole("--seed", text, 0)).helpGroup(calibrationGroup);

/** `--sparsity X` */
export const sparsityOption = new Option(
  "--sparsity <X>",
  `share of the prunable parameters to remove, 0 ≤ X < 1 (default: ${defaultSparsity})`,
).argParser((text) => sparsity("--sparsity", text)).helpGroup(pruningGroup);

/** `--method M` */
export const methodOption = new Option(
  "--method <M>",
  `${methods.join(", ")} (default: gprune)`,
).argParser((text) => choice("--method", text, methods)).helpGroup(pruningGroup);

/** `--metric M` */
export const metricOption = new Option(
  "--metric <M>",
  `base metric that gprune wraps: ${metrics.join(", ")} (default: the best measured)`,
).argParser((text) => choice("--metric", text, metrics)).helpGroup(pruningGroup);

/** `--structures LIST` */
export const structuresOption = new Option(
  "--structures <LIST>",
  "what to remove: ffn, heads or both (default: ffn,heads)",
).argParser((text) => choiceList("--structures", text, structures)).helpGroup(pruningGroup);

/** `--shape S` */
export const shapeOption = new Option(
  "--shape <S>",
  "uniform: all layers alike, loads everywhere; adaptive: each its own (default: uniform)",
).argParser((text) => choice("--shape", text, shapes)).helpGroup(pruningGroup);

/** `--refit R` */
export const refitOption = new Option(
  "--refit <R>",
  "correction after the cut: none, bias, lsq (default: lsq)",
).argParser((text) => choice("--refit", text, refits)).helpGroup(pruningGroup);

/** `--modules K` */
export const modulesOption = new Option(
  "--modules <K>",
  "modules per layer and kind, at most (default: the method's own)",
).argParser((text) => whole("--modules", text, 1)).helpGroup(pruningGroup);

/** `--multiple N` */
export const multipleOption = new Option(
  "--multiple <N>",
  "FFN widths are multiples of N (default: 1 for tiny models, else 32)",
).argParser((text) => whole("--multiple", text, 1)).helpGroup(pruningGroup);

/** `--switch S` */
export const switchOption = new Option(
  "--switch <S>",
  "who judges unreliable modules: none, magnitude, blend (default: the best measured)",
).argParser((text) => choice("--switch", text, switches)).helpGroup(pruningGroup);

/** `--score-domains A,B` */
export const scoreDomainsOption = new Option(
  "--score-domains <A,B>",
  "domains whose activations give the base score (default: all)",
).argParser((text) => nameList("--score-domains", text)).helpGroup(pruningGroup);

/** `--objective O` */
export const objectiveOption = new Option(
  "--objective <O>",
  "what learned shares make small, over domains: mean, worst (default: mean)",
).argParser((text) => choice("--objective", text, objectives)).helpGroup(pruningGroup);

/** `--protect LIST` */
export const protectOption = new Option(
  "--protect <LIST>",
  "layers to leave whole, such as 0,1 or 28-31 (default: none)",
).argParser((text) => layerList("--protect", text)).helpGroup(pruningGroup);

/** `--layer-budget LAYER=FACTOR` */
export const layerBudgetOption = new Option(
  "--layer-budget <LAYER=FACTOR>",
  "cut a layer more (above 1) or less (below 1) than its learned damage says; repeat it for more (default: none)",
).argParser((text, before: readonly LayerBudget[] | undefined) =>
  layerBudget("--layer-budget", text, before)
).helpGroup(pruningGroup);

/** `--no-refine` */
export const noRefineOption = new Option(
  "--no-refine",
  "plan from the statistics alone, as gprune plan does, without measuring alternatives",
).helpGroup(pruningGroup);

/** `--eval NAME=PATH` */
export const evalOption = new Option(
  "--eval <NAME=PATH>",
  "an evaluation text, other than those of calibration; repeat it for more (default: embedded texts)",
).argParser((text, before: readonly NamedPath[] | undefined) => namedPath("--eval", text, before))
  .helpGroup(evaluationGroup);

/** `--eval-windows N` */
export const evalWindowsOption = new Option(
  "--eval-windows <N>",
  "evaluate the first N windows of each text, and 8 × N questions made from it at most (default: all, 200)",
).argParser((text) => whole("--eval-windows", text, 1)).helpGroup(evaluationGroup);

/** `--eval-windows N` of `tui`. */
export const liveEvalWindowsOption = new Option(
  "--eval-windows <N>",
  "evaluate the first N windows of each text (default: 16)",
).argParser((text) => whole("--eval-windows", text, 1)).helpGroup(evaluationGroup);

/** `--task NAME=PATH` */
export const taskOption = new Option(
  "--task <NAME=PATH>",
  'multiple choice: a .jsonl of { "context", "choices", "answer": index }; repeat it for more',
).argParser((text, before: readonly NamedPath[] | undefined) => namedPath("--task", text, before))
  .helpGroup(evaluationGroup);

/** `--no-choice` */
export const noChoiceOption = new Option(
  "--no-choice",
  "no multiple choice NAME-choice made from each evaluation text",
).helpGroup(evaluationGroup);

/** `--choice` of `compare`, where it would multiply the work of every row. */
export const choiceOption = new Option(
  "--choice",
  "multiple choice NAME-choice made from each evaluation text, for every row (default: off)",
).helpGroup(evaluationGroup);

/** `--choice` of `tui`, where it would keep one waiting. */
export const liveChoiceOption = new Option(
  "--choice",
  "multiple choice NAME-choice made from each evaluation text when a model is written (default: off)",
).helpGroup(evaluationGroup);

/** `--out DIR` */
export const outOption = new Option(
  "--out <DIR>",
  "where the results go (default: gprune-out/NAME-SPARSITY)",
).argParser((text) => file("--out", text, "folder")).helpGroup(outputGroup);

/** `--out DIR` where there is no default. */
export const requiredOutOption = new Option("--out <DIR>", "where the results go")
  .argParser((text) => file("--out", text, "folder")).makeOptionMandatory().helpGroup(outputGroup);

/** `--save FILE` */
export const saveOption = new Option("--save <FILE>", "the file to write")
  .argParser((text) => file("--save", text, "file")).makeOptionMandatory().helpGroup(outputGroup);

/** `--shard I/N` */
export const shardOption = new Option(
  "--shard <I/N>",
  "take part I of N alone, from 1/N to N/N; gprune merge adds the parts",
).argParser((text) => shard("--shard", text)).helpGroup(calibrationGroup);

/** `--model MODEL` of `merge`. */
export const partsModelOption = new Option(
  "--model <MODEL>",
  "where the model is (default: where it was for the first part)",
).argParser((text) => file("--model", text, "folder")).helpGroup(inputGroup);

/** `--out FILE` of `merge`. */
export const mergedOption = new Option("--out <FILE>", "the file of statistics to write")
  .argParser((text) => file("--out", text, "file")).makeOptionMandatory().helpGroup(outputGroup);

/** `--stats FILE` of `prune`, where it takes the place of calibration. */
export const givenStatsOption = new Option(
  "--stats <FILE>",
  "statistics from gprune calibrate, instead of calibrating",
).argParser((text) => file("--stats", text, "file")).helpGroup(calibrationGroup);

/** `--stats FILE` */
export const statsOption = new Option("--stats <FILE>", "statistics from gprune calibrate")
  .argParser((text) => file("--stats", text, "file")).helpGroup(inputGroup);

/** `--stats FILE` where nothing goes without. */
export const requiredStatsOption = new Option("--stats <FILE>", "statistics from gprune calibrate")
  .argParser((text) => file("--stats", text, "file")).makeOptionMandatory().helpGroup(inputGroup);

/** `--plan FILE` */
export const planOption = new Option("--plan <FILE>", "a plan from gprune plan")
  .argParser((text) => file("--plan", text, "file")).makeOptionMandatory().helpGroup(inputGroup);

/** `--format LIST` */
export const formatOption = new Option(
  "--format <LIST>",
  `what to write, some of ${formats.join(", ")} (default: hf)`,
).argParser((text) => choiceList("--format", text, formats)).helpGroup(outputGroup);

/** `--dtype D` */
export const dtypeOption = new Option(
  "--dtype <D>",
  "how the numbers of hf are stored: keep, f32, f16, bf16 (default: keep)",
).argParser((text) => choice("--dtype", text, dataTypes))
  .helpGroup(outputGroup);

/** `--zero-pad` */
export const zeroPadOption = new Option(
  "--zero-pad",
  "pad an adaptive hf result with zero units, so that stock classes load it; computes the same, larger",
).helpGroup(outputGroup);

/** `--quantize LIST` */
export const quantizeOption = new Option(
  "--quantize <LIST>",
  "how onnx (none, f16, q8, q4) and gguf (f16, q8_0, q4_0) are stored; a list goes to the formats that have each (default: none and f16)",
).argParser((text) => choiceList("--quantize", text, quantizationNames)).helpGroup(outputGroup);

/** `--resume` */
export const resumeOption = new Option(
  "--resume",
  "go on from what an interrupted run for the same result left",
).helpGroup(outputGroup);

/** `--force` */
export const forceOption = new Option("--force", "replace a result that exists")
  .helpGroup(outputGroup);

/** `--json` */
export const jsonOption = new Option(
  "--json",
  "the report on standard output and nothing else there; progress goes to standard error",
).helpGroup(outputGroup);

/** `--quiet` */
export const quietOption = new Option("--quiet", "no progress on standard error")
  .helpGroup(generalGroup);

/** `--no-color` */
export const noColorOption = new Option("--no-color", "no colour (also NO_COLOR)")
  .helpGroup(generalGroup);

/** `--debug` */
export const debugOption = new Option("--debug", "show the stack of an error")
  .helpGroup(generalGroup);

/** `--methods LIST` */
export const methodListOption = new Option(
  "--methods <LIST>",
  `some of ${methods.join(", ")} (default: all)`,
).argParser((text) => choiceList("--methods", text, methods)).helpGroup(pruningGroup);

/** `--sparsity LIST` */
export const sparsityListOption = new Option(
  "--sparsity <LIST>",
  "shares of the prunable parameters to remove (default: 0.3,0.5)",
).argParser((text) => sparsityList("--sparsity", text)).helpGroup(pruningGroup);

/** `--refit LIST` */
export const refitListOption = new Option(
  "--refit <LIST>",
  "corrections after the cut, some of none, bias, lsq (default: each method's own)",
).argParser((text) => choiceList("--refit", text, refits)).helpGroup(pruningGroup);

/** `--help` */
export const helpOption = new Option("-h, --help", "show help").helpGroup(generalGroup);

function file(option: string, text: string, what: "file" | "folder"): string {
  if (text.trim() !== "") return text;
  throw new UsageError(`${option} is empty; name a ${what}`);
}
