// uPlot, as every chart of the page sets it up. Nothing else imports it but the component beside.
import uPlot from "uplot";

import { endOf, isSame, spanOf, wholeOf, type Buckets, type Span } from "./buckets.ts";
import { read, type SeriesColor } from "./palette.ts";
import type { Pointed } from "./tip.tsx";

/** Bars show counts of a bucket, lines figures at a time. Stacked bars add up. */
export type Mode = "bars" | "stacked" | "lines";

export interface PlotSeries {
  key: string;
  label: string;
  color: SeriesColor;
  /** One for each bucket; null where there is nothing. */
  values: (number | null)[];
}

export interface PlotOptions {
  mode: Mode;
  buckets: Buckets;
  /** The part that is shown; null for all buckets. Asked whenever something is drawn. */
  span: () => Span | null;
  series: PlotSeries[];
  zone: string;
  height: number;
  tick: (value: number) => string;
  /** Whether values are milliseconds, whose round steps are those of a clock. */
  isTime: boolean;
  timeTick: (seconds: number, apart: number) => string;
  onHover: (pointed: Pointed | null) => void;
  onZoom: ((from: number, to: number) => void) | undefined;
}

/** Steps of an axis of milliseconds, up to an hour. */
const MS_STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600].map((seconds) => seconds * 1_000),
];

/** Steps of an axis of counts: whole numbers, as there is no half request. */
const POWERS = Array.from({ length: 16 }, (_, power) => 10 ** power);
const STEPS = POWERS.flatMap((power) => [1, 2, 5].map((n) => n * power));

/** Columns for uPlot. Stacked series are drawn from the sum down, so that each covers the next. */
export function columnsOf(options: PlotOptions): uPlot.AlignedData {
  const { buckets, mode, series } = options;
  if (mode !== "stacked") return [buckets.starts, ...series.map(({ values }) => values)];
  const sums = buckets.starts.map(() => 0);
  const stacked = series.map(({ values }) =>
    values.map((value, idx) => (sums[idx] = (sums[idx] ?? 0) + (value ?? 0))),
  );
  return [buckets.starts, ...stacked.reverse()];
}

function pathsOf(mode: Mode, buckets: Buckets): uPlot.Series.PathBuilder | undefined {
  const { bars } = uPlot.paths;
  if (mode === "lines" || bars === undefined) return undefined;
  // A bar starts with its bucket; uPlot takes the widths from the distance of two.
  const single = buckets.starts.length === 1;
  return bars({ size: [single ? 0.2 : 0.78, 64, 1], align: 1, radius: mode === "bars" ? 0.1 : 0 });
}

function seriesOf(options: PlotOptions, root: Element): uPlot.Series[] {
  const ordered = options.mode === "stacked" ? [...options.series].reverse() : options.series;
  const paths = pathsOf(options.mode, options.buckets);
  return ordered.map(({ label, color }) => {
    const value = read(root, `--gm-series-${color}`);
    const isLine = options.mode === "lines";
    const line: uPlot.Series = { label, stroke: value, width: isLine ? 2 : 0, spanGaps: false };
    const few = options.buckets.starts.length <= 60;
    if (isLine) return { ...line, points: { show: few, size: 5, fill: value } };
    return { ...line, fill: value, points: { show: false }, ...(paths ? { paths } : {}) };
  });
}

function axesOf(options: PlotOptions, root: Element): uPlot.Axis[] {
  const soft = read(root, "--gm-soft");
  const grid = { stroke: read(root, "--gm-grid"), width: 1 };
  const font = `12px ${read(root, "font-family") || "sans-serif"}`;
  const shared: uPlot.Axis = { stroke: soft, font, grid, ticks: { show: false } };
  const time: uPlot.Axis = {
    ...shared,
    grid: { show: false },
    space: 76,
    // Low enough for the first label to clear that of the other axis at its zero.
    gap: 9,
    size: 32,
    values: (_, splits) => {
      const apart = (splits[1] ?? Infinity) - (splits[0] ?? 0);
      return splits.map((split) => options.timeTick(split, apart));
    },
  };
  const value: uPlot.Axis = {
    ...shared,
    space: 36,
    size: (_, values) => {
      // uPlot has none before it has drawn once.
      const texts = (values as string[] | null) ?? [];
      const longest = Math.max(0, ...texts.map((text) => text.length));
      return 14 + longest * 7.2;
    },
    values: (_, splits) => splits.map(options.tick),
    incrs: options.isTime ? MS_STEPS : STEPS,
  };
  return [time, value];
}

/** Index of the bucket that holds a time. */
function bucketAt(buckets: Buckets, seconds: number): number | null {
  const idx = buckets.starts.findLastIndex((start) => start <= seconds);
  return idx >= 0 && seconds < endOf(buckets, idx) ? idx : null;
}

/** Draws a chart into an element. */
export function plot(root: HTMLElement, options: PlotOptions): uPlot {
  const { buckets } = options;
  const isWhole = options.mode !== "lines";
  const range = () => options.span() ?? wholeOf(buckets);
  return new uPlot(
    {
      width: Math.max(root.clientWidth, 50),
      height: options.height,
      padding: [8, 22, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), options.zone),
      scales: {
        x: { time: true, range },
        y: { range: (_, __, max) => [0, topOf(max)] },
      },
      axes: axesOf(options, root),
      series: [{}, ...seriesOf(options, root)],
      cursor: {
        y: false,
        x: options.mode === "lines",
        points: { show: options.mode === "lines", size: 7 },
        drag: { x: options.onZoom !== undefined, y: false, setScale: false, dist: 6 },
        dataIdx: (_, __, closest, x) => (isWhole ? (bucketAt(buckets, x) ?? closest) : closest),
      },
      hooks: {
        setCursor: [
          (self) => {
            const { idx, left } = self.cursor;
            const isInside = left !== undefined && left >= 0;
            const place = (left ?? 0) + self.bbox.left / devicePixelRatio;
            if (!isInside || idx == null) options.onHover(null);
            else options.onHover({ idx, left: place, isRight: place > self.width / 2 });
          },
        ],
        setSelect: [
          (self) => {
            const { left, width } = self.select;
            if (width > 0) {
              const from = self.posToVal(left, "x");
              const span = spanOf(buckets, from, self.posToVal(left + width, "x"));
              self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
              if (span !== null) options.onZoom?.(...span);
            }
          },
        ],
      },
    },
    columnsOf(options),
    root,
  );
}

/** The top of the value axis: with room above, and at least 1, for counts of nothing. */
function topOf(max: number | null): number {
  if (max === null || !(max > 0)) return 1;
  return max * 1.08;
}

/** Draws anew if the part that is shown has become another one. */
export function showSpan(self: uPlot, { buckets, span }: Pick<PlotOptions, "buckets" | "span">) {
  const [min, max] = span() ?? wholeOf(buckets);
  const { x } = self.scales;
  if (!isSame([x?.min ?? NaN, x?.max ?? NaN], [min, max])) self.setScale("x", { min, max });
}

/** Puts the cursor on a bucket, for those who use keys. */
export function pointAt(self: uPlot, buckets: Buckets, idx: number) {
  const start = buckets.starts[idx];
  if (start === undefined) return;
  const middle = (start + endOf(buckets, idx)) / 2;
  self.setCursor({ left: self.valToPos(middle, "x"), top: 10 });
}
