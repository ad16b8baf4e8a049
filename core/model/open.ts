/**
 * Opening a model: a folder in the Hugging Face layout, a model of the hub, or the embedded default.
 * @module
 */
import { ModelError } from "../errors.ts";
import { throwIfCancelled, type WorkOptions } from "../progress.ts";
import { parseConfig, readConfig } from "./config.ts";
import { type FamilyDescriptor, familyOf } from "./families.ts";
import { COMPANION_FILES, fileNames, fingerprintOf, readWeights } from "./files.ts";
import { downloadModel, type HubOptions, isHubId } from "./hub.ts";
import { isFloat, numberCount } from "./number_formats.ts";
import { partName, partOf, storedTensors } from "./stored.ts";
import { readTokenizer } from "./tokenizer.ts";
import type {
  Architecture,
  BlockRole,
  BlockTensors,
  DataType,
  Model,
  OuterRole,
  TensorIndex,
  TensorView,
  TextTokenizer,
} from "./types.ts";
import { outerRoles, outerTensorShape, parameterCount } from "./units.ts";

/** Options of {@linkcode openModel}. */
export interface OpenOptions extends WorkOptions {
  /** The branch, tag or commit of a model on the hub; `main` if absent. */
  readonly revision?: string;
  /** Where the hub is and how it is asked; from the environment if absent. */
  readonly hub?: Omit<HubOptions, keyof WorkOptions | "revision">;
}

/** The word for the model that comes with gprune. */
export const EMBEDDED = "embedded";

/**
 * Opens a model: reads its description and where its tensors lie, and checks that they fit each other. Numbers are
 * read when they are needed.
 *
 * @param source A folder, a hub id such as `org/name`, or `embedded`; the embedded default if absent
 * @param options Revision and hub; progress and cancellation of a download
 * @returns The model
 * @throws {ModelError} if there is no such model, or its files are missing, broken, of an unknown family or at odds
 * @throws {CancelledError} if the signal is aborted
 *
 * @example
 * ```ts
 * import { openModel } from "./open.ts";
 * const model = await openModel();
 * console.log(model.name, model.parameters, model.architecture.layers.length);
 * ```
 */
export async function openModel(
  source: string = EMBEDDED,
  options: OpenOptions = {},
): Promise<Model> {
  throwIfCancelled(options.signal);
  const folder = await findFolder(source, options);
  const configPath = `${folder}/config.json`;
  const names = await fileNames(folder);
  if (!names.includes("config.json")) {
    throw new ModelError(
      `Cannot open model '${source}': it has no config.json, so it is not in the Hugging Face layout`,
    );
  }
  const config = await readConfig(configPath);
  const architecture = parseConfig(config, configPath);
  const read = await readWeights(folder);
  const family = familyOf(architecture.family);
  const weights = { ...read, tensors: withPrefix(read.tensors, family) };
  checkTensors(folder, architecture, weights.tensors);
  let tokenizer: Promise<TextTokenizer> | undefined;
  return {
    name: shortName(source, folder),
    source,
    folder,
    architecture,
    config,
    tensors: weights.tensors,
    dataType: commonDataType(weights.tensors),
    parameters: parameterCount(architecture),
    bytes: weights.bytes,
    fingerprint: await fingerprintOf(configPath, weights, options),
    companionFiles: COMPANION_FILES.filter((name) => names.includes(name)),
    tokenizer: () => tokenizer ??= readTokenizer(folder, config),
  };
}

/**
 * The tensors of a block.
 *
 * @param model The model
 * @param layer The block's number, from 0
 * @returns Its tensors by their role; biases where the model has them
 * @throws {ModelError} if the model has no such layer
 */
export function blockTensors(model: Model, layer: number): BlockTensors {
  const { architecture } = model;
  const shape = architecture.layers[layer];
  if (shape === undefined) {
    throw new ModelError(
      `Cannot find layer ${layer} of '${model.source}': it has ${architecture.layers.length} layers`,
    );
  }
  const tensors = new Map<BlockRole, TensorView>();
  for (const stored of storedTensors(architecture, shape, layer)) {
    for (const role of stored.roles) {
      const apart = stored.plain ? undefined : model.tensors.get(partName(stored, role));
      const view = apart ??
        partOf(existing(model, stored.name), stored, role, { architecture, shape });
      tensors.set(role, view);
    }
  }
  return tensors;
}

/**
 * A tensor outside the blocks.
 *
 * @param model The model
 * @param role The part that the tensor plays
 * @returns The tensor; the embedding in place of a tied output head
 */
export function outerTensor(model: Model, role: OuterRole): TensorView {
  const tied = role === "outputHead.weight" && model.architecture.tiedEmbedding;
  const names = familyOf(model.architecture.family).outerTensors;
  const name = names[tied ? "embedding.weight" : role];
  if (name === undefined) {
    throw new ModelError(`Cannot find '${role}' of '${model.source}': its family has none`);
  }
  return existing(model, name);
}

function existing(model: Model, name: string): TensorView {
  const view = model.tensors.get(name);
  if (view === undefined) {
    throw new ModelError(`Cannot find tensor '${name}' of '${model.source}': it is missing`);
  }
  return view;
}

async function findFolder(source: string, options: OpenOptions): Promise<string> {
  if (source === EMBEDDED) return await embeddedFolder();
  try {
    const { isDirectory } = await Deno.stat(source);
    if (isDirectory) return source.replace(/(?<=.)[/\\]+$/, "");
  } catch (error) {
    if (isHubId(source) && error instanceof Deno.errors.NotFound) {
      const { revision, signal, onProgress, hub } = options;
      return await downloadModel(source, { ...hub, revision, signal, onProgress });
    }
    const reason = error instanceof Deno.errors.NotFound
      ? "no such folder; give a folder in the Hugging Face layout or a hub id such as org/name"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new ModelError(`Cannot open model '${source}': ${reason}`, { cause: error });
  }
  throw new ModelError(
    `Cannot open model '${source}': it is a file; give the folder that holds config.json and the weights`,
  );
}

async function embeddedFolder(): Promise<string> {
  const url = new URL("../../models/tiny/", import.meta.url);
  if (url.protocol === "file:") {
    const folder = await Deno.realPath(url).catch(() => undefined);
    if (folder !== undefined) return folder;
  }
  throw new ModelError(
    "Cannot open the embedded model: it is not beside this program; give a folder or a hub id such as org/name",
  );
}

function shortName(source: string, folder: string): string {
  const path = source === EMBEDDED || /^[./\\]*$/.test(source) ? Deno.realPathSync(folder) : source;
  return path.split(/[/\\]/).filter((part) => part !== "").at(-1) ?? "model";
}

/** Names with the beginning that some files leave out. */
function withPrefix(
  tensors: TensorIndex,
  { optionalPrefix: prefix, outerTensors }: FamilyDescriptor,
): TensorIndex {
  if (prefix === undefined || tensors.has(outerTensors["embedding.weight"])) return tensors;
  return new Map([...tensors].map(([name, view]) => {
    const whole = name === outerTensors["outputHead.weight"] ? name : `${prefix}${name}`;
    return [whole, { ...view, name: whole }];
  }));
}

/** Checks that every tensor which the config implies is there in its shape, and none that would be lost unseen. */
function checkTensors(folder: string, architecture: Architecture, tensors: TensorIndex): void {
  const family = familyOf(architecture.family);
  const known = new Set<string>();
  const demand = (name: string, shape: readonly number[]) => {
    known.add(name);
    const view = tensors.get(name);
    if (view === undefined) {
      throw new ModelError(`Cannot open model '${folder}': tensor '${name}' is missing`);
    }
    if (view.shape.length !== shape.length || view.shape.some((size, i) => size !== shape[i])) {
      throw new ModelError(
        `Cannot open model '${folder}': tensor '${name}' has shape [${
          view.shape.join(", ")
        }], and its config.json implies [${shape.join(", ")}]`,
      );
    }
    if (!isFloat(view.dataType)) {
      throw new ModelError(
        `Cannot open model '${folder}': tensor '${name}' holds ${view.dataType}, and F32, F16, BF16 or F64 is wanted`,
      );
    }
  };
  for (const role of outerRoles(architecture)) {
    demand(family.outerTensors[role] ?? role, outerTensorShape(architecture, role));
  }
  for (const [layer, shape] of architecture.layers.entries()) {
    for (const stored of storedTensors(architecture, shape, layer)) {
      demand(stored.name, stored.shape);
    }
  }
  // Some writers store a tied head all the same; the reference implementation ignores it too.
  known.add(family.outerTensors["outputHead.weight"]);
  for (const name of tensors.keys()) {
    if (known.has(name) || family.ignoredTensors.some((pattern) => pattern.test(name))) continue;
    throw new ModelError(
      `Cannot open model '${folder}': tensor '${name}' is no part of the ${family.name} model that its config.json describes`,
    );
  }
}

/** The data type that holds most numbers. */
function commonDataType(tensors: TensorIndex): DataType {
  const counts = new Map<DataType, number>();
  for (const { dataType, shape } of tensors.values()) {
    counts.set(dataType, (counts.get(dataType) ?? 0) + numberCount(shape));
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}
