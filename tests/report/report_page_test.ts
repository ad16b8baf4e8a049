import { assert, assertEquals } from "@std/assert";
import type { Report } from "../../core/evaluate/report.ts";
import { comparisonPage } from "../../core/report/comparison_page.ts";
import { reportPage } from "../../core/report/report_page.ts";
import {
  sampleComparison,
  sampleEvaluation,
  sampleFilesReport,
  sampleLargeReport,
  sampleReport,
} from "../tui/samples.ts";
import { Chromium, findChromium } from "../helpers/chromium.ts";
import { withTemporaryFolder } from "../helpers/temporary.ts";

const chromium = findChromium();
const hostile = `</title><script>alert(1)</script><img src=x onerror="alert(2)">'"&`;

/** A report whose every word from outside tries to become markup. */
const hostileReport: Report = {
  ...sampleFilesReport,
  model: { ...sampleReport.model, source: hostile, family: hostile },
  engine: { name: hostile, device: hostile },
  request: { ...sampleReport.request, [hostile]: hostile, list: [hostile], thing: { a: hostile } },
  calibration: sampleReport.calibration.map((row) => ({ ...row, name: hostile, sha256: hostile })),
  perplexity: sampleFilesReport.perplexity.map((row) => ({ ...row, name: hostile })),
  tasks: sampleReport.tasks.map((row) => ({ ...row, name: hostile })),
  modules: sampleReport.modules,
  files: sampleReport.files.map((file) => ({ ...file, path: hostile })),
  notes: [hostile],
};

/** A report with both kinds of curve. */
const curvedReport: Report = {
  ...sampleReport,
  damage: [0, 1, 2].flatMap((layer) => [
    {
      layer,
      structure: "ffn" as const,
      removed: 0.5,
      error: [[0, 0], [0.5, 0.1], [1, 1]] as const,
      loss: [[0.2, -0.001], [0.45, 0.01 * (layer + 1)], [0.93, 2]] as const,
    },
    {
      layer,
      structure: "heads" as const,
      removed: 0,
      error: [[0, 0], [0.5, 0.2], [1, 1]] as const,
    },
  ]),
};

const pages: Readonly<Record<string, () => string>> = {
  report: () => reportPage(curvedReport),
  files: () => reportPage(sampleFilesReport),
  large: () => reportPage(sampleLargeReport),
  evaluation: () => reportPage(sampleEvaluation),
  comparison: () => comparisonPage(sampleComparison),
  hostile: () => reportPage(hostileReport),
};

Deno.test("reportPage() shows what the report holds, with its conditions", () => {
  const text = reportPage(curvedReport);
  for (
    const shown of [
      "models/mixlm, 49.9 % pruned",
      "1,523,600",
      "12.35",
      "14.20",
      "1.150",
      "日本語",
      "128 × 192",
      "111111111111",
      "73.5 % ± 3.1",
      "loss added, nats per token",
      "relative output error",
      "model.safetensors",
      "Layer 3 (heads) fell back",
    ]
  ) assert(text.includes(shown), shown);
});

Deno.test("reportPage() marks the chosen share where the curve stands there", () => {
  const text = reportPage(curvedReport);
  // Between (45 %, 0.02) and (93 %, 2), straight in the logarithm: 0.02 · 100^(5/48).
  assert(
    text.includes("Layer 1: 50.0 % of the FFN neurons removed, about 0.032 nats per token added"),
  );
  // Nothing was removed: no point was chosen.
  assert(!text.includes("of the KV groups removed, about"));
});

Deno.test("reportPage() leaves out what a report has not", () => {
  const text = reportPage(sampleEvaluation);
  for (const absent of ["Trade-off", "Modules", "More or less", "<h2>Files", "NaN", "undefined"]) {
    assert(!text.includes(absent), absent);
  }
});

Deno.test("pages load nothing, run nothing, and keep hostile words as words", () => {
  for (const [name, page] of Object.entries(pages)) {
    const text = page();
    assert(!/<(script|img|iframe|link|object|embed|base|form)\b/i.test(text), name);
    assert(!/\son\w+=/i.test(text.replaceAll(/&quot;|&#39;|&lt;.*?&gt;/g, "")), name);
    assert(!/(?:src|href)=|url\(|@import/i.test(text.replaceAll("img src=x", "")), name);
    assert(!/NaN|undefined|\[object/.test(text), name);
  }
});

Deno.test({
  name:
    "pages hold in a browser: nothing asked of the network, no error, no overflow, plots to see",
  ignore: chromium === undefined,
  fn: () =>
    withTemporaryFolder(async (folder) => {
      await using browser = await Chromium.start(chromium!);
      for (const [name, page] of Object.entries(pages)) {
        const url = `file://${folder}/${name}.html`;
        await Deno.writeTextFile(`${folder}/${name}.html`, page());
        for (const colorScheme of ["light", "dark"] as const) {
          const visit = await browser.visit(url, lookAtPage, { width: 800, colorScheme });
          assertEquals(visit.requests, [url]);
          assertEquals(visit.complaints, []);
          const seen = visit.result as SeenPage;
          assertEquals(seen.width, 800, `${name} in ${colorScheme} is wider than the window`);
          assertEquals(seen.sticksOut, []);
          const unreadable = seen.contrast.filter((ratio) => ratio < 4.5);
          assertEquals(unreadable, [], `contrast of ${name} in ${colorScheme}`);
          assert(seen.contrast.length > 1);
          if (name === "report") assertEquals(seen.figures.length, 4);
          for (const [wide, high] of seen.figures) assert(wide > 200 && high > 60);
          if (name === "hostile") assert(seen.text.includes(hostile));
        }
      }
    }),
});

interface SeenPage {
  readonly width: number;
  readonly sticksOut: readonly string[];
  readonly figures: readonly (readonly [number, number])[];
  readonly contrast: readonly number[];
  readonly text: string;
}

/** Looks at the page from inside; a text, because it runs there. Contrast is as WCAG 2 defines it. */
const lookAtPage = `(() => {
  const channels = (color) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => value / 255);
  };
  const light = (color) => {
    const [r, g, b] = channels(color).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = getComputedStyle(document.body).backgroundColor;
  const words = [...document.querySelectorAll("h1, p, caption, th, td, li, .tick, .axis")].slice(0, 400);
  const cells = [...document.querySelectorAll(".cell")].filter((cell) => cell.querySelector("text"));
  return {
    width: document.documentElement.scrollWidth,
    sticksOut: [...document.querySelectorAll("main *")].filter((each) =>
      !each.closest(".wide") && each.getBoundingClientRect().right > 800.5).map((each) => each.outerHTML.slice(0, 80)),
    figures: [...document.querySelectorAll("figure svg")].map((svg) => {
      const box = svg.getBoundingClientRect();
      return [box.width, box.height];
    }),
    contrast: [
      ...new Set(words.map((word) => {
        const style = getComputedStyle(word);
        return contrast(word instanceof SVGElement ? style.fill : style.color, ground);
      })),
      ...cells.map((cell) => contrast(
        getComputedStyle(cell.querySelector("text")).fill,
        getComputedStyle(cell.querySelector("rect")).fill,
      )),
    ].map((ratio) => Math.round(100 * ratio) / 100),
    text: document.body.textContent,
  };
})()`;
