/**
 * Norms of whole rows, and of parts of rows (the heads of queries and keys).
 * @module
 */
import type { Kernel } from "./kernel.ts";
import { number, reduceCode, THREADS } from "./reduce.ts";

/** Which norm: x / √(mean(x²) + ε), or (x - mean(x)) / √(var(x) + ε). */
export type NormKind = "rms" | "layer";

/** What decides how rows are normed. */
export interface NormSettings {
  /** Which norm. */
  readonly kind: NormKind;
  /** ε. */
  readonly epsilon: number;
  /** Whether a bias is added. */
  readonly bias: boolean;
  /** Whether the residual stream is added. */
  readonly residual: boolean;
}

/**
 * Norm of x times weight, then plus bias and residual where there are such. One workgroup a row.
 *
 * Bindings: 1 x, 2 weight, 3 the output, then the bias and the residual, where they are. Parameters: numbers in a row,
 * stride of a row in fours.
 *
 * @param settings Which norm
 * @returns The kernel
 */
export function normKernel(settings: NormSettings): Kernel {
  const { kind, epsilon, bias, residual } = settings;
  const key = `norm ${kind} ${epsilon}${bias ? " bias" : ""}${residual ? " residual" : ""}`;
  return { key, code: () => normCode(settings) };
}

function normCode({ kind, epsilon, bias, residual }: NormSettings): string {
  const reads = [...(bias ? ["bias"] : []), ...(residual ? ["other"] : [])];
  const bindings = reads.map((name, index) =>
    `@group(0) @binding(${4 + index}) var<storage, read> ${name}: array<vec4<f32>>;`
  );
  return `
struct Parameters { size: u32, stride: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;
${bindings.join("\n")}
var<workgroup> partials: array<f32, ${THREADS}>;
${WITHIN}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = workgroup.x * p.stride;
  ${energyCode(kind)}
  let scale = 1.0 / sqrt(partials[0] / f32(p.size) + ${number(epsilon)});
  for (var at = thread; at < p.stride; at += ${THREADS}u) {
    let x = ${centred(kind)};
    output[row + at] = ${residual ? "other[row + at] + " : ""}x * scale * weight[at]${
    bias ? " + bias[at]" : ""
  };
  }
}`;
}

/**
 * What a norm without weight would multiply each row by: 1 / √(mean(x²) + ε), or 1 / √(var(x) + ε). One workgroup a row.
 *
 * Bindings: 1 x, 2 the output, one number a row. Parameters: numbers in a row, stride of a row in fours.
 *
 * @param kind Which norm
 * @param epsilon ε
 * @returns The kernel
 */
export function rowScalesKernel(kind: NormKind, epsilon: number): Kernel {
  return {
    key: `row scales ${kind} ${epsilon}`,
    code: () => `
struct Parameters { size: u32, stride: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
var<workgroup> partials: array<f32, ${THREADS}>;
${WITHIN}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = workgroup.x * p.stride;
  ${energyCode(kind)}
  if (thread == 0u) {
    scales[workgroup.x] = 1.0 / sqrt(partials[0] / f32(p.size) + ${number(epsilon)});
  }
}`,
  };
}

// What fills a row up is zero, and must not count where a mean is taken off.
const WITHIN = `fn within(value: vec4<f32>, four: u32) -> vec4<f32> {
  return select(vec4<f32>(), value, 4u * four + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.size));
}`;

/** Σ x², or Σ (x - mean)², of the row in the first of the partials. */
function energyCode(kind: NormKind): string {
  return `${kind === "rms" ? "" : meanCode("p.stride", "dot(input[row + at], vec4<f32>(1.0))")}
  var energy = 0.0;
  for (var at = thread; at < p.stride; at += ${THREADS}u) {
    let x = ${centred(kind)};
    energy += dot(x, x);
  }
  partials[thread] = energy;
  ${reduceCode("partials", "+")}`;
}

function centred(kind: NormKind): string {
  return kind === "rms" ? "input[row + at]" : "within(input[row + at] - mean, at)";
}

/** The mean of the row; the threads meet before and after. */
function meanCode(count: string, term: string): string {
  return `var sum = 0.0;
  for (var at = thread; at < ${count}; at += ${THREADS}u) { sum += ${term}; }
  partials[thread] = sum;
  ${reduceCode("partials", "+")}
  let mean = partials[0] / f32(p.size);
  workgroupBarrier();`;
}

/**
 * Norm of parts of rows in place: of each head, or of all heads together. One workgroup a part.
 *
 * Bindings: 1 rows, `[rows, stride]`; 2 weight, as long as a part. Parameters: numbers in a part, stride of a row, the
 * first number of the first part. Workgroups: rows, parts.
 *
 * @param kind Which norm
 * @param epsilon ε
 * @returns The kernel
 */
export function partNormKernel(kind: NormKind, epsilon: number): Kernel {
  const x = kind === "rms" ? "rows[part + at]" : "(rows[part + at] - mean)";
  return {
    key: `part norm ${kind} ${epsilon}`,
    code: () => `
struct Parameters { size: u32, stride: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
var<workgroup> partials: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let part = workgroup.x * p.stride + p.first + workgroup.y * p.size;
  ${kind === "rms" ? "" : meanCode("p.size", "rows[part + at]")}
  var energy = 0.0;
  for (var at = thread; at < p.size; at += ${THREADS}u) {
    let x = ${x};
    energy += x * x;
  }
  partials[thread] = energy;
  ${reduceCode("partials", "+")}
  let scale = 1.0 / sqrt(partials[0] / f32(p.size) + ${number(epsilon)});
  for (var at = thread; at < p.size; at += ${THREADS}u) {
    rows[part + at] = ${x} * scale * weight[at];
  }
}`,
  };
}
