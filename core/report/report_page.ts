/**
 * A report as a page that a browser shows: figures, plots, the module map, and tables with their conditions.
 * @module
 */
import type { PerplexityRow, Report } from "../evaluate/report.ts";
import { stepsOf } from "../evaluate/steps.ts";
import { html, type Markup, type Piece, table, type TableRow } from "./markup.ts";
import { moduleMap, structureNames } from "./module_map.ts";
import {
  formatBytes,
  formatCount,
  formatFigure,
  formatFixed,
  formatPercent,
  formatSeconds,
} from "./numbers.ts";
import { page, section, type Tile, tiles } from "./page.ts";
import { damagePlots, geometricMean, textKinds, tradeOffPlot } from "./trade_off.ts";

/**
 * Writes a report as one HTML file without scripts, which loads nothing.
 *
 * @param report The report
 * @returns The text of the file
 * @example
 * ```ts ignore
 * await Deno.writeTextFile("report.html", reportPage(JSON.parse(await Deno.readTextFile("report.json"))));
 * ```
 */
export function reportPage(report: Report): string {
  const { model, result, request } = report;
  const cut = request.sparsity !== undefined;
  const title = cut ? `${model.source}, ${formatPercent(result.sparsity)} pruned` : model.source;
  return page(title, [
    html`
      <p
        class="quiet">${model.family}, ${model.layers} layers, ${formatCount(
          model.parameters,
        )} parameters; run by ${report.engine.name} on ${report.engine.device}</p>
    `,
    tiles(figures(report)),
    section("Trade-off", tradeOff(report)),
    section("Perplexity", perplexity(report)),
    section("What each step costs", steps(report)),
    section("Multiple choice", tasks(report)),
    section("Modules", modules(report)),
    section("More or less", damage(report)),
    section("Layers", layers(report)),
    section("Notes", notes(report.notes)),
    section("Conditions", conditions(report)),
    section("Files", files(report)),
  ]);
}

function figures(report: Report): readonly Tile[] {
  const { result, request, speed, perplexity } = report;
  const { parameters, bytes } = result;
  const rated = perplexity.filter(({ pruned }) => pruned !== undefined);
  const asked = request.sparsity === undefined ? [] : [{
    label: "Removed",
    value: formatPercent(result.sparsity),
    note: `of the prunable parameters; ${formatPercent(request.sparsity)} asked for`,
  }];
  const quality = rated.length === 0 ? [] : [{
    label: "Perplexity",
    value: `× ${formatFigure(meanRatio(rated))}`,
    note: `geometric mean; ${
      textKinds(rated).map(({ name, texts }) => `${formatFigure(meanRatio(texts))} on ${name}`)
        .join(", ")
    }`,
  }];
  const timed = !(speed.prunedTokensPerSecond > 0) || rated.length === 0 ? [] : [{
    label: "Forward pass",
    value: `× ${formatFixed(speed.prunedTokensPerSecond / speed.denseTokensPerSecond, 2)}`,
    note: `${formatCount(speed.prunedTokensPerSecond)} tokens per second, dense ${
      formatCount(speed.denseTokensPerSecond)
    }`,
  }];
  return [
    ...asked,
    {
      label: "Parameters",
      value: formatCount(parameters.after),
      note: `dense ${formatCount(parameters.before)}`,
    },
    {
      label: "Weights",
      value: formatBytes(bytes.after),
      note: `dense ${formatBytes(bytes.before)}`,
    },
    ...quality,
    ...timed,
  ];
}

function meanRatio(texts: readonly PerplexityRow[]): number {
  return geometricMean(texts.map(({ dense, pruned }) => (pruned ?? NaN) / dense));
}

function tradeOff(report: Report): Piece {
  const plot = tradeOffPlot(report);
  if (plot.text === "") return undefined;
  return html`
    <p
      class="quiet">Thick: geometric means; thin: single texts. Smaller is further left, better is further down. Rest on a point for its numbers.</p>
    ${plot}
  `;
}

function perplexity({ perplexity: texts }: Report): Piece {
  if (texts.length === 0) return undefined;
  const rated = texts.filter(({ pruned }) => pruned !== undefined);
  const row = (text: PerplexityRow): TableRow => ({
    cells: [
      text.name,
      ...(rated.length === 0 ? [] : [text.calibrated ? "yes" : "no"]),
      formatCount(text.tokens),
      `${text.windows} × ${text.seqLen}`,
      html`<code>${text.sha256.slice(0, 12)}</code>`,
      formatFigure(text.dense),
      ...(rated.length === 0
        ? []
        : [formatFigure(text.pruned), formatFigure((text.pruned ?? NaN) / text.dense)]),
    ],
  });
  const mean = (name: string, of: readonly PerplexityRow[]): TableRow => ({
    sums: true,
    cells: [
      name,
      "",
      "",
      "",
      "",
      formatFigure(geometricMean(of.map(({ dense }) => dense))),
      formatFigure(geometricMean(of.map(({ pruned }) => pruned ?? NaN))),
      formatFigure(meanRatio(of)),
    ],
  });
  const kinds = textKinds(rated);
  const columns = [
    { heading: "Text" },
    ...(rated.length === 0 ? [] : [{ heading: "Calibrated" }]),
    { heading: "Tokens", numeric: true },
    { heading: "Windows", numeric: true },
    { heading: "SHA-256" },
    { heading: rated.length === 0 ? "Perplexity" : "Dense", numeric: true },
    ...(rated.length === 0 ? [] : [
      { heading: "Pruned", numeric: true },
      { heading: "Ratio", numeric: true },
    ]),
  ];
  return [
    html`
      <p
        class="quiet">exp(mean negative log-likelihood): each text is tokenised whole, without special tokens, and cut into consecutive windows (their number × tokens in each), in which every token but the first is predicted.</p>
    `,
    table("Perplexity of each text; lower is better", columns, [
      ...texts.map(row),
      ...(rated.length < 2 ? [] : [
        mean("Geometric mean", rated),
        ...(kinds.length < 2 ? [] : kinds.map(({ name, texts }) => mean(`of ${name}`, texts))),
      ]),
    ]),
  ];
}

function steps(report: Report): Piece {
  const all = stepsOf(report);
  if (all.length === 0) return undefined;
  const rate = (value: number | undefined) => value === undefined ? "–" : formatCount(value);
  const timed = all.find(({ speed }) => speed !== undefined)?.speed;
  return table(
    `Perplexity is the geometric mean over the texts, measured on the file itself${
      timed === undefined
        ? ""
        : `; speed in ONNX Runtime, of a prompt of ${timed.promptTokens} tokens and of those that follow one by one`
    }`,
    [
      { heading: "Model" },
      { heading: "Size", numeric: true },
      { heading: "Perplexity", numeric: true },
      { heading: "Ratio", numeric: true },
      { heading: "Prefill, tokens/s", numeric: true },
      { heading: "Decode, tokens/s", numeric: true },
    ],
    all.map(({ which, file, bytes, perplexity, ratio, speed }) => ({
      cells: [
        file === undefined ? which : `${which}, ${file}`,
        formatBytes(bytes),
        formatFigure(perplexity),
        formatFigure(ratio),
        rate(speed?.prefillTokensPerSecond),
        rate(speed?.decodeTokensPerSecond),
      ],
    })),
  );
}

function tasks({ tasks: all }: Report): Piece {
  if (all.length === 0) return undefined;
  const pruned = all.some((task) => task.pruned !== undefined);
  const accuracy = (value: Report["tasks"][number]["pruned"]) =>
    value === undefined
      ? "–"
      : `${formatPercent(value.acc)} ± ${formatFixed(100 * value.stderr, 1)}`;
  return table(
    "Share answered right, by the sum of log-likelihoods ± standard error, and by that sum per byte of the choice",
    [
      { heading: "Task" },
      { heading: "Questions", numeric: true },
      { heading: "Dense", numeric: true },
      ...(pruned ? [{ heading: "Pruned", numeric: true }] : []),
      { heading: "Dense, per byte", numeric: true },
      ...(pruned ? [{ heading: "Pruned, per byte", numeric: true }] : []),
    ],
    all.map((task) => ({
      cells: [
        task.name,
        formatCount(task.items),
        accuracy(task.dense),
        ...(pruned ? [accuracy(task.pruned)] : []),
        formatPercent(task.dense.accNorm),
        ...(pruned ? [formatPercent(task.pruned?.accNorm ?? NaN)] : []),
      ],
    })),
  );
}

function modules({ modules: all }: Report): Piece {
  if (all.length === 0) return undefined;
  const rows = all.map((module): TableRow => ({
    cells: [
      `${module.layer}`,
      structureNames[module.structure],
      module.module,
      formatCount(module.units),
      formatCount(module.kept),
      formatPercent(module.sparsity),
      formatFixed(module.sensitivity, 3),
      formatFixed(module.reliability, 2),
      module.source,
    ],
  }));
  const columns = [
    { heading: "Layer", numeric: true },
    { heading: "Kind" },
    { heading: "Module", numeric: true },
    { heading: "Units", numeric: true },
    { heading: "Kept", numeric: true },
    { heading: "Removed", numeric: true },
    { heading: "Sensitivity", numeric: true },
    { heading: "Reliability", numeric: true },
    { heading: "Judge" },
  ];
  return [
    html`
      <p
        class="quiet">One row for each layer. Modules hold units whose ranks move alike between texts, from the most robust (0) to the most sensitive; numbers are the share removed, in percent.</p>
    `,
    moduleMap(all),
    html`
      <details><summary>The same as a table</summary>
      ${table("Modules", columns, rows)}</details>
    `,
  ];
}

function damage({ damage: rows = [] }: Report): Piece {
  if (rows.length === 0) return undefined;
  const learned = rows.some(({ loss }) => loss !== undefined);
  return [
    html`
      <p class="quiet">${learned
        ? "The loss that cutting one layer alone adds, measured on windows kept back from calibration, as the share removed grows; where a line begins late, no loss could be told from none before. Dots: the shares that the plan chose."
        : "The error that is left in the output of one layer, as a share of its energy, as more of its units go. Dots: the shares that the plan chose."}</p>
    `,
    damagePlots(rows),
  ];
}

function layers({ layers: all, refits = [], finalNormScale }: Report): Piece {
  if (all.length === 0) return undefined;
  const size = ([before, after]: readonly [number, number]) =>
    before === after ? formatCount(after) : `${formatCount(before)} → ${formatCount(after)}`;
  const error = (layer: number, structure: string) => {
    const row = refits.find((each) => each.layer === layer && each.structure === structure);
    if (row === undefined) return "–";
    return `${formatFixed(row.plainError, 4)} → ${formatFixed(row.refittedError, 4)}${
      row.fallback === undefined ? "" : " *"
    }`;
  };
  const fitted = refits.length > 0;
  const fallbacks = refits.filter(({ fallback }) => fallback !== undefined);
  return [
    table(
      `Sizes of each layer${
        fitted
          ? ", and the relative output error on windows kept back, without and with the refit"
          : ""
      }`,
      [
        { heading: "Layer", numeric: true },
        { heading: "FFN width", numeric: true },
        { heading: "KV heads", numeric: true },
        { heading: "Query heads", numeric: true },
        ...(fitted
          ? [{ heading: "FFN error", numeric: true }, { heading: "Attention error", numeric: true }]
          : []),
      ],
      all.map((layer) => ({
        cells: [
          `${layer.layer}`,
          size(layer.ffn),
          size(layer.kvHeads),
          size(layer.queryHeads),
          ...(fitted ? [error(layer.layer, "ffn"), error(layer.layer, "heads")] : []),
        ],
      })),
    ),
    fallbacks.length === 0 ? undefined : html`
      <ul>${fallbacks.map(({ layer, structure, fallback }) =>
        html`<li>* Layer ${layer}, ${structureNames[structure]}: ${fallback}</li>`
      )}</ul>
    `,
    finalNormScale === undefined ? undefined : html`
      <p>The final norm was multiplied by ${formatFixed(
        finalNormScale,
        4,
      )}, so that the cut model is as sure as it should be.</p>
    `,
  ];
}

function notes(all: readonly string[]): Piece {
  if (all.length === 0) return undefined;
  return html`
    <ul>${all.map((note) => html`<li>${note}</li>`)}</ul>
  `;
}

function conditions({ request, calibration, seconds, peakMemoryBytes }: Report): Piece {
  const word = (value: unknown) =>
    typeof value === "object" ? JSON.stringify(value) : String(value);
  const asked = Object.entries(request).filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => ({
      cells: [name, Array.isArray(value) ? value.map(word).join(", ") || "none" : word(value)],
    }));
  const spent = Object.entries(seconds).filter(([, value]) => value > 0)
    .map(([stage, value]) => `${stage} ${formatSeconds(value)}`).join(", ");
  return [
    table("What was asked for", [{ heading: "Option" }, { heading: "Value" }], asked),
    calibration.length === 0 ? undefined : table(
      "Calibration texts; self is text sampled from the model itself",
      [
        { heading: "Text" },
        { heading: "Tokens", numeric: true },
        { heading: "Windows", numeric: true },
        { heading: "SHA-256" },
      ],
      calibration.map((row) => ({
        cells: [
          row.name,
          formatCount(row.tokens),
          `${row.windows} × ${row.seqLen}`,
          html`<code>${row.sha256.slice(0, 12)}</code>`,
        ],
      })),
    ),
    html`
      <p>Time: ${spent === "" ? "–" : spent}; at most ${formatBytes(peakMemoryBytes)} of memory.</p>
    `,
  ];
}

function files({ files: all }: Report): Markup | undefined {
  if (all.length === 0) return undefined;
  return table(
    "Files written beside this page, which has report.json for programs",
    [{ heading: "File" }, { heading: "Size", numeric: true }, { heading: "SHA-256" }],
    all.map(({ path, bytes, sha256 }) => ({
      cells: [path, formatBytes(bytes), html`<code>${sha256.slice(0, 16)}</code>`],
    })),
  );
}
