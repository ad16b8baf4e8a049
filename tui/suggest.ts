/**
 * "Did you mean …?" for words that are not on a list.
 * @module
 */

/**
 * The word of a list that a misspelt word is nearest to.
 *
 * @param word What was written
 * @param candidates What could have been meant
 * @returns The nearest candidate, or undefined where none is near
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase());
    // More than four letters in ten wrong is another word, not a slip.
    const near = distance <= Math.max(1, Math.floor(Math.max(word.length, candidate.length) * 0.4));
    if (near && distance < least) {
      best = candidate;
      least = distance;
    }
  }
  return best;
}

/** Letters to insert, delete, replace, or swap with a neighbour. */
function editDistance(a: string, b: string): number {
  const table = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= b.length; j++) table[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replaced = table[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
        ? table[i - 2][j - 2] + 1
        : Infinity;
      table[i][j] = Math.min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced, swapped);
    }
  }
  return table[a.length][b.length];
}
