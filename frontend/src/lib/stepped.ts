// Which rows of a long list are in the document.

/** Rows that come and go together: every change has the browser paint the table anew. */
const STEP = 4;

/** The first and the last row that is seen, of so many. */
export interface Seen {
  startIndex: number;
  endIndex: number;
  count: number;
}

/**
 * Rows that are in the document: those that are seen and some on either side. Both ends move at the
 * same time, so that the table is drawn anew once in so many rows and not twice.
 */
export function stepped({ startIndex, endIndex, count }: Seen): number[] {
  const start = Math.floor(startIndex / STEP) * STEP;
  const first = Math.max(0, start - STEP);
  // A list that is scrolled by half a row shows one more than a list that is not.
  const steps = Math.ceil((endIndex - startIndex + 2) / STEP) + 1;
  const end = Math.min(count, start + steps * STEP);
  return Array.from({ length: Math.max(end - first, 0) }, (_, idx) => first + idx);
}
