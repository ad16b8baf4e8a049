/**
 * What the files of a Hugging Face tokenizer say, checked as far as a GGUF file needs it.
 * @module
 */
import { z } from "zod";
import { ExportError } from "../../errors.ts";
import { parseJson, readTextFile, unusableReason } from "../../json.ts";
import type { Model } from "../../model/types.ts";

const ADDED_TOKEN = z.looseObject({
  id: z.int().nonnegative(),
  content: z.string(),
  special: z.boolean().default(false),
});

const TOKENIZER = z.looseObject({
  added_tokens: z.array(ADDED_TOKEN).default([]),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({ type: z.string().nullish() }),
});

const BPE = z.looseObject({
  vocab: z.record(z.string(), z.int().nonnegative()),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  unk_token: z.string().nullish(),
  byte_fallback: z.boolean().nullish(),
  ignore_merges: z.boolean().nullish(),
  continuing_subword_prefix: z.string().nullish(),
  end_of_word_suffix: z.string().nullish(),
});

/** A step of a tokenizer, such as a normalizer: its type, and whatever it is set by. */
export type Step = Readonly<Record<string, unknown>> & { readonly type: string };

/** A pair that becomes one token. */
export type Merge = readonly [left: string, right: string];

/** A byte-pair tokenizer. */
export interface PairTokenizer {
  /** Numbers of the tokens by their text. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** The pairs, first to be merged first. */
  readonly merges: readonly Merge[];
  /** Tokens that are looked for before anything else. */
  readonly added: readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
  /** What is done to the text first. */
  readonly normalizers: readonly Step[];
  /** How the text is cut into words. */
  readonly preTokenizers: readonly Step[];
  /** What puts special tokens around a text. */
  readonly postProcessors: readonly Step[];
  /** Whether characters without a token become bytes. */
  readonly byteFallback: boolean;
  /** Whether a word that is a token stays whole, whatever the merges say. */
  readonly ignoreMerges: boolean;
  /** The token for what has no other. */
  readonly unknownToken?: string;
}

/** The files of a tokenizer. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: PairTokenizer;
  /** `tokenizer_config.json`, or nothing. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** `generation_config.json`, or nothing. */
  readonly generation: Readonly<Record<string, unknown>>;
  /** Chat templates by name; `default` is the one without a name. */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

/**
 * Reads the files of a model's tokenizer.
 *
 * @param model The model
 * @returns What they say
 * @throws {ExportError} if they are missing or broken, or the tokenizer is none that works by byte pairs
 */
export async function readTokenizerFiles(model: Model): Promise<TokenizerFiles> {
  const { folder } = model;
  const path = `${folder}/tokenizer.json`;
  const raw = await readJson(path);
  if (raw === undefined) throw new ExportError(`Cannot read '${path}': no such file`);
  const settings = asObject(await readJson(`${folder}/tokenizer_config.json`));
  return {
    tokenizer: parsePairTokenizer(model, path, raw),
    settings,
    generation: asObject(await readJson(`${folder}/generation_config.json`)),
    chatTemplates: await readChatTemplates(folder, settings),
  };
}

function parsePairTokenizer(model: Model, path: string, raw: unknown): PairTokenizer {
  const rules = check(TOKENIZER, raw, path);
  const kind = rules.model.type ?? ("merges" in rules.model ? "BPE" : "unknown");
  if (kind !== "BPE") throw unsupported(model, `its tokenizer is of the kind '${kind}'`);
  const pairs = check(BPE, rules.model, path);
  if (pairs.continuing_subword_prefix || pairs.end_of_word_suffix) {
    throw unsupported(model, "its tokenizer marks parts of words by prefixes or suffixes");
  }
  return {
    vocabulary: new Map(Object.entries(pairs.vocab)),
    merges: pairs.merges.map((merge): Merge => {
      if (typeof merge !== "string") return merge;
      const [left, ...right] = merge.split(" ");
      return [left, right.join(" ")];
    }),
    added: rules.added_tokens,
    normalizers: steps(rules.normalizer, "normalizers"),
    preTokenizers: steps(rules.pre_tokenizer, "pretokenizers"),
    postProcessors: steps(rules.post_processor, "processors"),
    byteFallback: pairs.byte_fallback ?? false,
    ignoreMerges: pairs.ignore_merges ?? false,
    ...(pairs.unk_token ? { unknownToken: pairs.unk_token } : {}),
  };
}

/** A step, or the steps of a sequence. */
function steps(value: unknown, inner: string): readonly Step[] {
  if (typeof value !== "object" || value === null) return [];
  const step = value as Step;
  if (step.type !== "Sequence") return [step];
  const list = step[inner];
  return Array.isArray(list) ? list.flatMap((each) => steps(each, inner)) : [];
}

/** Templates stand in the settings, or in files of their own, which newer writers prefer. */
async function readChatTemplates(
  folder: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<ReadonlyMap<string, string>> {
  const templates = new Map<string, string>();
  const inFile = asObject(await readJson(`${folder}/chat_template.json`)).chat_template;
  for (const given of [settings.chat_template, inFile]) {
    if (typeof given === "string") templates.set("default", given);
    for (const each of Array.isArray(given) ? given : []) {
      const { name, template } = asObject(each);
      if (typeof name === "string" && typeof template === "string") templates.set(name, template);
    }
  }
  const jinja = await readText(`${folder}/chat_template.jinja`);
  if (jinja !== undefined) templates.set("default", jinja);
  return templates;
}

/**
 * The error for a tokenizer that llama.cpp does not have.
 *
 * @param model The model
 * @param reason What stands in the way, as the beginning of a sentence
 * @returns The error
 */
export function unsupported(model: Pick<Model, "name">, reason: string): ExportError {
  return new ExportError(
    `Cannot write '${model.name}' as GGUF: ${reason}, which llama.cpp cannot follow exactly; use --format hf or onnx`,
  );
}

function check<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path: field, message } = result.error.issues[0];
  throw new ExportError(`Cannot use '${path}': '${field.join(".")}': ${message}`, {
    cause: result.error,
  });
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    return parseJson(text);
  } catch (error) {
    throw new ExportError(`Cannot read '${path}': ${unusableReason(error)}`, { cause: error });
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new ExportError(`Cannot read '${path}': ${unusableReason(error)}`, { cause: error });
  }
}
