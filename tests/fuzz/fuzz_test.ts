import { assert, assertEquals } from "@std/assert";
import { embeddedIsMissing } from "../helpers/embedded.ts";
import { fuzz } from "./fuzz.ts";
import { readerNames } from "./readers/names.ts";

// `deno task fuzz` reads twenty thousand of each, from another seed every time.
const cases = Number(Deno.env.get("GPRUNE_FUZZ_CASES") ?? 500);
const seed = Number(Deno.env.get("GPRUNE_FUZZ_SEED") ?? 8);

for (const name of readerNames) {
  Deno.test({
    name: `fuzz: ${name} reads or refuses in one sentence ${cases} hostile files of seed ${seed}`,
    ignore: embeddedIsMissing(),
    fn: async () => {
      const { cases: read, accepted, failure } = await fuzz(name, { cases, seed });
      assertEquals(failure, undefined);
      assertEquals(read, cases);
      // Files that are all refused at their first byte would try nothing.
      assert(accepted > cases / 100, `only ${accepted} of ${cases} files were read`);
    },
  });
}
