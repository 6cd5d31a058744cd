// The arithmetic of a heat map: which rows are worth showing, how dark a cell is, and which cell
// is meant.
import type { Num } from "./json.ts";

/** A column is a bucket of time, a row one of the histogram, from the lowest up. */
export interface Cell {
  column: number;
  row: number;
}

/** For each column a number for each row. */
export type Counts = readonly (readonly Num[])[];

/** The first and the last row that holds anything in any column; null if none does. */
export function rowsOf(columns: Counts): { first: number; last: number } | null {
  let first = Infinity;
  let last = -1;
  for (const counts of columns) {
    const low = counts.findIndex((count) => Number(count) > 0);
    if (low < 0) continue;
    first = Math.min(first, low);
    last = Math.max(last, counts.findLastIndex((count) => Number(count) > 0));
  }
  return last < 0 ? null : { first, last };
}

/** The largest number of all. */
export function maxOf(columns: Counts): number {
  return columns.reduce(
    (max, counts) => counts.reduce<number>((top, count) => Math.max(top, Number(count)), max),
    0,
  );
}

/**
 * How dark a count is, above 0 to 1. Logarithmic, as counts of a histogram differ by orders of
 * magnitude, and a single slow request must not vanish beside a thousand fast ones.
 */
export function shadeOf(count: number, max: number): number {
  if (!(count > 0) || !(max > 0)) return 0;
  if (max <= 1) return 1;
  return Math.log(count) / Math.log(max);
}

export type Rgb = readonly [number, number, number];

/** The colour at 0 to 1 between the first and the last of some colours. */
export function mix(stops: readonly Rgb[], at: number): string {
  const place = Math.min(Math.max(at, 0), 1) * (stops.length - 1);
  const idx = Math.min(Math.floor(place), stops.length - 2);
  const [low, high] = [stops[idx], stops[idx + 1]];
  if (low === undefined || high === undefined) return "transparent";
  const part = place - idx;
  const between = (one: 0 | 1 | 2) => Math.round(low[one] + (high[one] - low[one]) * part);
  const [red, green, blue] = [between(0), between(1), between(2)];
  return `rgb(${red} ${green} ${blue})`;
}

/** The cell at a point of a box; null outside. */
export function cellAt(
  x: number,
  y: number,
  box: { width: number; height: number },
  columns: number,
  rows: number,
): Cell | null {
  if (x < 0 || y < 0 || x >= box.width || y >= box.height) return null;
  const column = Math.floor((x / box.width) * columns);
  return { column, row: rows - 1 - Math.floor((y / box.height) * rows) };
}

/** The cell that a key leads to; null if the key does not move. */
export function moved(cell: Cell | null, key: string, columns: number, rows: number): Cell | null {
  const at = cell ?? { column: columns, row: 0 };
  const steps: Record<string, Cell> = {
    ArrowLeft: { column: at.column - 1, row: at.row },
    ArrowRight: { column: cell === null ? 0 : at.column + 1, row: at.row },
    ArrowUp: { column: cell === null ? columns - 1 : at.column, row: at.row + 1 },
    ArrowDown: { column: cell === null ? columns - 1 : at.column, row: at.row - 1 },
    Home: { column: 0, row: at.row },
    End: { column: columns - 1, row: at.row },
  };
  const next = steps[key];
  if (next === undefined) return null;
  return { column: clamp(next.column, columns), row: clamp(next.row, rows) };
}

function clamp(value: number, length: number): number {
  return Math.min(Math.max(value, 0), length - 1);
}

/** Indices that have room for a text of a width each, evenly spaced from the first one on. */
export function ticksOf(length: number, size: number, each: number): number[] {
  if (length === 0) return [];
  const step = Math.max(1, Math.ceil((length * each) / Math.max(size, each)));
  return Array.from({ length: Math.ceil(length / step) }, (_, idx) => idx * step);
}

/** Counts for a legend: the least, one in the middle of the scale, the most. */
export function legendOf(max: number): number[] {
  if (max < 1) return [];
  return [...new Set([1, Math.round(Math.sqrt(max)), max])];
}

/** Whether a label is that of what came before all rows: it has no place on a time axis. */
export function isEarlier(label: string | undefined): boolean {
  return label === "earlier";
}
