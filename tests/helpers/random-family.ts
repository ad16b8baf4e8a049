/**
 * Random models of any family, from a config alone, with a byte-level tokenizer that works.
 * @module
 */
import { parseConfig } from "../../core/model/config.ts";
import { familyOf } from "../../core/model/families.ts";
import { encode, numberCount } from "../../core/model/number_formats.ts";
import { openModel } from "../../core/model/open.ts";
import { writeSafetensors } from "../../core/model/safetensors_writer.ts";
import { storedTensors } from "../../core/model/stored.ts";
import type { Model } from "../../core/model/types.ts";
import { outerRoles, outerTensorShape } from "../../core/model/units.ts";
import { END_TOKEN, normalNumbers, writeRandomModel } from "./random-model.ts";

/** Fields of a small config that most families read. */
export const smallSizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  max_position_embeddings: 128,
} as const;

/**
 * Writes a random model and opens it. Numbers are float32.
 *
 * @param folder Where to write it
 * @param config The fields of its `config.json`; vocabulary and special tokens are the tokenizer's
 * @returns The model
 */
export async function randomFamily(
  folder: string,
  config: Readonly<Record<string, unknown>>,
): Promise<Model> {
  await writeRandomModel({ folder });
  const ids = { bos_token_id: END_TOKEN, eos_token_id: END_TOKEN, vocab_size: 257 };
  const whole = { ...config, ...ids };
  const architecture = parseConfig(whole, "config.json");
  const family = familyOf(architecture.family);
  const tensors = [
    ...outerRoles(architecture).map((role) => ({
      name: family.outerTensors[role]!,
      shape: outerTensorShape(architecture, role),
      isNorm: role.startsWith("finalNorm.w"),
      deviation: 0.3,
    })),
    ...architecture.layers.flatMap((shape, layer) =>
      storedTensors(architecture, shape, layer).map((stored) => ({
        ...stored,
        isNorm: /norm\.weight$/i.test(stored.roles[0]),
        deviation: stored.shape.length === 1 ? 0.2 : 1 / Math.sqrt(architecture.hiddenSize),
      }))
    ),
  ];
  const entries = tensors.map(({ name, shape, isNorm, deviation }, index) => ({
    name,
    shape,
    dataType: "F32" as const,
    bytes: () => {
      const next = normalNumbers(index + 1);
      const mean = isNorm && architecture.normOffset === undefined ? 1 : 0;
      return encode(
        Float32Array.from({ length: numberCount(shape) }, () => mean + deviation * next()),
        "F32",
      );
    },
  }));
  await writeSafetensors(`${folder}/model.safetensors`, entries);
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(whole));
  return await openModel(folder);
}
