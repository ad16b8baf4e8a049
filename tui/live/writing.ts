/**
 * Writing from a session: the form's presets, the commands that do the same, and what is said at the end.
 * @module
 */
import { join } from "@std/path";
import { outputs } from "../../core/session/live/outputs.ts";
import type { LiveSession } from "../../core/session/live/session.ts";
import type { OutputOptions } from "../../core/session/types.ts";
import {
  calibrateWords,
  commandLine,
  commandLines,
  type CommandSource,
  planWords,
  pruneWords,
} from "../command_text.ts";
import type { Paths } from "../context.ts";
import type { LiveStart } from "./start.ts";
import type { WriteForm } from "../keys/write_form.ts";
import { modelName } from "../paths.ts";

/** Says what a session writes, and how else it could be made. */
export class Writing {
  readonly #session: LiveSession;
  readonly #paths: Paths;
  readonly #start: LiveStart;
  #form: WriteForm | undefined;

  /**
   * For one session.
   *
   * @param session The session
   * @param paths Paths as the user means them
   * @param start What is preset
   */
  constructor(session: LiveSession, paths: Paths, start: LiveStart) {
    this.#session = session;
    this.#start = start;
    this.#paths = paths;
  }

  /** The form to start from: what was written last, with names for what is chosen now. */
  newForm(): WriteForm {
    const { request } = this.#session.state;
    const name = `${modelName(this.#session.settings.model)}-${request?.sparsity ?? 0}`;
    const base = join("gprune-out", name);
    const { formats: asked = ["hf"], dataType, quantize = [] } = this.#start;
    const stored = [dataType ?? "", ...quantize];
    const formats = this.#form?.formats ??
      outputs().map(({ format, storages }) => ({
        format,
        storages,
        storage: Math.max(0, storages.findIndex((storage) => stored.includes(storage))),
        chosen: asked.includes(format),
      }));
    return {
      what: this.#form?.what ?? "model",
      folder: this.#start.folder ?? base,
      planFile: `${base}.plan.json`,
      formats,
      force: false,
      field: 0,
    };
  }

  /**
   * Writes what a form says.
   *
   * @param form The form
   */
  async write(form: WriteForm): Promise<void> {
    this.#form = form;
    if (form.what === "plan") {
      return void await this.#session.writePlan(this.#paths.file(form.planFile), form.force);
    }
    const options = outputOptions(form);
    await this.#session.write({
      ...options,
      out: this.#paths.file(form.folder),
      force: form.force,
      command: commandLine(pruneWords(this.#source(), outputWords(form))),
    });
  }

  /** The command that writes what is chosen. */
  command(): string {
    return commandLine(pruneWords(this.#source(), outputWords(this.#form ?? this.newForm())));
  }

  /**
   * All commands, broken into lines.
   *
   * @param width Columns
   * @returns Titles and lines
   */
  commands(
    width: number,
  ): readonly { readonly title: string; readonly lines: readonly string[] }[] {
    const form = this.newForm();
    const source = this.#source();
    const file = `${modelName(this.#session.settings.model)}.stats`;
    const elsewhere = { ...source, statistics: file };
    return [
      {
        title: "The model as it is chosen, from the statistics of this session:",
        lines: commandLines(pruneWords(source, outputWords(form)), width),
      },
      {
        title: "The plan alone, to look at or to apply later:",
        lines: commandLines(planWords(source, form.planFile), width),
      },
      {
        title: "The same on another machine, from the beginning:",
        lines: [
          ...commandLines(calibrateWords(source, file), width),
          ...commandLines(pruneWords(elsewhere, outputWords(form)), width),
        ],
      },
    ];
  }

  /** What is said on the normal screen when the session has ended. */
  farewell(): readonly string[] {
    const { written, request, unsaved } = this.#session.state;
    if (request === undefined || this.#session.state.statistics === undefined) return [];
    const lines = written.map(({ path }) => `Written to ${this.#paths.shown(path)}`);
    return unsaved || written.length > 0
      ? [...lines, "The last choice as a command:", `  ${this.command()}`]
      : lines;
  }

  #source(): CommandSource {
    const { state, settings } = this.#session;
    return {
      settings,
      request: state.request!,
      layers: state.model?.layers ?? [],
      statistics: this.#paths.short(state.statistics ?? ""),
      shown: this.#paths.shown,
    };
  }
}

/** Options of the library for what a form says. */
function outputOptions(
  form: WriteForm,
): Pick<OutputOptions, "formats" | "dataType" | "quantize"> & {
  readonly formats: readonly string[];
} {
  const known = outputs();
  const chosen = form.formats.filter(({ chosen }) => chosen);
  const stored = (option: string) =>
    chosen.filter(({ format }) => known.find((each) => each.format === format)?.option === option)
      .map(({ storages, storage }) => storages[storage]);
  const [dataType] = stored("--dtype") as ("keep" | "f32" | "f16" | "bf16")[];
  const quantize = stored("--quantize");
  return {
    formats: chosen.map(({ format }) => format),
    dataType,
    quantize: quantize.length === 0 ? undefined : quantize,
  };
}

/** The same as words of a command line; what is the default is left out. */
function outputWords(form: WriteForm): readonly string[] {
  const { formats, dataType, quantize = [] } = outputOptions(form);
  return [
    "--out",
    form.folder,
    ...(formats.join() === "hf" ? [] : ["--format", formats.join(",")]),
    ...(dataType === undefined || dataType === "keep" ? [] : ["--dtype", dataType]),
    ...(quantize.length === 0 ? [] : ["--quantize", quantize.join(",")]),
  ];
}
