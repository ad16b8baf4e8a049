/**
 * Activations of the gate.
 * @module
 */
import type { Architecture } from "../../../model/types.ts";

/** The gate's activation. */
export type Activation = Architecture["activation"];

/**
 * Code of an activation.
 *
 * WGSL has no error function: `gelu` takes Abramowitz and Stegun's 7.1.26, which is off by at most 1.5e-7. Arguments of
 * exponentials are bounded, since WGSL leaves open what comes of an overflow.
 *
 * @param activation Which one
 * @returns A function `activate` of four numbers in WGSL
 */
export function activationCode(activation: Activation): string {
  return `fn activate(x: vec4<f32>) -> vec4<f32> { ${BODIES[activation]} }`;
}

const BODIES: Readonly<Record<Activation, string>> = {
  silu: "return x / (1.0 + exp(min(-x, vec4<f32>(80.0))));",
  relu: "return max(x, vec4<f32>());",
  gelu_tanh: `
    let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh(clamp(inner, vec4<f32>(-15.0), vec4<f32>(15.0))));`,
  gelu: `
    let z = min(abs(x) * 0.7071067811865476, vec4<f32>(9.0));
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    let erf = sign(x) * (1.0 - series * exp(-z * z));
    return 0.5 * x * (1.0 + erf);`,
};
