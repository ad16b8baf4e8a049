import { assert, assertEquals } from "@std/assert";
import { Planner } from "../../../core/session/live/planner.ts";
import { resolveRequest } from "../../../core/plan/request.ts";
import { makePlan } from "../../../core/plan/make_plan.ts";
import { largeModel, largeStatistics } from "../../helpers/large-statistics.ts";

Deno.test("Planner answers a key from what it has made: no statistics are read, and plans are makePlan()'s", async () => {
  const model = largeModel({ layers: 12, ffnWidth: 960, heads: 4 });
  const statistics = largeStatistics(model);
  let reads = 0;
  const counted = <T extends object>(value: T): T =>
    new Proxy(value, {
      get(target, name) {
        reads++;
        return Reflect.get(target, name);
      },
    });
  const layers = statistics.layers.map(({ ffn, heads }) => ({
    ffn: counted(ffn!),
    heads: counted(heads!),
  }));
  const planner = new Planner(model, { ...statistics, layers });
  const request = resolveRequest({ shape: "adaptive", sparsity: 0.3 }, model.architecture.layers);
  await planner.prepare(request);
  assert(reads > 0);
  for (const shape of ["uniform", "adaptive"] as const) {
    for (let percent = 31; percent <= 70; percent += 3) {
      const asked = { ...request, shape, sparsity: percent / 100 };
      const expected = makePlan(model, statistics, asked);
      reads = 0;
      assertEquals(planner.missing(asked), 0);
      assertEquals(planner.plan(asked), expected);
      assertEquals(planner.outlook(asked).problem, undefined);
      assertEquals(reads, 0);
    }
  }
});
