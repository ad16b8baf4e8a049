import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { OptionError, PlanError, StatisticsError } from "../../core/errors.ts";
import type { Statistics } from "../../core/calibrate/types.ts";
import type { Model } from "../../core/model/types.ts";
import { makePlan } from "../../core/plan/make_plan.ts";
import { channelScores, pooledMoments } from "../../core/plan/metrics.ts";
import { methods } from "../../core/plan/request.ts";
import { loadPlan, savePlan } from "../../core/plan/store.ts";
import { smallStatistics, withSmallModel } from "../helpers/pipeline.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const withStatistics = (use: (model: Model, statistics: Statistics) => Promise<void> | void) =>
  withSmallModel(async (model, engine) => {
    await use(model, await smallStatistics(engine, model));
  });

Deno.test("makePlan() wanda-sp keeps the same number in every layer, those of the highest scores", () =>
  withStatistics((model, statistics) => {
    const plan = makePlan(model, statistics, {
      method: "wanda-sp",
      sparsity: 0.5,
      structures: ["ffn"],
    });
    const given = statistics.domains.flatMap(({ name }, at) => name === "self" ? [] : [at]);
    plan.layers.forEach(({ ffnKept }, layer) => {
      assertEquals(ffnKept.length, 24);
      const kind = statistics.layers[layer].ffn;
      const moments = pooledMoments(given.map((at) => kind.domains[at]));
      const scores = channelScores("wanda-sp", kind, moments, "");
      const lowestKept = Math.min(...ffnKept.map((unit) => scores[unit]));
      const gone = [...scores.keys()].filter((unit) => !ffnKept.includes(unit));
      assert(gone.every((unit) => scores[unit] <= lowestKept));
    });
  }));

Deno.test("makePlan() flap removes what lies below one threshold of standardised scores", () =>
  withStatistics((model, statistics) => {
    const plan = makePlan(model, statistics, {
      method: "flap",
      sparsity: 0.4,
      structures: ["ffn"],
      refit: "none",
    });
    const given = statistics.domains.flatMap(({ name }, at) => name === "self" ? [] : [at]);
    let highestGone = -Infinity, lowestKept = Infinity;
    plan.layers.forEach(({ ffnKept }, layer) => {
      const kind = statistics.layers[layer].ffn;
      const scores = channelScores(
        "wifv",
        kind,
        pooledMoments(given.map((at) => kind.domains[at])),
        "",
      );
      const mean = scores.reduce((a, b) => a + b, 0) / 48;
      const deviation = Math.sqrt(scores.reduce((sum, s) => sum + (s - mean) ** 2, 0) / 48);
      scores.forEach((score, unit) => {
        const standardised = (score - mean) / deviation;
        if (ffnKept.includes(unit)) lowestKept = Math.min(lowestKept, standardised);
        else highestGone = Math.max(highestGone, standardised);
      });
    });
    assert(highestGone <= lowestKept + 1e-9, `${highestGone} went, ${lowestKept} stayed`);
    assertEquals(plan.request.shape, "adaptive");
  }));

Deno.test("makePlan() random follows the seed, and magnitude no activation", () =>
  withStatistics((model, statistics) => {
    const layers = (method: "random" | "magnitude", seed: number) =>
      JSON.stringify(makePlan(model, statistics, { method, seed, sparsity: 0.5 }).layers);
    assertEquals(layers("random", 1), layers("random", 1));
    assert(layers("random", 1) !== layers("random", 2));
    const silent: Statistics = {
      ...statistics,
      layers: statistics.layers.map(({ ffn, heads }) => ({
        ffn: { ...ffn, domains: ffn.domains.toReversed() },
        heads: { ...heads, domains: heads.domains.toReversed() },
      })),
    };
    assertEquals(
      makePlan(model, silent, { method: "magnitude", sparsity: 0.5 }).layers,
      makePlan(model, statistics, { method: "magnitude", sparsity: 0.5 }).layers,
    );
  }));

Deno.test("makePlan() modules of every method add up to the layers' units", () =>
  withStatistics((model, statistics) => {
    for (const method of methods) {
      const plan = makePlan(model, statistics, { method, sparsity: 0.3 });
      for (const { layer, ffnKept, keyValueHeadsKept } of plan.layers) {
        for (
          const [structure, kept, units] of [
            ["ffn", ffnKept.length, 48],
            ["heads", keyValueHeadsKept.length, 4],
          ] as const
        ) {
          const own = plan.modules.filter((m) => m.layer === layer && m.structure === structure);
          assertEquals(own.reduce((sum, m) => sum + m.units, 0), units);
          assertEquals(own.reduce((sum, m) => sum + m.kept, 0), kept);
          for (const m of own) assertAlmostEquals(m.sparsity, 1 - m.kept / m.units);
        }
      }
    }
  }));

Deno.test("makePlan() with equal modules cuts every module alike under a cheap metric", () =>
  withStatistics((model, statistics) => {
    const plan = makePlan(model, statistics, {
      metric: "wanda-sp",
      refit: "none",
      sparsity: 0.5,
      structures: ["ffn"],
      modules: 3,
    });
    assertEquals(plan.modules.map(({ units, kept }) => [units, kept]), Array(9).fill([16, 8]));
  }));

Deno.test("makePlan() with equal shares cuts modules alike under obs too, with joint shares as if there were none", () =>
  withStatistics((model, statistics) => {
    const common = { sparsity: 0.5, structures: ["ffn"], shape: "uniform", refit: "none" } as const;
    for (const metric of ["obs", "rms"] as const) {
      const options = { ...common, metric, modules: 3 };
      const equal = makePlan(model, statistics, { ...options, moduleShares: "equal" });
      assert(equal.modules.every(({ units, kept }) => Math.abs(kept - units / 2) <= 1), metric);
      const joint = makePlan(model, statistics, { ...options, moduleShares: "joint" });
      const whole = makePlan(model, statistics, { ...common, metric, modules: 1 });
      assertEquals(joint.layers, whole.layers);
      const usual = makePlan(model, statistics, options);
      assertEquals(usual.layers, (metric === "obs" ? joint : equal).layers);
    }
  }));

Deno.test("makePlan() with modules by chance keeps their sizes and changes with the seed alone", () =>
  withStatistics((model, statistics) => {
    const options = { metric: "wanda-sp", sparsity: 0.5, modules: 3, refit: "none" } as const;
    const sizes = ({ modules }: ReturnType<typeof makePlan>) => modules.map(({ units }) => units);
    const chance = makePlan(model, statistics, { ...options, grouping: "random" });
    const other = makePlan(model, statistics, { ...options, grouping: "random", seed: 1 });
    const plain = makePlan(model, statistics, options);
    assertEquals(sizes(chance), sizes(plain));
    assertEquals(makePlan(model, statistics, { ...options, grouping: "random" }), chance);
    assert(
      chance.layers.some(({ ffnKept }, at) => ffnKept.join() !== plain.layers[at].ffnKept.join()),
    );
    assert(
      chance.layers.some(({ ffnKept }, at) => ffnKept.join() !== other.layers[at].ffnKept.join()),
    );
  }));

Deno.test("makePlan() lets the magnitude switch change which units of a module go, not how many", () =>
  withStatistics((model, statistics) => {
    const plan = (unreliable: "none" | "magnitude" | "blend", metric: "obs" | "wanda-sp") =>
      makePlan(model, statistics, { metric, switch: unreliable, sparsity: 0.5, modules: 3 });
    for (const metric of ["obs", "wanda-sp"] as const) {
      const plain = plan("none", metric), switched = plan("magnitude", metric);
      assertEquals(
        switched.modules.map(({ kept }) => kept),
        plain.modules.map(({ kept }) => kept),
      );
      assert(plan("blend", metric).modules.some(({ source }) => source === "blend"));
    }
  }));

Deno.test("makePlan() leaves protected layers whole and meets the sparsity with the others", () =>
  withStatistics((model, statistics) => {
    const plan = makePlan(model, statistics, {
      shape: "adaptive",
      sparsity: 0.4,
      protectedLayers: [0],
    });
    assertEquals(plan.layers[0].ffnKept.length, 48);
    assertEquals(plan.layers[0].keyValueHeadsKept.length, 4);
    assertAlmostEquals(plan.result.sparsity, 0.4, 0.01);
  }));

Deno.test("makePlan() for the worst domain meets the sparsity too", () =>
  withStatistics((model, statistics) => {
    const plan = makePlan(model, statistics, {
      shape: "adaptive",
      sparsity: 0.5,
      objective: "worst",
    });
    assertAlmostEquals(plan.result.sparsity, 0.5, 0.01);
  }));

Deno.test("makePlan() keeps FFN widths to multiples", () =>
  withStatistics((model, statistics) => {
    for (const shape of ["uniform", "adaptive"] as const) {
      const plan = makePlan(model, statistics, { shape, multiple: 8, sparsity: 0.4 });
      assert(plan.layers.every(({ ffnKept }) => ffnKept.length % 8 === 0));
    }
  }));

Deno.test("makePlan() refuses statistics of another model, or without what the metric needs", () =>
  withSmallModel(async (model, engine) => {
    const options = { request: { metric: "wanda-sp", refit: "none" } } as const;
    const statistics = await smallStatistics(engine, model, options);
    const foreign = { ...statistics, model: { ...statistics.model, fingerprint: "another" } };
    assertThrows(() => makePlan(model, foreign), StatisticsError, "belong to another model");
    assertThrows(() => makePlan(model, statistics), StatisticsError, "without Gram matrices");
    assertThrows(
      () => makePlan(model, statistics, { metric: "wanda-sp", scoreDomains: ["nobody"] }),
      OptionError,
      "'nobody'",
    );
    assertThrows(
      () => makePlan(model, statistics, { metric: "wanda-sp", sparsity: 0.99 }),
      PlanError,
      "Cannot remove",
    );
  }));

Deno.test("loadPlan() reads what savePlan() wrote, and says what is wrong with anything else", () =>
  withStatistics((model, statistics) =>
    withTemporaryFolder(async (folder) => {
      const path = `${folder}/plan.json`;
      const plan = makePlan(model, statistics, { sparsity: 0.3 });
      await savePlan(plan, path, { statistics: "a.stats" });
      const file = await loadPlan(path);
      assertEquals(file.statistics, "a.stats");
      assertEquals(file.plan, JSON.parse(JSON.stringify(plan)));
      const { layers: _, ...broken } = plan;
      for (
        const [content, message] of [
          ["", "Cannot read plan"],
          ["[]", "Cannot read plan"],
          [JSON.stringify(broken), "'layers'"],
          [JSON.stringify({ ...plan, schema: "gprune.plan/9" }), "'schema'"],
        ]
      ) {
        await Deno.writeTextFile(path, content);
        const error = await loadPlan(path).then(() => undefined, (reason) => reason);
        assert(error instanceof PlanError && error.message.includes(message), error?.message);
      }
      const missing = await loadPlan(`${folder}/none`).then(() => undefined, (reason) => reason);
      assert(missing.message.includes("no such file"));
    })
  ));

Deno.test("makePlan() ranks by 'obs' over the score domains that the statistics were taken for, and no others", () =>
  withSmallModel(async (model, engine) => {
    const take = (scoreDomains?: readonly string[]) =>
      smallStatistics(engine, model, {
        learn: false,
        request: { shape: "adaptive", scoreDomains },
      });
    const all = await take();
    const one = await take(["beta"]);
    const plan = makePlan(model, one, { sparsity: 0.5, scoreDomains: ["beta"] });
    assertNotEquals(plan.layers, makePlan(model, all, { sparsity: 0.5 }).layers);
    assertEquals(one.layers[0].ffn.domains.length, all.layers[0].ffn.domains.length);
    assertThrows(
      () => makePlan(model, all, { sparsity: 0.5, scoreDomains: ["beta"] }),
      StatisticsError,
      "over beta: these statistics have its orders over all texts",
    );
    assertThrows(() => makePlan(model, one, { sparsity: 0.5 }), StatisticsError, "over all texts");
    makePlan(model, all, { sparsity: 0.5, metric: "wanda-sp", scoreDomains: ["beta"] });
    await assertRejects(() => take(["nobody"]), OptionError, "'nobody'");
  }));
