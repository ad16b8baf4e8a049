import { assertEquals, assertThrows } from "@std/assert";
import { selectDomains } from "../../core/calibrate/select.ts";
import { StatisticsError } from "../../core/errors.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { domains, smallStatistics, withSmallModel } from "../helpers/pipeline.ts";

Deno.test("selectDomains() plans as a calibration on those domains alone does", () =>
  withSmallModel(async (model, engine) => {
    const request = { metric: "wanda-sp", refit: "none", modules: 2, sparsity: 0.4 } as const;
    const settings = { self: false, request };
    const all = await smallStatistics(engine, model, settings);
    const some = selectDomains(all, ["gamma", "alpha"]);
    const texts = domains.filter(({ name }) => name !== "beta");
    const alone = await smallStatistics(engine, model, settings, texts);
    assertEquals(some.domains, alone.domains);
    assertEquals(some.windows, alone.windows);
    assertEquals(makePlan(model, some, request), makePlan(model, alone, request));
  }));

Deno.test("selectDomains() leaves out orders and curves that other domains had a part in", () =>
  withSmallModel(async (model, engine) => {
    const all = await smallStatistics(engine, model, { self: false });
    assertEquals([all.layers[0].ffn.obs === undefined, all.learned === undefined], [false, false]);
    const some = selectDomains(all, ["alpha", "beta"]);
    assertEquals([some.layers[0].ffn.obs, some.layers[0].heads.obs], [undefined, undefined]);
    assertEquals(some.learned, undefined);
    assertThrows(() => makePlan(model, some, {}), StatisticsError, "calibrate again");
  }));

Deno.test("selectDomains() refuses unknown names and none", () =>
  withSmallModel(async (model, engine) => {
    const all = await smallStatistics(engine, model, { self: false, samples: 2 });
    assertThrows(() => selectDomains(all, ["alpha", "delta"]), StatisticsError, "'delta'");
    assertThrows(() => selectDomains(all, []), StatisticsError, "alpha, beta, gamma");
  }));
