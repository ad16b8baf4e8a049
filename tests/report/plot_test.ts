import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { linePlot } from "../../core/report/plot.ts";

const axis = { label: "x", format: String };

/** Places of the points of all lines. */
function placesOf(svg: string): readonly (readonly [number, number])[] {
  return [...svg.matchAll(/polyline points="([^"]*)"/g)].flatMap(([, points]) =>
    points.split(" ").map((pair) => pair.split(",").map(Number) as [number, number])
  );
}

Deno.test("linePlot() draws every point inside the frame, larger values further right and up", () => {
  const values = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(fc.record({ x: values, y: values }), { minLength: 1, maxLength: 12 }),
      fc.boolean(),
      (points, logarithmic) => {
        const places = placesOf(
          linePlot({
            title: "any",
            x: axis,
            y: { ...axis, logarithmic },
            lines: [{ points, color: "red" }],
          }).text,
        );
        assertEquals(places.length, points.length);
        for (const [at, [x, y]] of places.entries()) {
          assert(x >= 65 && x <= 707 && y >= 9 && y <= 257, `${x}, ${y}`);
          for (const [other, [right, top]] of places.entries()) {
            if (points[at].x < points[other].x) assert(x <= right);
            if (points[at].y < points[other].y) assert(y >= top);
          }
        }
      },
    ),
  );
});

Deno.test("linePlot() leaves out what is no number, and draws nothing where nothing is left", () => {
  const points = [{ x: 1, y: NaN }, { x: Infinity, y: 1 }, { x: 1, y: -2 }, { x: 1, y: 0 }];
  const plot = (more: readonly { x: number; y: number }[]) =>
    linePlot({
      title: "some",
      x: axis,
      y: { ...axis, logarithmic: true },
      lines: [{ points: [...points, ...more], color: "red" }],
    }).text;
  assertEquals(plot([]), "");
  assertEquals(placesOf(plot([{ x: 1, y: 2 }])).length, 1);
  assert(!plot([{ x: 1, y: 2 }]).includes("NaN"));
});

Deno.test("linePlot() marks an axis with few numbers that can be told apart, whatever its range", () => {
  for (const [low, high] of [[1, 1], [1, 1.04], [1, 1.4], [1, 9], [1, 40], [1e-4, 10], [0.02, 1]]) {
    const text = linePlot({
      title: "range",
      x: axis,
      y: { ...axis, logarithmic: true },
      lines: [{ points: [{ x: 0, y: low }, { x: 1, y: high }], color: "red" }],
    }).text;
    const ticks = [...text.matchAll(/tick end" x="[\d.]+"\s+y="([\d.]+)"/g)].map(([, y]) =>
      Number(y)
    ).sort((a, b) => a - b);
    assert(ticks.length >= 1 && ticks.length <= 12, `${low} to ${high}: ${ticks.length}`);
    for (let at = 1; at < ticks.length; at++) {
      assert(ticks[at] - ticks[at - 1] > 9, `${low} to ${high}: ${ticks}`);
    }
  }
});
