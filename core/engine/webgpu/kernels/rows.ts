/**
 * Kernels that look at one row or one channel at a time: scaling, sums over tokens, losses.
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { reduceCode, THREADS } from "./reduce.ts";

/** What is subtracted from rows before they are scaled: other rows, or those and a bias. */
export type Subtrahend = "nothing" | "rows" | "rows and bias";

/**
 * x * scale, (x - y) * scale or (x - y - bias) * scale, each row by its own scale.
 *
 * Bindings: 1 x, 2 scales, 3 the output, 4 y, 5 the bias. Parameters: fours in a row, rows. Workgroups:
 * {@linkcode elementWorkgroups}.
 *
 * @param subtrahend What is subtracted
 * @returns The kernel
 */
export function scaleKernel(subtrahend: Subtrahend): Kernel {
  const [minus, biased] = [subtrahend !== "nothing", subtrahend === "rows and bias"];
  return {
    key: `scale less ${subtrahend}`,
    code: () => `
struct Parameters { stride: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
${minus ? "@group(0) @binding(4) var<storage, read> other: array<vec4<f32>>;" : ""}
${biased ? "@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>;" : ""}
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.stride || id.y >= p.rows) { return; }
  let at = id.y * p.stride + id.x;
  output[at] = (input[at]${minus ? " - other[at]" : ""}${
      biased ? " - bias[id.x]" : ""
    }) * scales[id.y];
}`,
  };
}

/**
 * Workgroups of kernels with a thread for each four numbers of a row.
 *
 * @param fours Fours in a row
 * @param rows Rows
 * @returns Workgroups along each axis
 */
export function elementWorkgroups(fours: number, rows: number): [number, number, number] {
  return [Math.ceil(fours / THREADS), rows, 1];
}

/**
 * Σ x and Σ x² of every channel, over parts of the rows that are added up later.
 *
 * Bindings: 1 x, 2 the output `[parts, 2, stride]`. Parameters: fours in a row, rows, rows in a part, whether to
 * add to what is there. Workgroups: {@linkcode elementWorkgroups} with parts for rows.
 *
 * @returns The kernel
 */
export function sumsKernel(): Kernel {
  return {
    key: "sums",
    code: () => `
struct Parameters { stride: u32, rows: u32, partRows: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.stride) { return; }
  var sum = vec4<f32>();
  var squares = vec4<f32>();
  let last = min(p.rows, (id.y + 1u) * p.partRows);
  for (var row = id.y * p.partRows; row < last; row++) {
    let x = input[row * p.stride + id.x];
    sum += x;
    squares += x * x;
  }
  let at = 2u * id.y * p.stride + id.x;
  if (p.accumulate != 0u) {
    sum += output[at];
    squares += output[at + p.stride];
  }
  output[at] = sum;
  output[at + p.stride] = squares;
}`,
  };
}

/**
 * What a loss is made of, slice of the vocabulary by slice: the largest logit so far, Σ exp(logit - largest), and the
 * target's logit. One workgroup a row.
 *
 * Bindings: 1 logits of the slice, 2 targets (u32), 3 the state `[rows]` of vec4. Parameters: logits in the slice, stride
 * of a row, the slice's first token.
 *
 * @returns The kernel
 */
export function lossKernel(): Kernel {
  return {
    key: "loss",
    code: () => `
struct Parameters { size: u32, stride: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4<f32>>;
var<workgroup> partials: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = workgroup.x * p.stride;
  var largest = -3.0e38;
  for (var at = thread; at < p.size; at += ${THREADS}u) { largest = max(largest, logits[row + at]); }
  partials[thread] = largest;
  ${reduceCode("partials", "max")}
  var before = vec4<f32>(-3.0e38, 0.0, 0.0, 0.0);
  if (p.first > 0u) { before = state[workgroup.x]; }
  largest = max(partials[0], before.x);
  workgroupBarrier();
  var sum = 0.0;
  for (var at = thread; at < p.size; at += ${THREADS}u) { sum += exp(logits[row + at] - largest); }
  partials[thread] = sum;
  ${reduceCode("partials", "+")}
  if (thread == 0u) {
    let target_ = targets[workgroup.x];
    var logit = before.z;
    if (target_ >= p.first && target_ < p.first + p.size) { logit = logits[row + target_ - p.first]; }
    state[workgroup.x] = vec4<f32>(largest, before.y * exp(before.x - largest) + partials[0], logit, 0.0);
  }
}`,
  };
}
