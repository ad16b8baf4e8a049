import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { balancedKindGram, closingProjection, scoreLayer } from "../../core/learn/score.ts";
import { blockTensors } from "../../core/model/open.ts";
import { readTensor } from "../../core/model/tensor_reader.ts";
import { equalUnits, errorsAlongOrder, obsOrder } from "../../core/plan/obs.ts";
import { domainWeights, lightStart } from "../../core/plan/weights.ts";
import { assertClose } from "../helpers/matrices.ts";
import { smallStatistics, withSmallModel } from "../helpers/pipeline.ts";

Deno.test("scoreLayer() begins an order with less weight on `self`, and goes on with the usual one", () =>
  withSmallModel(async (model, engine) => {
    const { domains, layers } = await smallStatistics(engine, model, { learn: false });
    const names = domains.map(({ name }) => name);
    const weight = await readTensor(blockTensors(model, 1).get(closingProjection.ffn)!);
    const units = equalUnits(48, 1);
    const [light, usual] = await Promise.all(
      [lightStart.selfWeight, undefined].map((self) =>
        balancedKindGram(layers[1].ffn, domainWeights(names, self), 48)
      ),
    );
    const begun = await obsOrder(weight, light, units);
    const { ffn: { obs } } = await scoreLayer(model, 1, layers[1], names);
    assertEquals(obs!.order.slice(0, 12), begun.order.slice(0, 12));
    assertNotEquals(obs!.order.slice(12), begun.order.slice(12));
    // The errors are those of the usual weights all along.
    const { refittedError, plainError } = await errorsAlongOrder(weight, usual, units, obs!.order);
    assertClose(obs!.refittedError, refittedError, 1e-6);
    assertClose(obs!.plainError, plainError, 1e-6);
  }));

Deno.test("scoreLayer() weighs alike all along where `self` is not counted, or stands alone", () =>
  withSmallModel(async (model, engine) => {
    const { domains, layers } = await smallStatistics(engine, model, { learn: false });
    const names = domains.map(({ name }) => name);
    assert(names.includes("self"));
    const weight = await readTensor(blockTensors(model, 0).get(closingProjection.ffn)!);
    for (const scoreDomains of [["alpha", "beta"], ["self"]]) {
      const shares = names.map((name) => scoreDomains.includes(name) ? 1 / scoreDomains.length : 0);
      const gram = await balancedKindGram(layers[0].ffn, shares, 48);
      const { order } = await obsOrder(weight, gram, equalUnits(48, 1));
      const { ffn: { obs } } = await scoreLayer(model, 0, layers[0], names, { scoreDomains });
      assertEquals(obs!.order, order);
    }
  }));
