// Colours of series, read from the theme. Those of one chart differ in lightness too, so that they
// can be told apart without telling colours apart.

/** Names of series colours in the order in which they are given out. */
export const SERIES_COLORS = [1, 2, 3, 4, 5, 6, 7, 8] as const;

export type SeriesColor = (typeof SERIES_COLORS)[number] | "rest" | "good" | "bad";

export function colorVar(color: SeriesColor): string {
  return `var(--gm-series-${color})`;
}

/** The colour of the n-th series; those beyond the palette are the rest. */
export function colorAt(idx: number): SeriesColor {
  return SERIES_COLORS[idx] ?? "rest";
}

/** The value of a custom property where an element is. */
export function read(element: Element, property: string): string {
  return getComputedStyle(element).getPropertyValue(property).trim();
}
