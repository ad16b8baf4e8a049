import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { escapeHtml, html, table } from "../../core/report/markup.ts";

Deno.test("html() escapes texts and numbers, keeps markup, joins lists and leaves nothing for undefined", () => {
  const inner = html`<b>${"a < b"}</b>`;
  assertEquals(
    html`<p title="${`"it's"`}">${inner}${[1, undefined, " & "]}</p>`.text,
    '<p title="&quot;it&#39;s&quot;"><b>a &lt; b</b>1 &amp; </p>',
  );
});

Deno.test("escapeHtml() leaves no character that ends a text or an attribute, of any string", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const escaped = escapeHtml(text);
      assert(!/[<>"']/.test(escaped), escaped);
      assert(!/&(?!(amp|lt|gt|quot|#39);)/.test(escaped), escaped);
      // deno-lint-ignore no-control-regex -- they are what is looked for
      assert(!/[\x00-\x08\x0b\x0c\x0e-\x1f]/.test(escaped));
      assert(escaped.isWellFormed());
    }),
  );
  assertEquals(escapeHtml("\ud800 lone \0"), "\ufffd lone \ufffd");
});

Deno.test("table() names its rows and columns for who cannot see them", () => {
  const text = table("Texts", [{ heading: "Name" }, { heading: "Tokens", numeric: true }], [
    { cells: ["<i>wiki</i>", "12"] },
    { cells: ["Sum", "12"], sums: true },
  ]).text;
  assert(/<caption>Texts<\/caption>/.test(text));
  assert(
    /<th scope="col"\s*>Name<\/th>\s*<th scope="col"\s+class="number">Tokens<\/th>/.test(text),
  );
  assert(
    /<th scope="row"\s*>&lt;i&gt;wiki&lt;\/i&gt;<\/th>\s*<td class="number">12<\/td>/.test(text),
  );
  assert(/<tr class="sum">\s*<th scope="row"\s*>Sum</.test(text));
});
