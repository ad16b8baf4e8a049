/**
 * HTML that escapes what it is given: a text from a user cannot become markup.
 * @module
 */

/** A piece of HTML that is safe to put into a page. */
export class Markup {
  /** The HTML. */
  readonly text: string;

  /**
   * Takes HTML as it is; what comes from elsewhere goes through {@linkcode html}.
   *
   * @param text HTML
   */
  constructor(text: string) {
    this.text = text;
  }
}

/** What {@linkcode html} takes between its pieces; a list is joined. */
export type Piece = Markup | string | number | undefined | readonly Piece[];

/**
 * HTML with values between its pieces. Texts and numbers are escaped, {@linkcode Markup} is not, nothing is left out.
 *
 * @param pieces The HTML
 * @param values What stands between
 * @returns The whole
 * @example
 * ```ts
 * import { html } from "./markup.ts";
 * console.log(html`<p title="${'a "b"'}">${"<i>"}</p>`.text); // <p title="a &quot;b&quot;">&lt;i&gt;</p>
 * ```
 */
export function html(pieces: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  return new Markup(
    pieces.map((piece, index) => piece + (index < values.length ? textOf(values[index]) : ""))
      .join(""),
  );
}

/**
 * Replaces what HTML and SVG would read as markup, in texts and in quoted attributes. Control characters, which no
 * document may hold, and surrogates without a partner become the replacement character.
 *
 * @param text Any text
 * @returns The same text in HTML
 */
export function escapeHtml(text: string): string {
  return text.toWellFormed()
    // deno-lint-ignore no-control-regex -- they are what is looked for
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function textOf(value: Piece): string {
  if (value === undefined) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(textOf).join("");
  return escapeHtml(String(value));
}

/** A column of {@linkcode table}. */
export interface TableColumn {
  /** What stands above it. */
  readonly heading: string;
  /** Numbers stand on the right. Default false. */
  readonly numeric?: boolean;
}

/** A row of {@linkcode table}: its cells, the first of which names it. */
export interface TableRow {
  readonly cells: readonly Piece[];
  /** Whether it sums up the rows above. Default false. */
  readonly sums?: boolean;
}

/**
 * A table with headers that screen readers can follow, in a box that scrolls by itself where it is too wide.
 *
 * @param caption What the table shows
 * @param columns Its columns
 * @param rows Its rows
 * @returns HTML
 */
export function table(
  caption: string,
  columns: readonly TableColumn[],
  rows: readonly TableRow[],
): Markup {
  const side = ({ numeric }: TableColumn) => new Markup(numeric ? ' class="number"' : "");
  const head = columns.map((column) =>
    html`
      <th scope="col" ${side(column)}>${column.heading}</th>
    `
  );
  const body = rows.map(({ cells, sums }) => {
    const drawn = cells.map((cell, index) =>
      index === 0
        ? html`
          <th scope="row" ${side(columns[0])}>${cell}</th>
        `
        : html`<td${side(columns[index])}>${cell}</td>`
    );
    return html`
      <tr${new Markup(sums ? ' class="sum"' : "")}>${drawn}</tr>
    `;
  });
  return html`
    <div class="wide" tabindex="0" role="region" aria-label="${caption}">
      <table>
        <caption>${caption}</caption>
        <thead>
          <tr>${head}</tr>
        </thead>
        <tbody>
    ${body}</tbody>
      </table>
    </div>
  `;
}
