import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { groupModules, minimumModuleUnits } from "../../core/plan/modules.ts";

const scores = (units: number, of: (unit: number) => number) =>
  Float64Array.from({ length: units }, (_, unit) => of(unit));

Deno.test("groupModules() puts every unit into exactly one module", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 9 }),
      (units, count) => {
        const domains = [1, 7, 13].map((factor) => scores(units, (u) => (u * factor) % 17));
        const modules = groupModules(domains, count, "none");
        const members = modules.flatMap((module) => [...module.members]).sort((a, b) => a - b);
        assertEquals(members, Array.from({ length: units }, (_, unit) => unit));
        assert(modules.length <= count);
        assert(
          modules.length === 1 || modules.every((m) => m.members.length >= minimumModuleUnits),
        );
      },
    ),
  );
});

Deno.test("groupModules() goes from robust to sensitive", () => {
  // Units from 32 on change places with each other, the others keep theirs.
  const one = scores(64, (unit) => unit);
  const other = scores(64, (unit) => unit < 32 ? unit : 95 - unit);
  const modules = groupModules([one, other], 2, "none");
  assertEquals(
    [...modules[0].members].every((unit) => unit < 32 || Math.abs(unit - 47.5) < 1),
    true,
  );
  assert(modules[0].sensitivity < modules[1].sensitivity);
  assert(modules[0].reliability > modules[1].reliability);
});

Deno.test("groupModules() draws members by chance, in modules of the same sizes, where a seed is given", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 9 }),
      fc.string(),
      (units, count, seed) => {
        const domains = [1, 7, 13].map((factor) => scores(units, (u) => (u * factor) % 17));
        const plain = groupModules(domains, count, "none");
        const drawn = groupModules(domains, count, "none", seed);
        const sizes = (modules: typeof plain) => modules.map(({ members }) => members.length);
        assertEquals(sizes(drawn), sizes(plain));
        assertEquals(
          drawn.flatMap(({ members }) => [...members]).sort((a, b) => a - b),
          Array.from({ length: units }, (_, unit) => unit),
        );
        assertEquals(groupModules(domains, count, "none", seed), drawn);
      },
    ),
  );
});

Deno.test("groupModules() by chance takes no account of sensitivity", () => {
  const one = scores(400, (unit) => unit);
  const other = scores(400, (unit) => unit < 200 ? unit : 599 - unit);
  const spread = (chance?: string) => {
    const means = groupModules([one, other], 4, "none", chance).map((each) => each.sensitivity);
    return Math.max(...means) - Math.min(...means);
  };
  assert(spread("a") < spread() / 3, `${spread("a")} of ${spread()}`);
});

Deno.test("groupModules() lets weights judge low and unreliable modules, with the switch alone", () => {
  const low = scores(32, (unit) => unit < 16 ? unit : 100 + unit);
  const reversed = scores(32, (unit) => unit < 16 ? 15 - unit : 100 + unit);
  const sources = (unreliable: "none" | "magnitude" | "blend") =>
    groupModules([low, reversed], 2, unreliable).map((module) => module.source);
  assertEquals(sources("none"), ["activation", "activation"]);
  assertEquals(sources("magnitude"), ["activation", "magnitude"]);
  assertEquals(sources("blend"), ["activation", "blend"]);
});
