import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseConfig } from "../../core/model/config.ts";
import {
  blockParameters,
  blockRoles,
  blockTensorShape,
  outerRoles,
  parameterCount,
  prunableParameters,
  STRUCTURES,
  unitCount,
  unitCuts,
  unitParameters,
  withUnits,
} from "../../core/model/units.ts";

const architectureOf = (changes: Readonly<Record<string, unknown>> = {}) =>
  parseConfig({
    model_type: "llama",
    hidden_size: 64,
    num_hidden_layers: 2,
    intermediate_size: 176,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 8,
    vocab_size: 100,
    tie_word_embeddings: true,
    ...changes,
  }, "config.json");

Deno.test("unitCuts() cuts a neuron's rows of gate and up and its column of down", () => {
  const architecture = architectureOf();
  assertEquals(unitCuts(architecture, architecture.layers[0], "ffn"), [
    { role: "gate_proj.weight", axis: 0, size: 1 },
    { role: "up_proj.weight", axis: 0, size: 1 },
    { role: "down_proj.weight", axis: 1, size: 1 },
  ]);
});

Deno.test("unitCuts() cuts a group's key/value head, its query heads and their columns", () => {
  const architecture = architectureOf({ attention_bias: true });
  assertEquals(unitCuts(architecture, architecture.layers[0], "heads"), [
    { role: "q_proj.weight", axis: 0, size: 24 },
    { role: "q_proj.bias", axis: 0, size: 24 },
    { role: "k_proj.weight", axis: 0, size: 8 },
    { role: "k_proj.bias", axis: 0, size: 8 },
    { role: "v_proj.weight", axis: 0, size: 8 },
    { role: "v_proj.bias", axis: 0, size: 8 },
    { role: "o_proj.weight", axis: 1, size: 24 },
  ]);
});

Deno.test("unitParameters() is 3 × hidden for a neuron, hidden × headSize × (2q + 2) for a group", () => {
  const architecture = architectureOf();
  assertEquals(unitParameters(architecture, architecture.layers[0], "ffn"), 3 * 64);
  assertEquals(unitParameters(architecture, architecture.layers[0], "heads"), 64 * 8 * 8);
});

Deno.test("unitParameters() counts the biases that go with a unit", () => {
  const architecture = architectureOf({ attention_bias: true, mlp_bias: true });
  assertEquals(unitParameters(architecture, architecture.layers[0], "ffn"), 3 * 64 + 2);
  assertEquals(unitParameters(architecture, architecture.layers[0], "heads"), 64 * 8 * 8 + 8 * 5);
});

Deno.test("parameterCount() falls by unitParameters() for every unit that goes", () => {
  fc.assert(fc.property(
    fc.record({ attention_bias: fc.boolean(), mlp_bias: fc.boolean() }),
    fc.constantFrom(...STRUCTURES),
    fc.integer({ min: 1, max: 2 }),
    (switches, structure, kept) => {
      const architecture = architectureOf(switches);
      const [first, second] = architecture.layers;
      const smaller = [withUnits(first, structure, kept), second];
      const removed = unitCount(first, structure) - kept;
      assertEquals(
        parameterCount(architecture) - parameterCount(architecture, smaller),
        removed * unitParameters(architecture, first, structure),
      );
    },
  ));
});

Deno.test("withUnits() keeps the queries of a group", () => {
  const shape = { ffnWidth: 10, keyValueHeads: 4, queryHeads: 12 };
  assertEquals(withUnits(shape, "heads", 3), { ffnWidth: 10, keyValueHeads: 3, queryHeads: 9 });
  assertEquals(withUnits(shape, "ffn", 3), { ffnWidth: 3, keyValueHeads: 4, queryHeads: 12 });
});

Deno.test("prunableParameters() is all of a block but its norms and the biases that stay", () => {
  const architecture = architectureOf({ attention_bias: true, mlp_bias: true });
  const { ffn, heads } = prunableParameters(architecture);
  // Two norms, and the biases of o and down.
  const staying = 4 * architecture.hiddenSize;
  const blocks = architecture.layers.reduce((sum, s) => sum + blockParameters(architecture, s), 0);
  assertEquals(ffn + heads, blocks - 2 * staying);
});

Deno.test("prunableParameters() takes layers of different sizes", () => {
  const architecture = architectureOf({ per_layer_config: { "1": { intermediate_size: 4 } } });
  assertEquals(prunableParameters(architecture).ffn, (176 + 4) * 3 * 64);
});

Deno.test("parameterCount() counts a tied embedding once", () => {
  const tied = parameterCount(architectureOf());
  assertEquals(parameterCount(architectureOf({ tie_word_embeddings: false })), tied + 100 * 64);
  assertEquals(outerRoles(architectureOf()), ["embedding.weight", "finalNorm.weight"]);
});

Deno.test("blockTensorShape() gives projections as [out, in] and biases as [out]", () => {
  const architecture = architectureOf({ attention_bias: true, mlp_bias: true });
  const shapes = Object.fromEntries(
    blockRoles(architecture).map((
      role,
    ) => [role, blockTensorShape(architecture, architecture.layers[0], role)]),
  );
  assertEquals(shapes["q_proj.weight"], [48, 64]);
  assertEquals(shapes["k_proj.weight"], [16, 64]);
  assertEquals(shapes["o_proj.weight"], [64, 48]);
  assertEquals(shapes["down_proj.weight"], [64, 176]);
  assertEquals(shapes["up_proj.bias"], [176]);
  assertEquals(shapes["o_proj.bias"], [64]);
  assertEquals(shapes["ffnNorm.weight"], [64]);
});
