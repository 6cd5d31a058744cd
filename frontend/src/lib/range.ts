// Ranges of time, as the address and the API name them.

/** The API's named ranges, in the order of the picker. */
export const NAMED_RANGES = [
  "15m",
  "1h",
  "6h",
  "24h",
  "today",
  "yesterday",
  "week",
  "month",
  "all",
] as const;

export type NamedRange = (typeof NAMED_RANGES)[number];

/** What is shown if the address names no range. */
export const DEFAULT_RANGE: NamedRange = "today";

/** A named range, or one of two points in time. Times are RFC 3339. */
export type Range = { name: NamedRange } | { from: string; to: string };

/** Parts of an address that say when. */
export interface RangeSearch {
  range?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

export function isNamed(text: string | undefined): text is NamedRange {
  return NAMED_RANGES.some((name) => name === text);
}

/** Two points in time win over a name, as the API allows only one of both. */
export function rangeOf(search: RangeSearch): Range {
  if (search.from !== undefined && search.to !== undefined) {
    return { from: search.from, to: search.to };
  }
  return { name: isNamed(search.range) ? search.range : DEFAULT_RANGE };
}

/** Parameters of the API. */
export interface RangeParams {
  timeRange?: NamedRange;
  from?: string;
  to?: string;
  tz: string;
}

export function paramsOf(range: Range, tz: string): RangeParams {
  return "name" in range ? { timeRange: range.name, tz } : { from: range.from, to: range.to, tz };
}

/** RFC 3339 without a fraction, in UTC. */
export function isoOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** A range of two points in time as seconds since the epoch; null if it is none. */
export function secondsOf(range: Range): [number, number] | null {
  if ("name" in range) return null;
  const [from, to] = [Date.parse(range.from) / 1_000, Date.parse(range.to) / 1_000];
  return from < to ? [from, to] : null;
}

/** How often a view of this range is asked for again, milliseconds. False if it hardly changes. */
export function refreshMs(range: Range): number | false {
  if (!("name" in range)) return false;
  switch (range.name) {
    case "15m":
    case "1h":
    case "6h":
      return 5_000;
    case "24h":
    case "today":
      return 10_000;
    case "week":
    case "month":
    case "all":
      return 30_000;
    case "yesterday":
      return 60_000;
  }
}

const CALENDAR: readonly NamedRange[] = ["today", "yesterday", "week", "month"];

/**
 * The period of the same length before a range that an answer covers. Null where the calendar
 * decides: there the API says which period it is.
 */
export function rangeBefore(range: Range, covered: { from: string; to: string }): Range | null {
  if ("name" in range && (range.name === "all" || CALENDAR.includes(range.name))) return null;
  const [from, to] = [Date.parse(covered.from), Date.parse(covered.to)];
  return { from: isoOf(from - (to - from)), to: covered.from };
}
