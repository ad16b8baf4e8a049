import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ModelError } from "../../core/errors.ts";
import { parseConfig, type RawConfig, readConfig } from "../../core/model/config.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const BASE: RawConfig = {
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 3,
  intermediate_size: 176,
  num_attention_heads: 4,
  vocab_size: 512,
};

const parse = (changes: RawConfig) => parseConfig({ ...BASE, ...changes }, "a/config.json");

Deno.test("parseConfig() takes the reference implementation's defaults for what is left out", () => {
  assertEquals(parse({}), {
    family: "llama",
    hiddenSize: 64,
    headSize: 16,
    vocabularySize: 512,
    maxPositions: 2048,
    normEpsilon: 1e-6,
    activation: "silu",
    rotary: {
      theta: 10000,
      scaling: "default",
      inverseFrequencies: parse({}).rotary.inverseFrequencies,
      attentionFactor: 1,
    },
    tiedEmbedding: false,
    biases: [],
    layers: Array(3).fill({ ffnWidth: 176, keyValueHeads: 4, queryHeads: 4 }),
  });
});

Deno.test("parseConfig() takes head size and key/value heads from the config", () => {
  const { headSize, layers } = parse({ head_dim: 24, num_key_value_heads: 2 });
  assertEquals(headSize, 24);
  assertEquals(layers[0], { ffnWidth: 176, keyValueHeads: 2, queryHeads: 4 });
  assertEquals(parse({ head_dim: null, num_key_value_heads: null }).layers[0].keyValueHeads, 4);
});

Deno.test("parseConfig() names the biases that a llama's switches bring", () => {
  assertEquals(parse({ attention_bias: true }).biases, [
    "q_proj.bias",
    "k_proj.bias",
    "v_proj.bias",
    "o_proj.bias",
  ]);
  assertEquals(parse({ mlp_bias: true }).biases, [
    "gate_proj.bias",
    "up_proj.bias",
    "down_proj.bias",
  ]);
});

Deno.test("parseConfig() gives a mistral its window, its heads and no biases", () => {
  const mistral = (changes: RawConfig) =>
    parse({ model_type: "mistral", num_attention_heads: 8, ...changes });
  assertEquals(mistral({}).slidingWindow, 4096);
  assertEquals(mistral({}).layers[0].keyValueHeads, 8);
  assertEquals(mistral({ sliding_window: 128 }).slidingWindow, 128);
  assertEquals(mistral({ sliding_window: null }).slidingWindow, undefined);
  assertEquals(mistral({ attention_bias: true, mlp_bias: true }).biases, []);
  assertEquals(parse({ sliding_window: 128 }).slidingWindow, undefined);
});

Deno.test("parseConfig() finds the rotary base at the top, in rope_parameters and with old names", () => {
  assertEquals(parse({ rope_theta: 5e5 }).rotary.theta, 5e5);
  assertEquals(
    parse({ rope_parameters: { rope_type: "default", rope_theta: 7e5 } }).rotary.theta,
    7e5,
  );
  const linear = parse({ rope_scaling: { type: "linear", factor: 2 } }).rotary;
  assertEquals([linear.scaling, linear.inverseFrequencies[0]], ["linear", 0.5]);
  assertEquals(parse({ rope_scaling: null }).rotary.scaling, "default");
  assertEquals(
    parse({ rope_scaling: { rope_type: "dynamic", factor: 2 } }).rotary.scaling,
    "dynamic",
  );
});

Deno.test("parseConfig() passes on the numbers of llama3 and yarn scaling", () => {
  const llama3 = parse({
    rope_parameters: {
      rope_type: "llama3",
      rope_theta: 500000,
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  }).rotary;
  assertAlmostEquals(llama3.inverseFrequencies[7] * 32, 500000 ** (-14 / 16), 1e-12);
  const yarn = parse({
    rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 512 },
  }).rotary;
  assertAlmostEquals(yarn.attentionFactor, 1 + 0.1 * Math.log(4), 1e-12);
});

Deno.test("parseConfig() knows the names of activations", () => {
  for (
    const [name, activation] of [
      ["silu", "silu"],
      ["swish", "silu"],
      ["gelu", "gelu"],
      ["gelu_new", "gelu_tanh"],
      ["gelu_pytorch_tanh", "gelu_tanh"],
      ["relu", "relu"],
    ]
  ) assertEquals(parse({ hidden_act: name }).activation, activation);
});

Deno.test("parseConfig() lets per_layer_config override the sizes of layers", () => {
  const { layers } = parse({
    num_key_value_heads: 2,
    per_layer_config: {
      "0": { intermediate_size: 10 },
      "2": { intermediate_size: 7, num_attention_heads: 2, num_key_value_heads: 1 },
    },
  });
  assertEquals(layers, [
    { ffnWidth: 10, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 176, keyValueHeads: 2, queryHeads: 4 },
    { ffnWidth: 7, keyValueHeads: 1, queryHeads: 2 },
  ]);
});

const REFUSED: readonly [changes: RawConfig, message: string][] = [
  [{ model_type: undefined }, "'model_type' is missing"],
  [{ model_type: 3 }, "'model_type' is missing"],
  [
    { model_type: "bert" },
    "'model_type' is 'bert': gprune prunes models of the types llama, mistral",
  ],
  [{ model_type: "__proto__" }, "'model_type'"],
  [{ hidden_size: undefined }, "'hidden_size' is missing"],
  [{ hidden_size: null }, "'hidden_size' is null"],
  [{ hidden_size: "64" }, "'hidden_size' is \"64\", and a number is wanted"],
  [{ hidden_size: -64 }, "'hidden_size' is -64, and at least 1 is wanted"],
  [{ hidden_size: 0 }, "'hidden_size'"],
  [{ hidden_size: 64.5 }, "'hidden_size' is 64.5, and a whole number is wanted"],
  [{ hidden_size: 1e300 }, "'hidden_size'"],
  [{ hidden_size: NaN }, "'hidden_size'"],
  [{ hidden_size: 66 }, "'hidden_size' 66 is not a multiple of 'num_attention_heads' 4"],
  [{ num_hidden_layers: 0 }, "'num_hidden_layers'"],
  [{ num_hidden_layers: 100000 }, "'num_hidden_layers' is 100000, and at most 2048 is wanted"],
  [{ intermediate_size: undefined }, "'intermediate_size' is missing"],
  [{ intermediate_size: [176] }, "'intermediate_size' is [176]"],
  [{ num_attention_heads: undefined }, "'num_attention_heads' is missing"],
  [{ num_key_value_heads: 3 }, "'num_attention_heads' 4 is not a multiple of"],
  [{ num_key_value_heads: 8 }, "'num_attention_heads' 4 is not a multiple of"],
  [{ head_dim: 7 }, "the head size 7 is odd"],
  [{ head_dim: -8 }, "'head_dim'"],
  [{ vocab_size: undefined }, "'vocab_size' is missing"],
  [{ max_position_embeddings: -1 }, "'max_position_embeddings'"],
  [{ rms_norm_eps: "tiny" }, "'rms_norm_eps'"],
  [{ rms_norm_eps: -1 }, "'rms_norm_eps'"],
  [{ rope_theta: 0 }, "'rope_theta' is 0, and more than 0 is wanted"],
  [{ rope_scaling: 2 }, "'rope_scaling' is 2, and an object is wanted"],
  [{ rope_scaling: { rope_type: "proportional" } }, "'rope_scaling.rope_type' is \"proportional\""],
  [{ rope_parameters: { rope_type: 3 } }, "'rope_parameters.rope_type' is 3"],
  [{ rope_scaling: { type: "linear" } }, "'rope_scaling.factor' is missing"],
  [{ rope_scaling: { type: "linear", factor: -2 } }, "'rope_scaling.factor' is -2"],
  [{ rope_scaling: { type: "yarn" } }, "'rope_scaling.factor' is missing"],
  [
    { rope_scaling: { type: "llama3", factor: 8 } },
    "'rope_scaling.original_max_position_embeddings'",
  ],
  [
    {
      rope_scaling: {
        type: "llama3",
        factor: 8,
        original_max_position_embeddings: 512,
        low_freq_factor: 4,
        high_freq_factor: 4,
      },
    },
    "'rope_scaling.high_freq_factor' is not above",
  ],
  [{ rope_theta: 1, rope_scaling: { type: "yarn", factor: 2 } }, "gives no finite rotations"],
  [{ partial_rotary_factor: 0.5 }, "'partial_rotary_factor' is 0.5"],
  [{ hidden_act: "elu" }, "'hidden_act' is 'elu'"],
  [{ hidden_act: "constructor" }, "'hidden_act' is 'constructor'"],
  [{ hidden_act: null }, "'hidden_act' is null"],
  [{ tie_word_embeddings: "yes" }, "'tie_word_embeddings' is \"yes\", and true or false is wanted"],
  [{ attention_bias: 1 }, "'attention_bias' is 1, and true or false is wanted"],
  [{ quantization_config: { bits: 4 } }, "'quantization_config'"],
  [{ model_type: "mistral", num_attention_heads: 8, sliding_window: 0 }, "'sliding_window'"],
  [{ per_layer_config: [] }, "'per_layer_config' is []"],
  [
    { per_layer_config: { "3": {} } },
    "'per_layer_config' has layer '3', and layers go from 0 to 2",
  ],
  [{ per_layer_config: { "01": {} } }, "'per_layer_config' has layer '01'"],
  [
    { per_layer_config: { "1": { intermediate_size: 0 } } },
    "'per_layer_config.1.intermediate_size'",
  ],
  [{ per_layer_config: { "1": { num_key_value_heads: 3 } } }, "4 of layer 1 is not a multiple"],
];

for (const [changes, message] of REFUSED) {
  Deno.test(`parseConfig() refuses ${JSON.stringify(changes)}`, () => {
    const error = assertThrows(() => parse(changes), ModelError, message);
    assert(error.message.startsWith("Cannot use 'a/config.json': "));
    assert(!error.message.endsWith(".") && !error.message.includes("\n"));
  });
}

Deno.test("parseConfig() meets any value in any field with a description or ModelError", () => {
  const fields = [
    ...Object.keys(BASE),
    "num_key_value_heads",
    "head_dim",
    "rope_scaling",
    "rope_parameters",
    "per_layer_config",
    "hidden_act",
    "rope_theta",
    "attention_bias",
  ];
  const value = fc.oneof(
    fc.jsonValue(),
    fc.record({ rope_type: fc.constantFrom("yarn", "llama3", "linear"), factor: fc.jsonValue() }),
  );
  fc.assert(fc.property(fc.constantFrom(...fields), value, (field, value) => {
    try {
      const { rotary } = parse({ [field]: value });
      assert(rotary.inverseFrequencies.every(Number.isFinite));
    } catch (error) {
      assert(error instanceof ModelError, `${error}`);
    }
  }));
});

Deno.test("readConfig() names a file that is missing or is not a JSON object", async () => {
  await withTemporaryFolder(async (folder) => {
    const path = `${folder}/config.json`;
    await assertRejects(() => readConfig(path), ModelError, `Cannot use '${path}': no such file`);
    for (const [text, message] of [["{", "not JSON"], ["", "not JSON"], ["[1]", "JSON object"]]) {
      await Deno.writeTextFile(path, text);
      await assertRejects(() => readConfig(path), ModelError, message);
    }
    await Deno.writeTextFile(path, '{"a":1}');
    assertEquals(await readConfig(path), { a: 1 });
  });
});

const sizes = {
  hidden_size: 32,
  num_hidden_layers: 4,
  intermediate_size: 48,
  num_attention_heads: 4,
  vocab_size: 64,
};
const old = { n_embd: 32, n_layer: 2, n_head: 4, vocab_size: 64 };

/** Switches that would change what is computed, and are refused by name. */
const UNSUPPORTED: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ model_type: "llama", ...sizes, alibi: true }, "'alibi' is true"],
  [{ model_type: "llama", ...sizes, num_experts: 8 }, "'num_experts' is 8"],
  [{ model_type: "llama", ...sizes, attn_logit_softcapping: 50 }, "'attn_logit_softcapping' is 50"],
  [{ model_type: "llama", ...sizes, layer_types: ["sliding_attention"] }, "'layer_types' is"],
  [{ model_type: "qwen3", ...sizes, no_rope_layers: [1, 0] }, "'no_rope_layers' is [1,0]"],
  [{ model_type: "qwen2", ...sizes, partial_rotary_factor: 0.5 }, "'partial_rotary_factor' is 0.5"],
  [
    { model_type: "qwen2", ...sizes, rope_parameters: { partial_rotary_factor: 0.5 } },
    "'partial_rotary_factor' is 0.5",
  ],
  [{
    model_type: "qwen3",
    ...sizes,
    use_sliding_window: true,
    layer_types: ["a", "b", "c", "d"],
  }, "'layer_types' has \"a\""],
  [{
    model_type: "qwen3",
    ...sizes,
    use_sliding_window: true,
    layer_types: ["full_attention"],
  }, "'layer_types' has 1 entries for 4 layers"],
  [
    { model_type: "gemma3_text", ...sizes, use_bidirectional_attention: true },
    "'use_bidirectional_attention' is true",
  ],
  [{ model_type: "gpt2", ...old, scale_attn_by_inverse_layer_idx: true }, "'scale_attn_by_inverse"],
  [{ model_type: "gpt2", ...old, add_cross_attention: true }, "'add_cross_attention' is true"],
  [{ model_type: "gpt2", ...old, n_embd: undefined }, "'n_embd' is missing"],
  [{ model_type: "gpt2", ...old, n_head: 0 }, "'n_head' is 0"],
  [{ model_type: "opt", ...sizes, ffn_dim: 64, do_layer_norm_before: false }, "'do_layer_norm_bef"],
  [{ model_type: "opt", ...sizes, ffn_dim: 64, word_embed_proj_dim: 16 }, "'word_embed_proj_dim'"],
  [{ model_type: "gpt_neox", ...sizes, rotary_pct: 0.01 }, "0 of 8 channels are rotated"],
  [{ model_type: "phi3", ...sizes, rope_scaling: { type: "longrope" } }, "short_factor' has 0"],
  [{ model_type: "smollm3", ...sizes, no_rope_layers: [1] }, "'no_rope_layers' has 1 entries"],
  [{ model_type: "mistral", ...sizes, quantization_config: {} }, "'quantization_config' says"],
];

for (const [config, message] of UNSUPPORTED) {
  const { model_type: type } = config;
  Deno.test(`parseConfig() refuses ${type} where ${message}`, () => {
    const error = assertThrows(() => parseConfig(config, "a/config.json"), ModelError, message);
    assert(!error.message.endsWith(".") && !error.message.includes("\n"));
  });
}

Deno.test("parseConfig() reads the old fields of Gemma 3 and the new ones alike", () => {
  const common = { model_type: "gemma3_text", ...sizes, num_hidden_layers: 6 };
  const older = parseConfig({
    ...common,
    sliding_window_pattern: 3,
    rope_theta: 1e5,
    rope_local_base_freq: 2e4,
    rope_scaling: { rope_type: "linear", factor: 8 },
  }, "config.json");
  const list = ["sliding_attention", "sliding_attention", "full_attention"];
  const newer = parseConfig({
    ...common,
    layer_types: [...list, ...list],
    rope_parameters: {
      full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e5 },
      sliding_attention: { rope_type: "default", rope_theta: 2e4 },
    },
  }, "config.json");
  assertEquals(older, newer);
  const kinds = older.layers.map(({ attention }) => attention).join(" ");
  assertEquals(kinds, "local local global local local global");
});

Deno.test("parseConfig() keeps to the length that longrope's short factors are for", () => {
  const { maxPositions, rotary } = parseConfig({
    model_type: "phi3",
    ...sizes,
    max_position_embeddings: 131072,
    original_max_position_embeddings: 4096,
    rope_scaling: { type: "su", short_factor: [1, 1, 2, 2], long_factor: [4, 4, 4, 4] },
  }, "config.json");
  assertEquals(maxPositions, 4096);
  assertAlmostEquals(rotary.attentionFactor, Math.sqrt(1 + Math.log(32) / Math.log(4096)), 1e-12);
});
