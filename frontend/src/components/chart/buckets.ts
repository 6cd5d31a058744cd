// Buckets of time as the API labels them, as seconds that a chart can place.

/** Label of the bucket that holds what came before all rows. */
export const EARLIER = "earlier";

export interface Buckets {
  /** Start of each, seconds since the epoch. */
  starts: number[];
  /** End of the last one. */
  end: number;
  /** Whether the first one is what came before all rows: it has no place on a time axis. */
  hasEarlier: boolean;
}

/** From and to, seconds since the epoch. */
export type Span = [number, number];

export function isSame(one: Span, other: Span): boolean {
  return one[0] === other[0] && one[1] === other[1];
}

/** Length of a month, where the API gives none: for the last bucket only. */
const MONTH_SECONDS = 31 * 86_400;

/** Buckets from labels. `step` is null for months, `to` null if the range has no end. */
export function bucketsOf(labels: string[], step: number | null, to: string | null): Buckets {
  const hasEarlier = labels[0] === EARLIER;
  const dated = hasEarlier ? labels.slice(1) : labels;
  const starts = dated.map((label) => Date.parse(label) / 1_000);
  const last = starts.at(-1) ?? 0;
  const end = last + (step ?? MONTH_SECONDS);
  const limit = to === null ? NaN : Date.parse(to) / 1_000;
  return { starts, end: limit > last ? limit : end, hasEarlier };
}

/** End of a bucket: where the next one starts. */
export function endOf(buckets: Buckets, idx: number): number {
  return buckets.starts[idx + 1] ?? buckets.end;
}

/** From the first to the last one. */
export function wholeOf(buckets: Buckets): Span {
  return [buckets.starts[0] ?? 0, buckets.end];
}

/** The buckets that lie between two points, aligned outward; null if that is none. */
export function spanOf(buckets: Buckets, from: number, to: number): Span | null {
  const { starts } = buckets;
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const idx = Math.max(0, starts.findLastIndex((start) => start <= low));
  const first = starts[idx];
  if (first === undefined || low >= buckets.end) return null;
  const after = starts.find((start) => start >= high) ?? buckets.end;
  return after > first ? [first, after] : null;
}

/** Indexes of the first bucket of a span and of the one after it; null if it reaches beyond. */
export function partOf(buckets: Buckets, span: Span): [number, number] | null {
  const { starts, end } = buckets;
  const [from, to] = span;
  const [first, last] = [starts.findLastIndex((start) => start <= from), starts.length];
  if (first < 0 || to > end) return null;
  const after = starts.findIndex((start) => start >= to);
  return [first, after < 0 ? last : after];
}
