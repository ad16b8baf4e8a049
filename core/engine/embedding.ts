/**
 * The embedding: rows of a table, from memory while it is small and from its file otherwise.
 * @module
 */
import { EngineError } from "../errors.ts";
import { outerTensor } from "../model/open.ts";
import { readRows, readTensor } from "../model/tensor_reader.ts";
import type { Model } from "../model/types.ts";
import type { Embedding } from "./types.ts";

/** Bytes of the table in float32 up to which it is kept in memory. */
const TABLE_LIMIT = 256 * 1024 * 1024;

/**
 * Prepares the embedding of a model.
 *
 * @param model The model
 * @returns The embedding
 * @throws {ModelError} if its table cannot be read
 */
export async function openEmbedding(model: Model): Promise<Embedding> {
  const { hiddenSize, vocabularySize } = model.architecture;
  const tensor = outerTensor(model, "embedding.weight");
  const small = 4 * vocabularySize * hiddenSize <= TABLE_LIMIT;
  let table = small ? await readTensor(tensor) : undefined;
  return {
    lookup: async (tokens) => {
      checkTokens(tokens, vocabularySize);
      const rows = new Float32Array(tokens.length * hiddenSize);
      const known = new Map<number, Float32Array>();
      for (let index = 0; index < tokens.length; index++) {
        const token = tokens[index];
        let row = table?.subarray(token * hiddenSize, (token + 1) * hiddenSize) ?? known.get(token);
        if (row === undefined) {
          row = await readRows(tensor, token, 1);
          known.set(token, row);
        }
        rows.set(row, index * hiddenSize);
      }
      return rows;
    },
    close: () => {
      table = undefined;
      return Promise.resolve();
    },
  };
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
