/**
 * Pieces of code that kernels share.
 * @module
 */

/** Threads of the workgroups of kernels that look at one row or channel at a time. */
export const THREADS = 64;

/**
 * Halves an array of shared memory until its first number is the sum or the largest of all.
 *
 * @param name The array, of {@linkcode THREADS} numbers
 * @param operation What is made of two of them
 * @returns Code that all threads run
 */
export function reduceCode(name: string, operation: "+" | "max"): string {
  const combine = operation === "+"
    ? `${name}[thread] += ${name}[thread + step];`
    : `${name}[thread] = max(${name}[thread], ${name}[thread + step]);`;
  return `workgroupBarrier();
  for (var step = ${THREADS / 2}u; step > 0u; step /= 2u) {
    if (thread < step) { ${combine} }
    workgroupBarrier();
  }`;
}

/**
 * x becomes cap · tanh(x / cap). The argument is bounded, since some drivers make a hyperbolic tangent of exponentials
 * that overflow; past 15, float32 knows no difference from 1.
 *
 * @param value Code of one or four numbers
 * @param cap The cap
 * @param type The numbers' type in WGSL
 * @returns Code
 */
export function capCode(value: string, cap: number, type: "f32" | "vec4<f32>"): string {
  const bound = (limit: string) => type === "f32" ? limit : `${type}(${limit})`;
  return `(${number(cap)} * tanh(clamp((${value}) / ${number(cap)}, ${bound("-15.0")}, ${
    bound("15.0")
  })))`;
}

/**
 * A number as WGSL writes it.
 *
 * @param value The number
 * @returns Digits with a point or an exponent
 */
export function number(value: number): string {
  const text = String(Math.fround(value) === value ? value : Number(value.toPrecision(9)));
  return /[.e]/.test(text) ? text : `${text}.0`;
}
