/**
 * A real browser for tests, without a window.
 * @module
 */
import puppeteer, { type Browser } from "puppeteer-core";

/** Where systems put it. */
const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/**
 * Finds Chromium, or says that tests which need it are left out.
 *
 * @returns Its path; undefined where there is none
 */
export function findChromium(): string | undefined {
  for (const path of [Deno.env.get("CHROMIUM"), ...places]) {
    try {
      if (path !== undefined && Deno.statSync(path).isFile) return path;
    } catch {
      // Not there.
    }
  }
  console.log("Tests that open a page in a browser are left out: Chromium is missing");
  return undefined;
}

/**
 * Starts a browser, hands it to a function, and ends it.
 *
 * @param path Where it is
 * @param use What to do with it
 */
export async function withBrowser(
  path: string,
  use: (browser: Browser) => Promise<void>,
): Promise<void> {
  // Tests of a container run as root, where the browser has no sandbox to offer.
  const browser = await puppeteer.launch({
    executablePath: path,
    args: ["--no-sandbox", "--disable-gpu"],
  });
  try {
    await use(browser);
  } finally {
    await browser.close();
  }
}
