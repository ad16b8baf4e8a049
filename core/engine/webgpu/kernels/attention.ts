/**
 * Rotary embedding and causal grouped attention.
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { capCode, number } from "./reduce.ts";

/** What decides how attention is computed. */
export interface AttentionSettings {
  /** Channels of a head. */
  readonly headSize: number;
  /** Tokens that a token can look back on, itself included, or undefined for all. */
  readonly slidingWindow?: number;
  /** What q·k is multiplied by. */
  readonly scale: number;
  /** Scores s become cap · tanh(s / cap), where there is one. */
  readonly softCap?: number;
}

/** Queries of a workgroup of {@linkcode attentionKernel}. */
export const QUERIES = 32;

/**
 * Turns channel i and channel i + pairs of each query and key head by the angle of their token's position, in place.
 *
 * Bindings: 1 heads, `[tokens, stride]`, queries and keys first; 2 cosines and sines. Parameters: heads to turn, stride,
 * tokens per text, the first token's position. Workgroups: pairs / 64, tokens.
 *
 * @param headSize Channels of a head
 * @param pairs Pairs of channels that are turned; the channels behind them stay as they are
 * @returns The kernel
 */
export function rotaryKernel(headSize: number, pairs: number): Kernel {
  return {
    key: `rotary ${headSize} ${pairs}`,
    code: () => `
struct Parameters { heads: u32, stride: u32, length: u32, past: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read_write> heads: array<f32>;
@group(0) @binding(2) var<storage, read> tables: array<vec2<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.heads * ${pairs}u) { return; }
  let pair = id.x % ${pairs}u;
  let at = id.y * p.stride + (id.x / ${pairs}u) * ${headSize}u + pair;
  let turn = tables[(p.past + id.y % p.length) * ${pairs}u + pair];
  let a = heads[at];
  let b = heads[at + ${pairs}u];
  heads[at] = a * turn.x - b * turn.y;
  heads[at + ${pairs}u] = b * turn.x + a * turn.y;
}`,
  };
}

/**
 * Copies keys and values behind those in a cache.
 *
 * Bindings: 1 heads, `[tokens, stride]`; 2 the cache, `[texts, capacity, cacheStride]`. Parameters: channels to copy, the
 * first of them, stride, cacheStride, tokens per text, the first token's position, capacity, the row of the first text's
 * first token. Workgroups: channels / 64, tokens.
 *
 * @returns The kernel
 */
export function appendKernel(): Kernel {
  return {
    key: "append",
    code: () => `
struct Parameters {
  channels: u32, first: u32, stride: u32, cacheStride: u32, length: u32, past: u32, capacity: u32,
  firstRow: u32,
}
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> heads: array<f32>;
@group(0) @binding(2) var<storage, read_write> cache: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.channels) { return; }
  let row = (id.y / p.length) * p.capacity + p.past + id.y % p.length;
  cache[row * p.cacheStride + id.x] = heads[(p.firstRow + id.y) * p.stride + p.first + id.x];
}`,
  };
}

const PARAMETERS = `
struct Parameters {
  length: u32, past: u32, group: u32,
  queryStride: u32, keyStride: u32, textKeys: u32, keyFirst: u32, valueFirst: u32, outputStride: u32,
  firstRow: u32,
}
@group(0) @binding(0) var<uniform> p: Parameters;`;

/**
 * softmax(scale · q kᵀ) v within each text, without scores in memory: keys come in blocks, and what was summed so
 * far is scaled whenever a larger score turns up (Dao et al., *FlashAttention*, arXiv 2205.14135).
 *
 * Bindings: 1 queries `[tokens, queryStride]`, 2 keys and values `[tokens, keyStride]`, 3 the output
 * `[tokens, outputStride]`. Parameters: tokens per text, 0, query heads per key head, the strides in numbers (output last), tokens of a text in the
 * keys, the first channel of keys and of values. Workgroups: queries / 32, query heads, texts.
 *
 * @param settings Head size, window, scale and cap
 * @returns The kernel
 */
export function attentionKernel(settings: AttentionSettings): Kernel {
  return {
    key: `attention ${keyOf(settings)}`,
    code: () => attentionCode(settings),
  };
}

function keyOf({ headSize, slidingWindow, scale, softCap }: AttentionSettings): string {
  const cap = softCap === undefined ? "" : ` cap ${softCap}`;
  return `${headSize} ${slidingWindow ?? "all"} ${scale}${cap}`;
}

/** A score of q·k. */
function scoreCode(product: string, { scale, softCap }: AttentionSettings): string {
  const scaled = `${product} * ${number(scale)}`;
  return softCap === undefined ? scaled : capCode(scaled, softCap, "f32");
}

/** Rows of a thread. */
const ROWS = 4;

function attentionCode(settings: AttentionSettings): string {
  const { headSize, slidingWindow } = settings;
  const fours = Math.ceil(headSize / 4);
  // Wide heads get more threads, so that no thread holds more than 16 × 4 sums of outputs.
  const across = fours <= 32 ? 8 : 16;
  const down = QUERIES / ROWS;
  const keys = 32;
  const perThread = keys / across;
  const groups = Math.ceil(fours / across);
  const threads = across * down;
  const each = (count: number, code: (index: number) => string, separator = "\n      ") =>
    Array.from({ length: count }, (_, index) => code(index)).join(separator);
  const weightsType = `vec${perThread}<f32>`;
  const scores = (row: number, key: number) => `s${row}_${key}`;
  return `${PARAMETERS}
@group(0) @binding(1) var<storage, read> queries: array<${elementOf(headSize)}>;
@group(0) @binding(2) var<storage, read> keysAndValues: array<${elementOf(headSize)}>;
@group(0) @binding(3) var<storage, read_write> output: array<${elementOf(headSize)}>;
var<workgroup> queryTile: array<vec4<f32>, ${QUERIES * (across + 1)}>;
var<workgroup> keyTile: array<vec4<f32>, ${keys * (across + 1)}>;
var<workgroup> weights: array<${weightsType}, ${QUERIES * (across + 1)}>;
var<workgroup> partials: array<f32, ${QUERIES * (across + 1)}>;
${loadHeadCode(headSize)}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ${across}u;
  let down = thread / ${across}u;
  let firstQuery = workgroup.x * ${QUERIES}u;
  let head = workgroup.y;
  let text = workgroup.z;
  let queryChannel = head * ${headSize}u;
  let keyChannel = p.keyFirst + head / p.group * ${headSize}u;
  let valueChannel = p.valueFirst + head / p.group * ${headSize}u;
  ${each(ROWS, (r) => `var largest${r} = -1.0e30; var total${r} = 0.0;`)}
  ${each(ROWS, (r) => each(groups, (g) => `var o${r}_${g} = vec4<f32>();`))}
  let lastKey = min(p.length, firstQuery + ${QUERIES}u);
  ${
    slidingWindow === undefined ? "let firstKey = 0u;" : `var firstKey = 0u;
  if (firstQuery + 1u > ${slidingWindow}u) { firstKey = (firstQuery + 1u - ${slidingWindow}u) / ${keys}u * ${keys}u; }`
  }
  for (var block = firstKey; block < lastKey; block += ${keys}u) {
    ${each(ROWS, (r) => each(perThread, (k) => `var ${scores(r, k)} = 0.0;`, " "))}
    for (var start = 0u; start < ${fours}u; start += ${across}u) {
      for (var at = thread; at < ${QUERIES * across}u; at += ${threads}u) {
        let row = firstQuery + at / ${across}u;
        let four = start + at % ${across}u;
        var value = vec4<f32>();
        if (row < p.length && four < ${fours}u) {
          value = loadQuery((text * p.length + row) * p.queryStride + queryChannel, four);
        }
        queryTile[at / ${across}u * ${across + 1}u + at % ${across}u] = value;
      }
      for (var at = thread; at < ${keys * across}u; at += ${threads}u) {
        let row = block + at / ${across}u;
        let four = start + at % ${across}u;
        var value = vec4<f32>();
        if (row < p.length && four < ${fours}u) {
          value = loadKey((text * p.textKeys + row) * p.keyStride + keyChannel, four);
        }
        keyTile[at / ${across}u * ${across + 1}u + at % ${across}u] = value;
      }
      workgroupBarrier();
      for (var d = 0u; d < ${across}u; d++) {
        ${
    each(ROWS, (r) => `let q${r} = queryTile[(down * ${ROWS}u + ${r}u) * ${across + 1}u + d];`)
  }
        ${
    each(perThread, (k) => `let k${k} = keyTile[(across + ${k * across}u) * ${across + 1}u + d];`)
  }
        ${each(ROWS, (r) => each(perThread, (k) => `${scores(r, k)} += dot(q${r}, k${k});`, " "))}
      }
      workgroupBarrier();
    }
    ${
    each(ROWS, (r) =>
      `let query${r} = firstQuery + down * ${ROWS}u + ${r}u;
    ${
        each(perThread, (k) =>
          `let seen${r}_${k} = block + across + ${k * across}u <= query${r}${
            slidingWindow === undefined
              ? ""
              : ` && block + across + ${k * across}u + ${slidingWindow}u > query${r}`
          };
    ${scores(r, k)} = select(-1.0e30, ${scoreCode(scores(r, k), settings)}, seen${r}_${k});`)
      }
    partials[(down * ${ROWS}u + ${r}u) * ${across + 1}u + across] = ${
        each(perThread, (k) => scores(r, k), ", ").split(", ").reduce((a, b) => `max(${a}, ${b})`)
      };`)
  }
    workgroupBarrier();
    ${
    each(ROWS, (r) =>
      `var new${r} = largest${r};
    for (var at = 0u; at < ${across}u; at++) { new${r} = max(new${r}, partials[(down * ${ROWS}u + ${r}u) * ${
        across + 1
      }u + at]); }
    let shrink${r} = exp(largest${r} - new${r});
    largest${r} = new${r};
    total${r} *= shrink${r};
    ${each(groups, (g) => `o${r}_${g} *= shrink${r};`, " ")}
    weights[(down * ${ROWS}u + ${r}u) * ${across + 1}u + across] = ${weightsType}(${
        each(
          perThread,
          (k) => `select(0.0, exp(${scores(r, k)} - largest${r}), seen${r}_${k})`,
          ", ",
        )
      });`)
  }
    ${
    each(groups, (g) => `
    for (var at = thread; at < ${keys * across}u; at += ${threads}u) {
      let row = block + at / ${across}u;
      let four = ${g * across}u + at % ${across}u;
      var value = vec4<f32>();
      if (row < p.length && four < ${fours}u) {
        value = loadKey((text * p.textKeys + row) * p.keyStride + valueChannel, four);
      }
      keyTile[at / ${across}u * ${across + 1}u + at % ${across}u] = value;
    }
    workgroupBarrier();
    for (var at = 0u; at < ${across}u; at++) {
      ${each(ROWS, (r) => `let w${r} = weights[(down * ${ROWS}u + ${r}u) * ${across + 1}u + at];`)}
      ${
      g > 0
        ? ""
        : each(ROWS, (r) => `total${r} += ${each(perThread, (k) => `w${r}.${"xyzw"[k]}`, " + ")};`)
    }
      ${
      each(perThread, (k) =>
        `let v${k} = keyTile[(at + ${k * across}u) * ${across + 1}u + across];
      ${each(ROWS, (r) => `o${r}_${g} += w${r}.${"xyzw"[k]} * v${k};`, " ")}`)
    }
    }
    workgroupBarrier();`)
  }
  }
  ${
    each(ROWS, (r) =>
      `if (firstQuery + down * ${ROWS}u + ${r}u < p.length) {
    let row = (text * p.length + firstQuery + down * ${ROWS}u + ${r}u) * p.outputStride + queryChannel;
    ${each(groups, (g) => `storeOutput(row, ${g * across}u + across, o${r}_${g} / total${r});`)}
  }`)
  }
}
`;
}

/**
 * The same for a few tokens after those in a cache: one workgroup for each of them.
 *
 * Bindings as of {@linkcode attentionKernel}. Parameters: new tokens per text, tokens before them, the rest as there, and
 * the row of the first text's first token.
 * Workgroups: new tokens, query heads, texts.
 *
 * @param settings Head size, window, scale and cap
 * @returns The kernel
 */
export function cachedAttentionKernel(settings: AttentionSettings): Kernel {
  return {
    key: `cached attention ${keyOf(settings)}`,
    code: () => cachedAttentionCode(settings),
  };
}

function cachedAttentionCode(settings: AttentionSettings): string {
  const { headSize, slidingWindow } = settings;
  const fours = Math.ceil(headSize / 4);
  const groups = Math.ceil(fours / 64);
  const each = (code: (group: number) => string) =>
    Array.from({ length: groups }, (_, group) => code(group)).join("\n    ");
  return `${PARAMETERS}
@group(0) @binding(1) var<storage, read> queries: array<${elementOf(headSize)}>;
@group(0) @binding(2) var<storage, read> keysAndValues: array<${elementOf(headSize)}>;
@group(0) @binding(3) var<storage, read_write> output: array<${elementOf(headSize)}>;
var<workgroup> query: array<vec4<f32>, ${fours}>;
var<workgroup> weights: array<f32, 64>;
${loadHeadCode(headSize)}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = workgroup.y;
  let text = workgroup.z;
  let token = p.firstRow + text * p.length + workgroup.x;
  let last = p.past + workgroup.x;
  let keyChannel = p.keyFirst + head / p.group * ${headSize}u;
  let valueChannel = p.valueFirst + head / p.group * ${headSize}u;
  for (var four = thread; four < ${fours}u; four += 64u) {
    query[four] = loadQuery(token * p.queryStride + head * ${headSize}u, four);
  }
  workgroupBarrier();
  var largest = -1.0e30;
  var total = 0.0;
  ${each((g) => `var o${g} = vec4<f32>();`)}
  ${
    slidingWindow === undefined
      ? "let first = 0u;"
      : `var first = 0u; if (last + 1u > ${slidingWindow}u) { first = last + 1u - ${slidingWindow}u; }`
  }
  for (var block = first; block <= last; block += 64u) {
    let key = block + thread;
    var score = -1.0e30;
    if (key <= last) {
      let row = (text * p.textKeys + key) * p.keyStride + keyChannel;
      var sum = 0.0;
      for (var four = 0u; four < ${fours}u; four++) { sum += dot(query[four], loadKey(row, four)); }
      score = ${scoreCode("sum", settings)};
    }
    weights[thread] = score;
    workgroupBarrier();
    let count = min(64u, last + 1u - block);
    var highest = largest;
    for (var at = 0u; at < count; at++) { highest = max(highest, weights[at]); }
    workgroupBarrier();
    weights[thread] = select(0.0, exp(score - highest), key <= last);
    workgroupBarrier();
    let shrink = exp(largest - highest);
    largest = highest;
    total *= shrink;
    ${each((g) => `o${g} *= shrink;`)}
    for (var at = 0u; at < count; at++) {
      let weight = weights[at];
      total += weight;
      let row = (text * p.textKeys + block + at) * p.keyStride + valueChannel;
      ${
    each((g) =>
      `if (thread + ${64 * g}u < ${fours}u) { o${g} += weight * loadKey(row, thread + ${
        64 * g
      }u); }`
    )
  }
    }
    workgroupBarrier();
  }
  ${
    each((g) =>
      `storeOutput(token * p.outputStride + head * ${headSize}u, thread + ${
        64 * g
      }u, o${g} / total);`
    )
  }
}
`;
}

function elementOf(headSize: number): string {
  return headSize % 4 === 0 ? "vec4<f32>" : "f32";
}

/** Reads and writes four channels of a head; heads that do not start at multiples of four go number by number. */
function loadHeadCode(headSize: number): string {
  const load = (name: string, source: string) =>
    headSize % 4 === 0
      ? `fn ${name}(head: u32, four: u32) -> vec4<f32> { return ${source}[head / 4u + four]; }`
      : `fn ${name}(head: u32, four: u32) -> vec4<f32> {
  var value = vec4<f32>();
  for (var one = 0u; one < 4u; one++) {
    if (four * 4u + one < ${headSize}u) { value[one] = ${source}[head + four * 4u + one]; }
  }
  return value;
}`;
  const store = headSize % 4 === 0
    ? `if (four < ${headSize / 4}u) { output[head / 4u + four] = value; }`
    : `for (var one = 0u; one < 4u; one++) {
    if (four * 4u + one < ${headSize}u) { output[head + four * 4u + one] = value[one]; }
  }`;
  return `${load("loadQuery", "queries")}
${load("loadKey", "keysAndValues")}
fn storeOutput(head: u32, four: u32, value: vec4<f32>) {
  ${store}
}`;
}
