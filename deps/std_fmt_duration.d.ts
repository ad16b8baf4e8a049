/** Types of the parts of `@std/fmt/duration` in use. */
export interface FormatOptions {
  readonly style?: "narrow" | "digital" | "full";
  readonly ignoreZero?: boolean;
}
export function format(milliseconds: number, options?: FormatOptions): string;
