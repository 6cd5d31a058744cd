// A chart of series over buckets of time: drawn by uPlot, with all its numbers as a table beside it
// for those who cannot see or point, and for tests. Dragging zooms, arrow keys walk.
import { useEffect, useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { Figure } from "@/components/figure.tsx";
import { useFormats, useView } from "@/components/view.ts";
import { useShownSpan } from "@/components/zoom.ts";
import { durationTick, type Kind } from "@/lib/format.ts";
import type { Num } from "@/lib/json.ts";

import { bucketsOf, EARLIER, endOf, partOf } from "./buckets.ts";
import { ChartTable } from "./chart-table.tsx";
import { colorVar, type SeriesColor } from "./palette.ts";
import { columnsOf, plot, pointAt, showSpan, type Mode, type PlotOptions } from "./plot.ts";
import styles from "./time-chart.module.css";
import { ChartTip, usePointer } from "./tip.tsx";

export interface ChartSeries {
  /** As in data-key: `bucket/key`. */
  key: string;
  label: string;
  color: SeriesColor;
  values: (Num | null)[];
}

export interface TimeChartProps {
  /** Name of the figures, such as overview.trend. */
  name: string;
  label: string;
  /** Starts of buckets, as the API labels them. */
  labels: string[];
  stepSeconds: Num | null;
  /** End of the range that the API covered. */
  to: string | null;
  series: ChartSeries[];
  kind: Kind;
  mode: Mode;
  height?: number;
  /** Called with milliseconds since the epoch if a part is chosen. */
  onZoom?: ((from: number, to: number) => void) | undefined;
}

const MIDNIGHT = "00:00";
const DAY_SECONDS = 86_400;
const MONTH_SECONDS = 27 * DAY_SECONDS;

export function TimeChart(props: TimeChartProps) {
  const { name, label, labels, series, kind, mode, height = 220, to } = props;
  const { zone, language, theme, t } = useView();
  const formats = useFormats();
  const root = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot>(null);
  const pointer = usePointer();
  const [isTable, setIsTable] = useState(false);
  const step = props.stepSeconds === null ? null : Number(props.stepSeconds);
  const buckets = useMemo(() => bucketsOf(labels, step, to), [labels, step, to]);
  const skip = buckets.hasEarlier ? 1 : 0;
  const [span, choose] = useShownSpan(buckets);

  const timeOf = (seconds: number, apart: number) => {
    const detail = apart >= MONTH_SECONDS ? "month" : apart >= DAY_SECONDS ? "date" : "clock";
    const text = formats.moment(seconds * 1_000, detail);
    // Where a day begins its date says more than 00:00.
    return text === MIDNIGHT ? formats.moment(seconds * 1_000, "date") : text;
  };
  const canZoom = props.onZoom !== undefined;
  const options: PlotOptions = {
    mode,
    buckets,
    span: () => span,
    zone,
    height,
    series: series.map(({ values, ...rest }) => ({
      ...rest,
      values: values.slice(skip).map((value) => (value === null ? null : Number(value))),
    })),
    isTime: kind === "ms",
    tick: (value) => {
      if (kind === "ms") return durationTick(value, language);
      return formats.show(value, kind === "count" ? "compact" : kind);
    },
    timeTick: timeOf,
    onHover: pointer.set,
    onZoom: (from, until) => {
      choose([from, until]);
      props.onZoom?.(from * 1_000, until * 1_000);
    },
  };
  const newest = useRef(options);
  useEffect(() => { newest.current = options; });

  // What a chart is made of; numbers alone are put into the one that is there.
  const shape = [
    theme, language, zone, mode, height, kind, canZoom, isTable,
    buckets.starts.length, buckets.starts[0], buckets.end,
    ...series.map(({ key, label: text, color }) => `${key}\n${text}\n${color}`),
  ].join("\n");
  useEffect(() => {
    const element = root.current;
    if (element === null) return;
    const zoom: PlotOptions["onZoom"] = (from, until) => newest.current.onZoom?.(from, until);
    const part: PlotOptions["span"] = () => newest.current.span();
    const onZoom = canZoom ? zoom : undefined;
    const chart = plot(element, { ...newest.current, span: part, onZoom });
    drawn.current = chart;
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0) chart.setSize({ width, height: newest.current.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.current = null;
      chart.destroy();
    };
  }, [shape, canZoom]);
  const values = series.map((one) => one.values);
  const isEmpty = values.every((list) => list.every((value) => value === null || value === 0));
  useEffect(() => {
    drawn.current?.setData(columnsOf(newest.current));
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the numbers, not the lists
  }, [shape, JSON.stringify(values)]);
  useEffect(() => {
    if (drawn.current !== null) showSpan(drawn.current, newest.current);
  }, [span]);

  const walk = (event: React.KeyboardEvent) => {
    const chart = drawn.current;
    const whole = [0, buckets.starts.length] as const;
    const [first, after] = (span === null ? null : partOf(buckets, span)) ?? whole;
    const at = pointer.now()?.idx ?? (event.key === "ArrowLeft" ? after : first - 1);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: first, End: after - 1 }[event.key];
    if (chart === null || next === undefined) return;
    event.preventDefault();
    pointAt(chart, buckets, Math.min(Math.max(next, first), after - 1));
  };
  const leave = () => { drawn.current?.setCursor({ left: -10, top: -10 }); };
  const spanText = (idx: number) => {
    const [start = 0, end] = [buckets.starts[idx], endOf(buckets, idx)];
    if (end - start >= MONTH_SECONDS && step === null) return timeOf(start, MONTH_SECONDS);
    if (end - start >= DAY_SECONDS - 7_200) return formats.moment(start * 1_000, "day");
    const until = formats.moment(end * 1_000, "clock");
    return `${formats.moment(start * 1_000)} – ${until}`;
  };

  return (
    <div className={styles.chart} aria-busy={span !== null}>
      <div className={styles.bar}>
        <ul className={styles.legend}>
          {series.map((one) => (
            <li key={one.key}>
              <i className={styles.swatch} style={{ background: colorVar(one.color) }} />
              <bdi>{one.label}</bdi>
            </li>
          ))}
        </ul>
        <button
          type="button"
          className={styles.toggle}
          aria-pressed={isTable}
          aria-label={`${isTable ? t.common.asChart : t.common.asTable}: ${label}`}
          onClick={() => { setIsTable(!isTable); }}
        >
          {isTable ? t.common.asChart : t.common.asTable}
        </button>
      </div>
      {isTable ? (
        <ChartTable {...{ name, label, labels, series, kind, height }} />
      ) : (
        <div className={styles.stage} style={{ minHeight: height }}>
          <div
            ref={root}
            role="application"
            aria-roledescription={t.common.chart}
            aria-label={`${label}. ${t.common.chartHint}`}
            tabIndex={0}
            onKeyDown={walk}
            onBlur={leave}
            className={styles.plot}
          />
          {isEmpty && <p className={styles.nothing}>{t.common.noData}</p>}
          <ChartTip pointer={pointer}>
            {(idx) => buckets.starts[idx] !== undefined && (
              <>
                <strong>{spanText(idx)}</strong>
                {series.map((one) => (
                  <span key={one.key} className={styles.row}>
                    <i className={styles.swatch} style={{ background: colorVar(one.color) }} />
                    <bdi className={styles.what}>{one.label}</bdi>
                    <b>{formats.exact(one.values[idx + skip], kind)}</b>
                  </span>
                ))}
              </>
            )}
          </ChartTip>
        </div>
      )}
      {buckets.hasEarlier && !isTable && (
        <p className={styles.earlier}>
          {t.common.earlier}:{" "}
          {series.map((one) => (
            <span key={one.key}>
              <bdi>{one.label}</bdi>{" "}
              <Figure name={name} of={`${EARLIER}/${one.key}`} value={one.values[0]} kind={kind} />
              {" "}
            </span>
          ))}
        </p>
      )}
    </div>
  );
}
