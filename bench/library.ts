/**
 * The example of the README on the embedded model, without files.
 *
 *     deno run -A bench/library.ts
 *
 * @module
 */
import { applyPlan, calibrate, embeddedTexts, evaluate, makePlan, openModel } from "../mod.ts";

const model = await openModel();
const statistics = await calibrate(model, embeddedTexts("calibration"), { samples: 32 });
const plan = makePlan(model, statistics, { sparsity: 0.5, shape: "adaptive" });
const pruned = await applyPlan(model, plan, { statistics });
const texts = embeddedTexts("held-out");
const [dense, smaller] = [
  await evaluate(model, texts, { evalWindows: 16 }),
  await evaluate(pruned, texts, { evalWindows: 16 }),
];
console.log(`${model.parameters} parameters → ${pruned.parameters}`);
console.log("FFN widths", pruned.architecture.layers.map(({ ffnWidth }) => ffnWidth).join(" "));
for (const [index, { name, dense: before }] of dense.perplexity.entries()) {
  const after = smaller.perplexity[index].dense;
  console.log(`${name.padEnd(12)} ${before.toFixed(3)} → ${after.toFixed(3)}`);
}
