/**
 * A screen of a terminal as an SVG picture.
 * @module
 */

/** How a piece of a screen looks. */
interface Look {
  readonly bold: boolean;
  readonly dim: boolean;
  readonly inverse: boolean;
  readonly color: string | undefined;
}

const plain: Look = { bold: false, dim: false, inverse: false, color: undefined };
const colors: Readonly<Record<number, string>> = {
  31: "#f2777a",
  32: "#8fc98f",
  33: "#e6c566",
  36: "#6cc7d1",
};
const ground = "#1d1f21";
const ink = "#d6d6d2";
const cell = { width: 8.4, height: 18 } as const;
const margin = 12;

/**
 * Draws a screen.
 *
 * @param screen Lines with escape codes, as `tmux capture-pane -e` gives them
 * @param size Columns and rows
 * @param title What the picture shows, for readers of the picture
 * @returns The picture
 */
export function terminalSvg(
  screen: string,
  size: { readonly columns: number; readonly rows: number },
  title: string,
): string {
  const width = Math.ceil(size.columns * cell.width + 2 * margin);
  const height = size.rows * cell.height + 2 * margin;
  const lines = screen.split("\n").slice(0, size.rows).map(drawLine);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" rx="6" fill="${ground}"/>`,
    `<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="${ink}">`,
    ...lines.filter((line) => line !== ""),
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

function drawLine(text: string, row: number): string {
  let column = 0;
  const y = margin + row * cell.height;
  return pieces(text).map(({ text, look }) => {
    const letters = [...text];
    const x = margin + column * cell.width;
    const width = letters.length * cell.width;
    column += letters.length;
    if (text.trim() === "" && !look.inverse) return "";
    const fill = look.inverse ? ground : look.color ?? ink;
    const behind = look.inverse
      ? `<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${cell.height}" fill="${
        look.color ?? ink
      }"/>`
      : "";
    const style = [
      `fill="${fill}"`,
      ...(look.bold ? [`font-weight="bold"`] : []),
      ...(look.dim ? [`opacity="0.6"`] : []),
      // Fonts differ in width: each piece is set to that of its cells.
      `textLength="${round(width)}"`,
    ].join(" ");
    return `${behind}<text x="${round(x)}" y="${y + 13}" ${style}>${escaped(text)}</text>`;
  }).join("");
}

function pieces(line: string): readonly { readonly text: string; readonly look: Look }[] {
  const found: { text: string; look: Look }[] = [];
  let look = plain;
  // deno-lint-ignore no-control-regex -- escape codes are control characters
  for (const part of line.split(/(\x1b\[[\d;]*m)/)) {
    // deno-lint-ignore no-control-regex -- escape codes are control characters
    const codes = /^\x1b\[([\d;]*)m$/.exec(part)?.[1];
    if (codes === undefined) {
      if (part !== "") found.push({ text: part, look });
    } else look = codes.split(";").map(Number).reduce(lookAfter, look);
  }
  return found;
}

function lookAfter(look: Look, code: number): Look {
  switch (code) {
    case 0:
      return plain;
    case 1:
      return { ...look, bold: true };
    case 2:
      return { ...look, dim: true };
    case 7:
      return { ...look, inverse: true };
    case 22:
      return { ...look, bold: false, dim: false };
    case 27:
      return { ...look, inverse: false };
    case 39:
      return { ...look, color: undefined };
    default:
      return code in colors ? { ...look, color: colors[code] } : look;
  }
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  // Renderers of SVG take runs of spaces for one, and not all know how to be told otherwise.
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll(" ", "\u00a0");
}
