import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import {
  type Change,
  changeRequest,
  type History,
  redo,
  remember,
  undo,
} from "../../../core/session/live/choices.ts";
import { type PlanOptions, resolveRequest } from "../../../core/plan/request.ts";
import type { PlanRequest } from "../../../core/plan/types.ts";

const layers = Array.from(
  { length: 4 },
  () => ({ ffnWidth: 96, keyValueHeads: 4, queryHeads: 8 }),
);
const requestOf = (options: PlanOptions = {}) => resolveRequest(options, layers);
const changed = (request: PlanRequest, change: Change) => {
  const result = changeRequest(request, change, layers);
  assert("request" in result, JSON.stringify(result));
  return result.request;
};

Deno.test("changeRequest() moves the sparsity on whole percents and stays in range", () => {
  const from = (sparsity: number, by: number) =>
    changed(requestOf({ sparsity }), { type: "sparsity", by }).sparsity;
  assertEquals(from(0.3, 0.01), 0.31);
  assertEquals(from(0.3, -0.05), 0.25);
  assertEquals(from(0.335, 0.01), 0.35);
  assertEquals(from(0, -0.01), 0);
  assertEquals(from(0.95, 0.05), 0.95);
  // What is typed on a command line is the same number.
  for (let percent = 1; percent < 95; percent++) {
    assertEquals(from((percent - 1) / 100, 0.01), Number(`0.${String(percent).padStart(2, "0")}`));
  }
});

Deno.test("changeRequest() goes round the choices of a key", () => {
  let request = requestOf();
  const round = (type: "structures" | "modules" | "metric" | "refit", times: number) =>
    Array.from({ length: times }, () => {
      request = changed(request, { type });
      return String(request[type]);
    });
  assertEquals(round("structures", 3), ["ffn", "heads", "ffn,heads"]);
  assertEquals(round("modules", 4), ["8", "1", "2", "4"]);
  assertEquals(round("metric", 4), ["wanda-sp", "wifv", "rms", "obs"]);
  assertEquals(round("refit", 3), ["bias", "none", "lsq"]);
});

Deno.test("changeRequest() protects and shifts single layers in the adaptive shape alone", () => {
  const refused = changeRequest(requestOf(), { type: "protect", layer: 1 }, layers);
  assert("refused" in refused && /press u/.test(refused.refused));
  let request = changed(requestOf(), { type: "shape" });
  request = changed(request, { type: "protect", layer: 3 });
  request = changed(request, { type: "protect", layer: 1 });
  assertEquals(request.protectedLayers, [1, 3]);
  assert("refused" in changeRequest(request, { type: "budget", layer: 1, direction: 1 }, layers));
  request = changed(request, { type: "budget", layer: 2, direction: 1 });
  request = changed(request, { type: "budget", layer: 2, direction: 1 });
  request = changed(request, { type: "budget", layer: 0, direction: -1 });
  assertEquals(request.layerBudgets, [{ layer: 0, factor: 0.8 }, { layer: 2, factor: 1.56 }]);
  request = changed(request, { type: "budget", layer: 2, direction: -1 });
  request = changed(request, { type: "budget", layer: 2, direction: -1 });
  assertEquals(request.layerBudgets, [{ layer: 0, factor: 0.8 }]);
  const uniform = changed(request, { type: "shape" });
  assertEquals([uniform.protectedLayers, uniform.layerBudgets], [undefined, undefined]);
});

Deno.test("changeRequest() says why a baseline's metric stays", () => {
  const refused = changeRequest(requestOf({ method: "flap" }), { type: "metric" }, layers);
  assert("refused" in refused && /flap/.test(refused.refused));
});

const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom(-0.05, -0.01, 0.01, 0.05).map((by) => ({ type: "sparsity" as const, by })),
  fc.constantFrom("structures", "modules", "metric", "refit", "shape").map((type) =>
    ({ type }) as Change
  ),
  fc.integer({ min: 0, max: 3 }).map((layer) => ({ type: "protect" as const, layer })),
  fc.record({
    type: fc.constant("budget" as const),
    layer: fc.integer({ min: 0, max: 3 }),
    direction: fc.constantFrom(1 as const, -1 as const),
  }),
);

Deno.test("undo() and redo() lead back and forth through any changes", () => {
  fc.assert(fc.property(fc.array(anyChange, { maxLength: 20 }), (changes) => {
    const start: History = { past: [], present: requestOf(), future: [] };
    let history = start;
    for (const change of changes) {
      const result = changeRequest(history.present, change, layers);
      if ("request" in result) history = remember(history, result.request, change.type);
    }
    const end = history.present;
    const steps = history.past.length;
    for (let step = 0; step < steps; step++) history = undo(history);
    assertEquals(history.present, start.present);
    assertEquals(undo(history), history);
    for (let step = 0; step < steps; step++) history = redo(history);
    assertEquals(history.present, end);
    assertEquals(redo(history), history);
  }));
});

Deno.test("remember() takes moves of the sparsity in a row for one change", () => {
  let history: History = { past: [], present: requestOf(), future: [] };
  for (let step = 0; step < 5; step++) {
    const request = changed(history.present, { type: "sparsity", by: 0.01 });
    history = remember(history, request, "sparsity");
  }
  assertEquals([history.present.sparsity, undo(history).present.sparsity], [0.35, 0.3]);
  const after = remember(undo(history), requestOf({ sparsity: 0.5 }), "sparsity");
  assertEquals(after.past.length, 1);
});
