/**
 * Hostile versions of real files: of their bytes, and of the JSON in them.
 * @module
 */
import fc from "fast-check";

/** Bytes of a file. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Places are shares of the length, so that they fit whatever the mutations before them left. */
const place = fc.nat(1 << 20);
/** Half of the places are at the beginning, where headers are. */
const offset = fc.oneof(
  place.map((share) => (length: number) => Math.floor(share / (1 << 20) * length)),
  fc.nat(255).map((at) => (length: number) => Math.min(at, length)),
);
const size = fc.oneof(fc.nat(16), fc.nat(4096));
const whole = fc.constantFrom(
  0n,
  1n,
  -1n,
  255n,
  1n << 15n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 40n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
);
const strangeNumbers = [NaN, Infinity, -Infinity, -0, 5e-324, -1, 1e308, -1e308, 2 ** 53];

type ByteMutation = (bytes: Bytes) => Bytes;

function cut(bytes: Bytes, at: number, removed: number, added: Uint8Array = new Uint8Array()) {
  const rest = bytes.subarray(Math.min(bytes.length, at + removed));
  const result = new Uint8Array(at + added.length + rest.length);
  result.set(bytes.subarray(0, at));
  result.set(added, at);
  result.set(rest, at + added.length);
  return result;
}

function overwritten(bytes: Bytes, at: number, width: number, set: (view: DataView) => void) {
  const padded = cut(bytes, Math.min(at, Math.max(0, bytes.length - width)), 0);
  if (padded.length < width) return padded;
  set(new DataView(padded.buffer, Math.min(at, padded.length - width), width));
  return padded;
}

const byteMutation: fc.Arbitrary<ByteMutation> = fc.oneof(
  fc.tuple(offset, fc.nat(7)).map(([at, bit]): ByteMutation => (bytes) =>
    overwritten(bytes, at(bytes.length), 1, (view) => view.setUint8(0, view.getUint8(0) ^ 1 << bit))
  ),
  fc.tuple(offset, fc.nat(255)).map(([at, byte]): ByteMutation => (bytes) =>
    overwritten(bytes, at(bytes.length), 1, (view) => view.setUint8(0, byte))
  ),
  offset.map((at): ByteMutation => (bytes) => bytes.slice(0, at(bytes.length))),
  fc.tuple(offset, size).map(([at, length]): ByteMutation => (bytes) =>
    cut(bytes, at(bytes.length), length)
  ),
  fc.tuple(offset, fc.uint8Array({ maxLength: 64 })).map(([at, added]): ByteMutation => (bytes) =>
    cut(bytes, at(bytes.length), 0, added)
  ),
  fc.tuple(offset, offset, size).map(([from, to, length]): ByteMutation => (bytes) => {
    const start = from(bytes.length);
    return cut(bytes, to(bytes.length), length, bytes.slice(start, start + length));
  }),
  fc.tuple(offset, whole, fc.constantFrom(1, 2, 4, 8)).map(
    ([at, number, width]): ByteMutation => (bytes) =>
      overwritten(bytes, at(bytes.length), width, (view) => {
        for (let i = 0; i < width; i++) {
          view.setUint8(i, Number(BigInt.asUintN(64, number) >> BigInt(8 * i) & 255n));
        }
      }),
  ),
  fc.tuple(offset, fc.constantFrom(...strangeNumbers), fc.constantFrom(4, 8)).map(
    ([at, number, width]): ByteMutation => (bytes) => {
      const aligned = Math.floor(at(bytes.length) / width) * width;
      return overwritten(
        bytes,
        aligned,
        width,
        (view) => width === 4 ? view.setFloat32(0, number, true) : view.setFloat64(0, number, true),
      );
    },
  ),
  fc.constant<ByteMutation>((bytes) => cut(bytes, bytes.length, 0, bytes.slice(0, 1 << 16))),
);

/** One as often as several: a single change is what readers are most likely to let through. */
function someOf<T>(arbitrary: fc.Arbitrary<T>, maxLength: number): fc.Arbitrary<T[]> {
  return fc.oneof(
    arbitrary.map((each) => [each]),
    fc.array(arbitrary, { minLength: 2, maxLength }),
  );
}

/**
 * Real files with up to six mutations of their bytes, and a few that are nothing but bytes.
 *
 * @param files The files
 * @returns Hostile files
 */
export function hostileBytes(files: readonly Bytes[]): fc.Arbitrary<Bytes> {
  const mutated = fc.tuple(
    fc.constantFrom(...files),
    someOf(byteMutation, 6),
  ).map(([bytes, mutations]) => mutations.reduce((before, mutate) => mutate(before), bytes));
  const noise = fc.uint8Array({ maxLength: 512 }).map((bytes) => bytes.slice());
  return fc.oneof({ arbitrary: mutated, weight: 12 }, { arbitrary: noise, weight: 1 });
}

const deep = (open: string, close: string, depth: number) =>
  open.repeat(depth) + close.repeat(depth);

/** JSON that a reader does not expect in this place, some of it no JSON. */
const hostileValues = [
  ..."null true false 0 -1 1 2 0.5 -0 1e308 1e999 -1e999 5e-324 NaN Infinity 01 0x10".split(" "),
  ..."2147483647 4294967296 9007199254740991 9007199254740992 9007199254740993".split(" "),
  ..."18446744073709551615 18446744073709551616 1e-400".split(" "),
  ...'"" " " "a" "0" "\\u0000" "\\ud800" "\\udfff\\ud800" "\\u202e" "\\n\\u001b[2J" "🦙"'.split(
    " ",
  ),
  ...'"../x" "..\\\\x" "/etc/passwd" "x/../../y.safetensors" "." ".." "a\\u0000.safetensors"'.split(
    " ",
  ),
  ...'[] {} [null] [[]] {"":0} [0,0,0] ["a","a"] {"a":{"a":{"a":{}}}}'.split(" "),
  '{"__proto__":{"x":1}}',
  '{"constructor":1,"toString":2}',
  `"${"a".repeat(70_000)}"`,
  `[${"0,".repeat(5000)}0]`,
  deep("[", "]", 150),
  deep("[", "]", 50_000),
  deep('{"a":', "}", 20_000).replace("}", "1}"),
  "",
  "/* */1",
] as const;

type JsonAction =
  | { readonly kind: "replace"; readonly text: string }
  | { readonly kind: "delete" | "repeat" | "swap" | "wrap" };

interface JsonMutation {
  /** Which child to go down to at each level, as numbers that are taken modulo how many there are. */
  readonly path: readonly number[];
  readonly action: JsonAction;
}

const jsonAction: fc.Arbitrary<JsonAction> = fc.oneof(
  {
    arbitrary: fc.constantFrom(...hostileValues).map((text): JsonAction => ({
      kind: "replace",
      text,
    })),
    weight: 6,
  },
  {
    arbitrary: fc.oneof(fc.json({ maxDepth: 3 }), fc.integer().map(String), fc.double().map(String))
      .map((text): JsonAction => ({ kind: "replace", text })),
    weight: 3,
  },
  {
    arbitrary: fc.constantFrom<JsonAction>(
      { kind: "delete" },
      { kind: "repeat" },
      { kind: "swap" },
      { kind: "wrap" },
    ),
    weight: 3,
  },
);

const jsonMutation: fc.Arbitrary<JsonMutation> = fc.record({
  path: fc.array(fc.nat(1 << 16), { minLength: 0, maxLength: 7 }),
  action: jsonAction,
});

/**
 * Text of JSON values, each with up to four mutations in its tree: values of another type or out of bounds, keys that
 * stand twice, children left out, changed places, one level more.
 *
 * @param values The values
 * @returns Texts, not all of them JSON
 */
export function hostileJson(values: readonly unknown[]): fc.Arbitrary<string> {
  return fc.tuple(
    fc.constantFrom(...values),
    someOf(jsonMutation, 4),
  ).map(([value, mutations]) => write(value, mutations));
}

/** JSON text in which the nodes that mutations lead to are others. */
function write(value: unknown, mutations: readonly JsonMutation[]): string {
  const here = mutations.find(({ path }) => path.length === 0);
  if (here?.action.kind === "replace") return here.action.text;
  if (typeof value !== "object" || value === null) {
    return mutations[0]?.action.kind === "replace"
      ? mutations[0].action.text
      : JSON.stringify(value);
  }
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const parts = entries.map(([key, child], index) => {
    const inside = mutations.filter(({ path }) => path.length > 0)
      .filter(({ path }) => path[0] % entries.length === index)
      .map((mutation) => ({ ...mutation, path: mutation.path.slice(1) }));
    const text = inside.length === 0 ? JSON.stringify(child) : write(child, inside);
    return inside.some(({ path, action }) => path.length === 0 && action.kind === "delete")
      ? undefined
      : isList
      ? text
      : `${JSON.stringify(key)}:${text}`;
  }).filter((part) => part !== undefined);
  if (here?.action.kind === "repeat") parts.push(...parts.slice(0, 1));
  if (here?.action.kind === "swap") parts.reverse();
  const text = isList ? `[${parts.join(",")}]` : `{${parts.join(",")}}`;
  return here?.action.kind === "wrap" ? `[${text}]` : text;
}

/**
 * Text as a file has it.
 *
 * @param text The text; lone surrogates in it become what UTF-8 has for them
 * @returns Its bytes
 */
export function bytesOf(text: string): Bytes {
  return new TextEncoder().encode(text);
}

/**
 * Files of JSON: trees with mutations, and bytes with mutations.
 *
 * @param values What real files hold
 * @returns Hostile files
 */
export function hostileJsonFiles(values: readonly unknown[]): fc.Arbitrary<Bytes> {
  return fc.oneof(
    { arbitrary: hostileJson(values).map(bytesOf), weight: 3 },
    {
      arbitrary: hostileBytes(values.map((value) => bytesOf(JSON.stringify(value)))),
      weight: 1,
    },
  );
}
