import { assert } from "@std/assert";
import { fileURLToPath } from "node:url";
import type { LongUse } from "../../bench/long_use.ts";
import { embeddedIsMissing } from "../helpers/embedded.ts";

Deno.test({
  name: "200 plans and 20 evaluations in one session hold less than 50 MB that they do not need",
  ignore: embeddedIsMissing(),
  fn: async () => {
    const script = fileURLToPath(new URL("../../bench/long_use.ts", import.meta.url));
    const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--v8-flags=--expose-gc", script],
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    // It has said all there is to measure once it has said anything: how the runtime then ends is another matter.
    assert(stdout.length > 0, `code ${code}, signal ${signal}: ${text.decode(stderr)}`);
    const use: LongUse = JSON.parse(text.decode(stdout));
    for (const [before, after] of [use.heapBytes, use.residentBytes]) {
      assert(before > 1e6);
      assert(after - before < 50e6, JSON.stringify(use));
    }
  },
});
