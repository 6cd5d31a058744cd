// Counts over time and over the buckets of a histogram, the darker the more. Drawn on a canvas;
// each number is in the box of the cell that is pointed at or reached by keys, and in a table.
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { isEarlier, legendOf, maxOf, mix, moved, rowsOf, shadeOf, type Cell } from "@/lib/heat.ts";
import type { Num } from "@/lib/json.ts";

import { bucketsOf, endOf, partOf, spanOf } from "./chart/buckets.ts";
import { draw, PAD, pointOf, RAMPS, type Drawing } from "./heat-draw.ts";
import { HeatTable } from "./heat-table.tsx";
import styles from "./heat-map.module.css";
import { useFormats, useView } from "./view.ts";
import { useShownSpan } from "./zoom.ts";

export interface HeatMapProps {
  /** Name of the figures. */
  name: string;
  label: string;
  /** Starts of buckets of time, as the API labels them. */
  labels: string[];
  /** Upper bounds of the histogram, milliseconds; the last one is open. */
  bounds: (Num | null)[];
  /** A list for each label, with a number for each bound. */
  counts: Num[][];
  stepSeconds: Num | null;
  to: string | null;
  /** Called with milliseconds since the epoch if a part is chosen. */
  onZoom: (from: number, to: number) => void;
}

const HEIGHT = 276;
const DAY_SECONDS = 86_400;

export function HeatMap(props: HeatMapProps) {
  const { label } = props;
  const { t } = useView();
  const u = t.upstreams;
  const [isTable, setIsTable] = useState(false);
  return (
    <div className={styles.map}>
      <div className={styles.bar}>
        <Legend max={maxOf(props.counts)} />
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
        <div style={{ minHeight: HEIGHT }}>
          <HeatTable {...props} />
        </div>
      ) : (
        <Stage {...props} hint={u.heatHint} />
      )}
    </div>
  );
}

function Legend({ max }: { max: number }) {
  const { theme, t } = useView();
  const { count } = useFormats();
  const ramp = RAMPS[theme];
  const shades = [0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => mix(ramp, at));
  return (
    <div className={styles.legend}>
      <span>{t.upstreams.heatLegend}</span>
      <span className={styles.none} aria-hidden />
      <span>0</span>
      {max > 0 && (
        <>
          <span
            className={styles.ramp}
            style={{ background: `linear-gradient(90deg, ${shades.join(", ")})` }}
            aria-hidden
          />
          <span>{legendOf(max).map(count).join(" · ")}</span>
        </>
      )}
    </div>
  );
}

/** What is drawn, and the box of the cell that is pointed at. */
function Stage(props: HeatMapProps & { hint: string }) {
  const { label, labels, bounds, counts, to, hint, onZoom } = props;
  const { zone, language, theme, t } = useView();
  const formats = useFormats();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cell, setCell] = useState<Cell | null>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [width, setWidth] = useState(0);
  const step = props.stepSeconds === null ? null : Number(props.stepSeconds);
  const whole = useMemo(() => bucketsOf(labels, step, to), [labels, step, to]);
  const [span, choose] = useShownSpan(whole);
  const [buckets, columns] = useMemo(() => {
    const all = isEarlier(labels[0]) ? counts.slice(1) : counts;
    // What reaches beyond has no columns yet.
    const part = span === null ? null : partOf(whole, span);
    if (part === null) return [whole, all];
    const end = endOf(whole, part[1] - 1);
    return [{ ...whole, starts: whole.starts.slice(...part), end }, all.slice(...part)];
  }, [whole, labels, counts, span]);
  const rows = useMemo(() => rowsOf(columns), [columns]);
  const nRows = rows === null ? 0 : rows.last - rows.first + 1;

  const drawing = useMemo<Drawing | null>(() => {
    if (rows === null) return null;
    const max = maxOf(columns);
    const apart = (buckets.starts[1] ?? Infinity) - (buckets.starts[0] ?? 0);
    const detail = apart >= 27 * DAY_SECONDS ? "month" : apart >= DAY_SECONDS ? "date" : "clock";
    return {
      shades: columns.map((column) =>
        column.slice(rows.first, rows.last + 1).map((count) => shadeOf(Number(count), max)),
      ),
      hasCount: (at) => Number(columns[at.column]?.[rows.first + at.row] ?? 0) > 0,
      rowText: (row) => {
        const bound = bounds[rows.first + row];
        return bound === null || bound === undefined ? "" : formats.show(bound, "ms");
      },
      columnText: (column) => formats.moment((buckets.starts[column] ?? 0) * 1_000, detail),
      ramp: RAMPS[theme],
    };
  }, [rows, columns, bounds, buckets, formats, theme]);

  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => { setWidth(element.clientWidth); });
    observer.observe(element);
    return () => { observer.disconnect(); };
  }, []);
  useEffect(() => {
    if (canvas.current !== null && drawing !== null && width > 0) {
      draw(canvas.current, drawing, { width, height: HEIGHT });
    }
  }, [drawing, width, zone, language]);

  const cellOf = (event: React.PointerEvent) =>
    pointOf(event, event.currentTarget, { width, height: HEIGHT }, columns.length, nRows);
  const release = () => {
    const span = drag;
    setDrag(null);
    if (span === null || span.from === span.to) return;
    const [low, high] = [Math.min(span.from, span.to), Math.max(span.from, span.to)];
    const found = spanOf(buckets, buckets.starts[low] ?? 0, endOf(buckets, high));
    if (found === null) return;
    setCell(null);
    choose(found);
    onZoom(found[0] * 1_000, found[1] * 1_000);
  };
  const place = (from: number, until: number) => ({
    left: PAD.left + ((width - PAD.left - PAD.right) / columns.length) * from,
    width: ((width - PAD.left - PAD.right) / columns.length) * (until - from),
  });
  const inner = HEIGHT - PAD.top - PAD.bottom;
  return (
    <div className={styles.stage} style={{ height: HEIGHT }} aria-busy={span !== null}>
      <canvas
        ref={canvas}
        className={styles.canvas}
        role="application"
        aria-roledescription={t.common.chart}
        aria-label={`${label}. ${hint}`}
        tabIndex={0}
        onKeyDown={(event) => {
          const next = moved(cell, event.key, columns.length, nRows);
          if (next === null) return;
          event.preventDefault();
          setCell(next);
        }}
        onBlur={() => { setCell(null); }}
        onPointerMove={(event) => {
          const at = cellOf(event);
          setCell(at);
          if (drag !== null && at !== null) setDrag({ ...drag, to: at.column });
        }}
        onPointerDown={(event) => {
          const at = cellOf(event);
          if (at !== null && event.pointerType === "mouse" && event.button === 0) {
            setDrag({ from: at.column, to: at.column });
          }
        }}
        onPointerUp={release}
        onPointerLeave={() => {
          setCell(null);
          setDrag(null);
        }}
      />
      {drag !== null && drag.from !== drag.to && (
        <div
          className={styles.drag}
          style={{
            ...place(Math.min(drag.from, drag.to), Math.max(drag.from, drag.to) + 1),
            top: PAD.top,
            height: inner,
          }}
        />
      )}
      {cell !== null && rows !== null && (
        <>
          <div
            className={styles.cell}
            style={{
              ...place(cell.column, cell.column + 1),
              top: PAD.top + (inner / nRows) * (nRows - 1 - cell.row),
              height: inner / nRows,
            }}
          />
          <Tip cell={cell} columns={columns.length} rows={nRows} width={width}>
            <Facts
              start={buckets.starts[cell.column] ?? 0}
              end={endOf(buckets, cell.column)}
              low={bounds[rows.first + cell.row - 1] ?? 0}
              high={bounds[rows.first + cell.row] ?? null}
              counts={columns[cell.column] ?? []}
              count={columns[cell.column]?.[rows.first + cell.row] ?? 0}
            />
          </Tip>
        </>
      )}
    </div>
  );
}

interface TipProps {
  cell: Cell;
  columns: number;
  rows: number;
  width: number;
  children: ReactNode;
}

function Tip({ cell, columns, rows, width, children }: TipProps) {
  const isRight = cell.column >= columns / 2;
  const isHigh = cell.row >= rows / 2;
  const column = (width - PAD.left - PAD.right) / columns;
  const inner = HEIGHT - PAD.top - PAD.bottom;
  const left = PAD.left + column * (cell.column + (isRight ? 0 : 1));
  const top = PAD.top + (inner / rows) * (rows - 1 - cell.row + (isHigh ? 1 : 0));
  const before = "calc(-100% - 8px)";
  const translate = `${isRight ? before : "8px"} ${isHigh ? "8px" : before}`;
  return (
    <div className={styles.tip} role="status" style={{ left, top, translate }}>
      {children}
    </div>
  );
}

interface FactsProps {
  start: number;
  end: number;
  low: Num;
  high: Num | null;
  counts: Num[];
  count: Num;
}

function Facts({ start, end, low, high, counts, count }: FactsProps) {
  const { t } = useView();
  const { show, exact, moment } = useFormats();
  const u = t.upstreams;
  const all = counts.reduce<number>((sum, one) => sum + Number(one), 0);
  const isDay = end - start >= DAY_SECONDS - 7_200;
  const from = moment(start * 1_000, isDay ? "day" : "minute");
  const until = moment(end * 1_000, isDay ? "day" : "clock");
  const [least, most] = [show(low, "ms"), show(high, "ms")];
  return (
    <>
      <strong>{from} – {until}</strong>
      <span>{high === null ? u.above(least) : u.between(least, most)}</span>
      <span>
        <b>{exact(count, "count")}</b>
        {all > 0 && ` · ${u.ofBucket(show(Number(count) / all, "percent"))}`}
      </span>
    </>
  );
}
