import { assert, assertEquals, assertThrows } from "@std/assert";
import { ModelError } from "../../core/errors.ts";
import { blockTensorName, FAMILIES, familyOf } from "../../core/model/families.ts";

Deno.test("familyOf() refuses a type that it does not know and says which it knows", () => {
  assertThrows(() => familyOf("bert"), ModelError, "'bert'");
  assertThrows(() => familyOf("bert"), ModelError, "llama, mistral");
});

Deno.test("FAMILIES have unique types, and biases of tensors that they have", () => {
  const types = FAMILIES.flatMap(({ modelTypes }) => modelTypes);
  assertEquals(new Set(types).size, types.length);
  for (const family of FAMILIES) {
    const roles = new Set(Object.keys(family.blockTensors));
    for (const role of family.biases.flatMap(({ roles }) => roles)) assert(roles.has(role));
    for (const name of Object.values(family.blockTensors)) assert(name.includes("{layer}"));
  }
});

Deno.test("blockTensorName() puts the layer's number in", () => {
  assertEquals(
    blockTensorName(familyOf("llama"), "q_proj.weight", 12),
    "model.layers.12.self_attn.q_proj.weight",
  );
  const without = { ...familyOf("llama"), blockTensors: {} };
  assertThrows(() => blockTensorName(without, "q_proj.bias", 0), ModelError, "q_proj.bias");
});
