/**
 * A real browser for tests, without a window, driven by the DevTools protocol. The libraries for that are larger than
 * gprune, and whoever runs it would have to download them.
 * @module
 */

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

/** How a page is opened. */
export interface OpenPage {
  readonly width: number;
  readonly colorScheme: "light" | "dark";
}

/** What a page did, and what a script in it found. */
export interface PageVisit {
  /** Everything that it asked for, its own address first. */
  readonly requests: readonly string[];
  /** Errors, warnings and dialogs. */
  readonly complaints: readonly string[];
  /** What the script gave. */
  readonly result: unknown;
}

/** A running browser. */
export class Chromium implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #socket: WebSocket;
  readonly #profile: string;
  readonly #answers = new Map<number, PromiseWithResolvers<Fields>>();
  readonly #listeners = new Set<(session: string, method: string, fields: Fields) => void>();
  #calls = 0;

  private constructor(process: Deno.ChildProcess, socket: WebSocket, profile: string) {
    this.#process = process;
    this.#socket = socket;
    this.#profile = profile;
    socket.onmessage = ({ data }) => {
      const { id, result, error, method, params, sessionId } = JSON.parse(data);
      if (id === undefined) {
        for (const listen of this.#listeners) listen(sessionId, method, params);
      } else if (error === undefined) this.#answers.get(id)?.resolve(result);
      else this.#answers.get(id)?.reject(new Error(error.message));
    };
  }

  /** Starts a browser; dispose of it to end it. */
  static async start(path: string): Promise<Chromium> {
    const profile = await Deno.makeTempDir({ prefix: "gprune-chromium-" });
    const process = new Deno.Command(path, {
      args: [
        "--headless=new",
        // Tests in a container run as root, where the browser has no sandbox to offer.
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        `--user-data-dir=${profile}`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let said = "";
    const reader = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let address: string | undefined;
    while (address === undefined) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`Chromium did not start: ${said}`);
      said += value;
      address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
    }
    await reader.cancel();
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Chromium(process, socket, profile);
  }

  /** Opens a page, runs a script in it, and closes it. */
  async visit(url: string, script: string, how: OpenPage): Promise<PageVisit> {
    const requests: string[] = [];
    const complaints: string[] = [];
    const loaded = Promise.withResolvers<void>();
    const { targetId } = await this.#call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.#call("Target.attachToTarget", { targetId, flatten: true });
    const session = String(sessionId);
    const listen = (from: string, method: string, fields: Fields) => {
      if (from !== session) return;
      if (method === "Page.loadEventFired") loaded.resolve();
      if (method === "Network.requestWillBeSent") {
        requests.push((fields.request as { readonly url: string }).url);
      }
      if (/^(Runtime\.(exceptionThrown|consoleAPICalled)|Log\.entryAdded)$/.test(method)) {
        complaints.push(JSON.stringify(fields));
      }
      if (method === "Page.javascriptDialogOpening") {
        complaints.push(`dialog: ${fields.message}`);
        void this.#call("Page.handleJavaScriptDialog", { accept: false }, session);
      }
    };
    this.#listeners.add(listen);
    try {
      for (const domain of ["Page", "Network", "Runtime", "Log"]) {
        await this.#call(`${domain}.enable`, {}, session);
      }
      const size = { width: how.width, height: 900, deviceScaleFactor: 1, mobile: false };
      await this.#call("Emulation.setDeviceMetricsOverride", size, session);
      const features = [{ name: "prefers-color-scheme", value: how.colorScheme }];
      await this.#call("Emulation.setEmulatedMedia", { features }, session);
      await this.#call("Page.navigate", { url }, session);
      await loaded.promise;
      const evaluation = { expression: script, returnByValue: true };
      const { result } = await this.#call("Runtime.evaluate", evaluation, session);
      return { requests, complaints, result: (result as { readonly value: unknown }).value };
    } finally {
      this.#listeners.delete(listen);
      await this.#call("Target.closeTarget", { targetId });
    }
  }

  /** Ends the browser. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    await this.#call("Browser.close", {}).catch(() => undefined);
    await closed;
    await this.#process.status;
    await Deno.remove(this.#profile, { recursive: true }).catch(() => undefined);
  }

  async #call(method: string, params: Fields, sessionId?: string): Promise<Fields> {
    const id = ++this.#calls;
    const answer = Promise.withResolvers<Fields>();
    this.#answers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    try {
      return await answer.promise;
    } finally {
      this.#answers.delete(id);
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;
