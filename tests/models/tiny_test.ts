import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { measurePerplexity } from "../../core/evaluate/perplexity.ts";
import { openEngine } from "../../core/engine/open.ts";
import { openModel } from "../../core/model/open.ts";
import {
  type EmbeddedKind,
  embeddedKinds,
  generateEmbeddedText,
} from "../../core/text/embedded/mod.ts";
import { domainOf } from "../../core/text/domains.ts";
import { evaluationTexts } from "../../core/session/evaluation.ts";

interface Fixture {
  readonly kinds: Readonly<
    Record<EmbeddedKind, { readonly sha256: string; readonly perplexity: number }>
  >;
}

Deno.test("The embedded model gives the perplexities that transformers gave, kind by kind", async () => {
  const fixture: Fixture = JSON.parse(
    await Deno.readTextFile(new URL("../fixtures/tiny-perplexity.json", import.meta.url)),
  );
  const model = await openModel();
  const engine = await openEngine("onnx");
  const domains = embeddedKinds.map((kind) =>
    domainOf(kind, generateEmbeddedText(kind, "held-out", 60_000, 0))
  );
  const texts = await evaluationTexts(model, domains, 128, 32);
  const { texts: found } = await measurePerplexity(engine, model, texts);
  for (const [at, kind] of embeddedKinds.entries()) {
    assertEquals(domains[at].sha256, fixture.kinds[kind].sha256, kind);
    assertAlmostEquals(found[at].perplexity / fixture.kinds[kind].perplexity, 1, 1e-3, kind);
  }
  await engine.close();
});

Deno.test("The embedded model takes at most 4 MB", async () => {
  let bytes = 0;
  const folder = new URL("../../models/tiny/", import.meta.url);
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) bytes += (await Deno.stat(new URL(name, folder))).size;
  }
  assert(bytes <= 4_000_000, `${bytes} bytes`);
});
