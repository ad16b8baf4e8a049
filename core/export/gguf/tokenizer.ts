/**
 * A model's tokenizer as the keys of a GGUF file. llama.cpp has two kinds that work by pairs: `gpt2`, on bytes, with
 * merges, and `llama`, on characters as sentencepiece does, with scores.
 * @module
 */
import { ExportError } from "../../errors.ts";
import type { Model } from "../../model/types.ts";
import type { GgufValue } from "./format.ts";
import { sentencepieceKeys } from "./sentencepiece.ts";
import { tokenTable } from "./token_table.ts";
import {
  type PairTokenizer,
  readTokenizerFiles,
  type TokenizerFiles,
  unsupported,
} from "./tokenizer_files.ts";
import { wordSplittingName } from "./word_splitting.ts";

/**
 * The keys of a model's tokenizer.
 *
 * @param model The model
 * @returns Keys and values
 * @throws {ExportError} if the files are missing or broken, or llama.cpp has no such tokenizer
 */
export async function tokenizerKeys(model: Model): Promise<ReadonlyMap<string, GgufValue>> {
  const files = await readTokenizerFiles(model);
  const { tokenizer } = files;
  const table = tokenTable(model, tokenizer);
  const isByteLevel = tokenizer.preTokenizers.some(({ type }) => type === "ByteLevel");
  const own = isByteLevel
    ? byteLevelKeys(model, tokenizer)
    : sentencepieceKeys(model, tokenizer, table);
  return new Map<string, GgufValue>([
    ...own,
    ["tokenizer.ggml.tokens", { type: "string", value: table.texts }],
    ["tokenizer.ggml.token_type", { type: "int32", value: table.types }],
    ...specialKeys(model, files),
    ...templateKeys(files),
  ]);
}

function byteLevelKeys(model: Model, tokenizer: PairTokenizer): ReadonlyMap<string, GgufValue> {
  const stranger = tokenizer.normalizers.find(({ type }) => type !== "NFC");
  if (stranger !== undefined) {
    throw unsupported(model, `its tokenizer normalizes texts by '${stranger.type}'`);
  }
  const name = wordSplittingName(tokenizer);
  if (name === undefined) {
    throw unsupported(model, "its tokenizer cuts words by a rule of its own");
  }
  const merges = tokenizer.merges.map((pair) => pair.join(" "));
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: name }],
    ["tokenizer.ggml.merges", { type: "string", value: merges }],
  ]);
}

function* specialKeys(
  model: Model,
  { tokenizer, settings, generation }: TokenizerFiles,
): Generator<readonly [string, GgufValue]> {
  const numberOf = (name: unknown, ...fallbacks: readonly unknown[]) =>
    tokenNumber(tokenizer, name) ??
      fallbacks.flat().find((value): value is number => typeof value === "number");
  const { config } = model;
  const end = numberOf(settings.eos_token, config.eos_token_id, generation.eos_token_id);
  if (end === undefined) {
    throw new ExportError(
      `Cannot write '${model.name}' as GGUF: nothing says which token ends a text; name 'eos_token' in its tokenizer_config.json`,
    );
  }
  // Without a start token llama.cpp would take one by its number; the end token harms nobody, since none is added.
  const start = numberOf(settings.bos_token, config.bos_token_id) ?? end;
  const others = [generation.eos_token_id, config.eos_token_id].flat()
    .filter((id): id is number => typeof id === "number" && id !== end);
  const numbers = {
    bos: start,
    eos: end,
    eot: others[0],
    unknown: numberOf(tokenizer.unknownToken ?? settings.unk_token),
    padding: numberOf(settings.pad_token, config.pad_token_id),
  };
  for (const [word, value] of Object.entries(numbers)) {
    if (value !== undefined) yield [`tokenizer.ggml.${word}_token_id`, { type: "uint32", value }];
  }
  const around = specialTokensAround(tokenizer);
  const added = (setting: unknown, token: number, position: "first" | "last"): GgufValue => ({
    type: "bool",
    value: typeof setting === "boolean"
      ? setting
      : tokenNumber(tokenizer, around[position]) === token,
  });
  yield ["tokenizer.ggml.add_bos_token", added(settings.add_bos_token, start, "first")];
  yield ["tokenizer.ggml.add_eos_token", added(settings.add_eos_token, end, "last")];
}

function* templateKeys({ chatTemplates }: TokenizerFiles): Generator<readonly [string, GgufValue]> {
  const names: string[] = [];
  for (const [name, value] of chatTemplates) {
    const isDefault = name === "default";
    if (!isDefault) names.push(name);
    yield [`tokenizer.chat_template${isDefault ? "" : `.${name}`}`, { type: "string", value }];
  }
  if (names.length > 0) yield ["tokenizer.chat_templates", { type: "string", value: names }];
}

/** The number of a token by its name: a string, or an object with `content`. */
function tokenNumber(tokenizer: PairTokenizer, name: unknown): number | undefined {
  const content = typeof name === "object" && name !== null && "content" in name
    ? name.content
    : name;
  if (typeof content !== "string") return undefined;
  return tokenizer.added.find((token) => token.content === content)?.id ??
    tokenizer.vocabulary.get(content);
}

/** The special tokens that the tokenizer's template puts before and after a text. */
function specialTokensAround(
  { postProcessors }: PairTokenizer,
): { readonly first?: string; readonly last?: string } {
  const template = postProcessors.find(({ type }) => type === "TemplateProcessing")?.single;
  if (!Array.isArray(template) || template.length === 0) return {};
  const nameOf = (part: { readonly SpecialToken?: { readonly id?: string } }) =>
    part.SpecialToken?.id;
  return { first: nameOf(template[0]), last: nameOf(template[template.length - 1]) };
}
