/**
 * The embedding: rows of a table, from memory while it is small and from its file otherwise; scaled, and with rows of the
 * learned positions, where the model says so.
 * @module
 */
import { EngineError } from "../errors.ts";
import { outerTensor } from "../model/open.ts";
import { openRows, readRows, readTensor } from "../model/tensor_reader.ts";
import type { Model } from "../model/types.ts";
import { ordinaryLimits } from "./memory.ts";
import type { Embedding, TextPlace } from "./types.ts";

/**
 * Prepares the embedding of a model.
 *
 * @param model The model
 * @param tableBytes Bytes of the table in float32 up to which it is kept in memory
 * @returns The embedding
 * @throws {ModelError} if its table cannot be read
 */
export async function openEmbedding(
  model: Model,
  tableBytes: number = ordinaryLimits.tableBytes,
): Promise<Embedding> {
  const { hiddenSize, vocabularySize, embeddingScale, positionOffset } = model.architecture;
  let positions = positionOffset === undefined ? undefined : await learnedPositions(model);
  const tensor = outerTensor(model, "embedding.weight");
  const small = 4 * vocabularySize * hiddenSize <= tableBytes;
  let table = small ? await readTensor(tensor) : undefined;
  let file = small ? undefined : openRows(tensor);
  const readRow = (token: number, target: Float32Array) => {
    if (table === undefined) (file ??= openRows(tensor)).read(token, target);
    else target.set(table.subarray(token * hiddenSize, (token + 1) * hiddenSize));
  };
  const lookUp = (tokens: ArrayLike<number>, at?: TextPlace) => {
    checkTokens(tokens, vocabularySize);
    const rows = new Float32Array(tokens.length * hiddenSize);
    // Where each token has been put already.
    const places = new Map<number, number>();
    for (let index = 0; index < tokens.length; index++) {
      const place = index * hiddenSize, known = places.get(tokens[index]);
      if (known !== undefined) rows.copyWithin(place, known, known + hiddenSize);
      else readRow(tokens[index], rows.subarray(place, place + hiddenSize));
      places.set(tokens[index], place);
    }
    if (embeddingScale !== undefined) {
      const scale = Math.fround(embeddingScale);
      for (let index = 0; index < rows.length; index++) rows[index] *= scale;
    }
    if (positions !== undefined) addPositions(rows, tokens.length, positions, model, at);
    return rows;
  };
  return {
    lookup: (tokens, at) => new Promise((resolve) => resolve(lookUp(tokens, at))),
    close: () => {
      table = undefined;
      file?.close();
      file = undefined;
      positions = undefined;
      return Promise.resolve();
    },
  };
}

/** The rows from position 0 on, `[maxPositions, hidden]`. */
async function learnedPositions(model: Model): Promise<Float32Array> {
  const { maxPositions, positionOffset = 0 } = model.architecture;
  return await readRows(outerTensor(model, "positions.weight"), positionOffset, maxPositions);
}

function addPositions(
  rows: Float32Array,
  tokens: number,
  positions: Float32Array,
  { architecture: { hiddenSize, maxPositions } }: Model,
  at: TextPlace | undefined,
): void {
  if (at === undefined) {
    throw new EngineError(
      "Cannot embed tokens: this model has learned positions, and nothing says where the tokens stand",
    );
  }
  const { length, first = 0 } = at;
  if (first + length > maxPositions) {
    throw new EngineError(
      `Cannot embed the token at position ${
        first + length - 1
      }: the model has learned ${maxPositions} positions; use a shorter --seq-len`,
    );
  }
  for (let token = 0; token < tokens; token++) {
    const position = first + token % length;
    for (let channel = 0; channel < hiddenSize; channel++) {
      rows[token * hiddenSize + channel] += positions[position * hiddenSize + channel];
    }
  }
}

function checkTokens(tokens: ArrayLike<number>, vocabularySize: number): void {
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index];
    if (Number.isInteger(token) && token >= 0 && token < vocabularySize) continue;
    throw new EngineError(
      `Cannot look up token '${token}': the vocabulary has ${vocabularySize} tokens`,
    );
  }
}
