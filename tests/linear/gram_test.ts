import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { balancedGram, GramBalance } from "../../core/linear/gram.ts";

const n = 3;

/** Symmetric matrices whose diagonals are above zero, with how much each counts. */
const domains = fc.array(
  fc.record({
    gram: fc.array(fc.float({ min: -8, max: 8, noNaN: true }), {
      minLength: n * n,
      maxLength: n * n,
    })
      .map((numbers) =>
        Float32Array.from(numbers, (x, at) => {
          const [row, column] = [Math.floor(at / n), at % n];
          return row === column
            ? 1 + Math.abs(x)
            : numbers[Math.min(row, column) * n + Math.max(row, column)];
        })
      ),
    weight: fc.constantFrom(1, 0.3, 2),
  }),
  { minLength: 1, maxLength: 3 },
);

Deno.test("GramBalance in single precision is the result, rounded, for one domain and for several", () => {
  fc.assert(fc.property(domains, (domains) => {
    const balance = new GramBalance(n);
    for (const { gram, weight } of domains) balance.add(gram, 1, weight);
    const inDouble = balancedGram(
      domains.map(({ gram }) => ({ gram, tokens: 1 })),
      domains.map(({ weight }) => weight),
      n,
    );
    // Bit by bit: -0 would be another number in a file.
    const bits = (numbers: Float32Array) => new Uint32Array(numbers.buffer);
    assertEquals(bits(balance.singleResult()), bits(Float32Array.from(inDouble)));
  }));
});

Deno.test("GramBalance releases every matrix once, and looks at none of them afterwards", () => {
  fc.assert(fc.property(domains, fc.boolean(), (domains, single) => {
    const plain = new GramBalance(n), released = new GramBalance(n);
    let count = 0;
    for (const { gram, weight } of domains) {
      plain.add(gram, 1, weight);
      const own = gram.slice();
      released.add(own, 1, weight, () => {
        count++;
        own.fill(NaN);
      });
    }
    // One without energy is left out, and let go at once.
    released.add(new Float32Array(n * n), 1, 1, () => count++);
    assertEquals(
      single ? released.singleResult() : released.result(),
      single ? plain.singleResult() : plain.result(),
    );
    assertEquals(count, domains.length + 1);
  }));
});
