/**
 * Numbers as people read them: the same shape everywhere, and a dash where there is no number.
 * @module
 */

/** What stands where a number is missing or not finite. */
export const missing = "–";

/**
 * A whole number with its thousands marked.
 *
 * @param value The number
 * @returns Text such as `2,457,936`
 */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : missing;
}

/**
 * A number with a fixed number of places.
 *
 * @param value The number, or undefined where there is none
 * @param places Places after the point
 * @returns Text such as `0.041`
 */
export function formatFixed(value: number | undefined | null, places: number): string {
  if (value === undefined || value === null || !Number.isFinite(value)) return missing;
  const text = value.toFixed(places);
  return Number(text) === 0 && text.startsWith("-") ? text.slice(1) : text;
}

/**
 * A perplexity or a ratio with about four digits that say something.
 *
 * @param value The number, or undefined where there is none
 * @returns Text such as `1.234`, `12.34`, `123.4`, `12,345`
 */
export function formatFigure(value: number | undefined | null): string {
  if (value === undefined || value === null || !Number.isFinite(value)) return missing;
  if (value >= 1e7) return value.toExponential(2);
  if (value >= 1000) return formatCount(value);
  return value.toFixed(value < 10 ? 3 : value < 100 ? 2 : 1);
}

/**
 * A share in percent.
 *
 * @param share The share, 1 being all
 * @param places Places after the point
 * @returns Text such as `50.0 %`
 */
export function formatPercent(share: number, places = 1): string {
  return Number.isFinite(share) ? `${formatFixed(100 * share, places)} %` : missing;
}

/**
 * A number of bytes in decimal units, as file managers show it.
 *
 * @param bytes The number of bytes
 * @returns Text such as `4.9 MB`
 */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return missing;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  // 999.5 would round to "1000 kB", so it already counts as the next unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * A time span in words, short ones with a part of a second.
 *
 * @param seconds The seconds
 * @returns Text such as `0.4 s`, `12 s`, `2 min 05 s`, `1 h 02 min`
 */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return missing;
  if (seconds < 9.95) return `${formatFixed(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
}
