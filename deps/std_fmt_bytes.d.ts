/** Types of the parts of `@std/fmt/bytes` in use. */
export interface FormatOptions {
  readonly binary?: boolean;
  readonly minimumFractionDigits?: number;
  readonly maximumFractionDigits?: number;
}
export function format(bytes: number, options?: FormatOptions): string;
