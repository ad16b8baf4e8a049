/** Types of the parts of `@std/fmt/colors` in use. */
export function setColorEnabled(enabled: boolean): void;
export function getColorEnabled(): boolean;
export function bold(text: string): string;
export function dim(text: string): string;
export function red(text: string): string;
export function green(text: string): string;
export function yellow(text: string): string;
export function blue(text: string): string;
export function cyan(text: string): string;
export function gray(text: string): string;
export function stripAnsiCode(text: string): string;
