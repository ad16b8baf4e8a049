import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { hashFiles } from "../../core/export/folder.ts";

/** Fields of a report that two runs of the same work do not share. */
const ofTheRun = ["seconds", "speed", "peakMemoryBytes", "date", "exports"] as const;

/**
 * Checks that two results are the same: every file byte for byte, the report apart from times and memory. The card is
 * compared where it gives no speeds.
 *
 * @param actual One folder
 * @param expected The other
 * @param label What is compared, for the message
 */
export async function assertSameResult(
  actual: string,
  expected: string,
  label: string,
): Promise<void> {
  const [found, wanted] = [await hashFiles(actual), await hashFiles(expected)];
  const report = await readReport(expected);
  const hasSpeeds = JSON.stringify(report.request).includes("onnx");
  const compared = (files: typeof found) =>
    // Both reports tell times and memory.
    files.filter(({ path }) => !["report.json", "report.html"].includes(path))
      .filter(({ path }) => !(hasSpeeds && path === "README.md"))
      .map(({ path, sha256 }) => `${path} ${sha256}`);
  assertEquals(compared(found), compared(wanted), label);
  assertEquals(found.map(({ path }) => path), wanted.map(({ path }) => path), label);
  assertEquals(await comparable(actual), await comparable(expected), label);
}

async function readReport(folder: string): Promise<Record<string, unknown>> {
  return JSON.parse(await Deno.readTextFile(join(folder, "report.json")));
}

/** The report without what belongs to the run; sizes of cards with speeds in them go too. */
async function comparable(folder: string): Promise<Record<string, unknown>> {
  const report = await readReport(folder);
  for (const field of ofTheRun) delete report[field];
  const files = report.files as readonly { readonly path: string }[];
  return {
    ...report,
    files: files.filter(({ path }) => !["README.md", "report.html"].includes(path)),
  };
}
