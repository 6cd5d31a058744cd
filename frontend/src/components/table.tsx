// A table of any length: only the rows that are seen are in the document. It scrolls by itself, so
// that a wide one never makes the page scroll sideways.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useRef, type ReactNode } from "react";

import { stepped } from "@/lib/stepped.ts";

import { Icon } from "./icons.tsx";
import styles from "./table.module.css";
import { useMessages } from "./view.ts";

export interface Column<Row> {
  key: string;
  header: string;
  /** Explains the header on hover. */
  hint?: string;
  isNumber?: boolean;
  /** Least width in pixels, in a table so long that only a part of it is there. */
  width?: number;
  /** What `onSort` is called with; without it the column cannot be sorted by. */
  sort?: string | undefined;
  cell: (row: Row) => ReactNode;
  /** The cell of the row of totals. */
  total?: ReactNode;
}

/** What a table is sorted by, as the API writes it: a minus in front for the largest first. */
export type Sort = string;

export interface DataTableProps<Row> {
  label: string;
  /** Memoise them for a long table: other columns draw every row anew. */
  columns: Column<Row>[];
  rows: Row[];
  keyOf: (row: Row) => string;
  sort?: Sort | undefined;
  onSort?: (sort: Sort) => void;
  /** Whether there is a row of totals. */
  hasTotal?: boolean;
  isBusy?: boolean;
  /** Rows on the pages before this one, and on all pages: for screen readers. */
  offset?: number;
  total?: number;
}

const ROW_PX = 41;
/** Rows from which on those out of sight are left out. */
const VIRTUAL_MIN = 80;

/** Widths of columns where rows come and go, in pixels: they must not depend on which are there. */
const TEXT_PX = 190;
const NUMBER_PX = 128;

function widthOf<Row>(column: Column<Row>): number {
  return column.width ?? (column.isNumber === true ? NUMBER_PX : TEXT_PX);
}

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, columns, rows, keyOf, isBusy = false, offset = 0, total = rows.length } = props;
  const box = useRef<HTMLDivElement>(null);
  const isVirtual = rows.length >= VIRTUAL_MIN;
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoised
  const virtual = useVirtualizer({
    count: isVirtual ? rows.length : 0,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    rangeExtractor: stepped,
    useFlushSync: false,
  });
  const items = virtual.getVirtualItems();
  const indices = isVirtual ? items.map(({ index }) => index) : rows.map((_, idx) => idx);
  const before = isVirtual ? (items[0]?.start ?? 0) : 0;
  const after = isVirtual ? virtual.getTotalSize() - (items.at(-1)?.end ?? 0) : 0;
  const filler = (height: number) =>
    height > 0 && (
      <tr aria-hidden style={{ height }}>
        <td colSpan={columns.length} className={styles.filler} />
      </tr>
    );
  return (
    <div
      ref={box}
      className={styles.box}
      role="region"
      aria-label={label}
      aria-busy={isBusy}
      tabIndex={0}
    >
      <table
        className={isVirtual ? styles.fixed : styles.table}
        style={isVirtual ? { minWidth: columns.reduce((sum, one) => sum + widthOf(one), 0) } : {}}
        aria-rowcount={total + 1}
      >
        {isVirtual && (
          <colgroup>
            {columns.map((column) => (
              <col key={column.key} style={{ width: widthOf(column) }} />
            ))}
          </colgroup>
        )}
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Head key={column.key} column={column} sort={props.sort} onSort={props.onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {filler(before)}
          {indices.map((idx) => {
            const row = rows[idx];
            if (row === undefined) return null;
            const place = offset + idx + 2;
            return <Line key={keyOf(row)} row={row} columns={columns} place={place} />;
          })}
          {filler(after)}
        </tbody>
        {props.hasTotal === true && (
          <tfoot>
            <tr>
              {columns.map((column) => (
                <td key={column.key} className={styles[column.isNumber ? "number" : "text"]}>
                  {column.total}
                </td>
              ))}
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  );
}

interface LineProps<Row> {
  row: Row;
  columns: Column<Row>[];
  /** Its number among all rows, the header counted. */
  place: number;
}

function PlainLine<Row>({ row, columns, place }: LineProps<Row>) {
  return (
    <tr aria-rowindex={place} style={{ height: ROW_PX }}>
      {columns.map((column, idx) => {
        const kind = column.isNumber === true ? styles.number : styles.text;
        if (idx === 0) {
          return (
            <th key={column.key} scope="row" className={kind}>
              {column.cell(row)}
            </th>
          );
        }
        return (
          <td key={column.key} className={kind}>
            {column.cell(row)}
          </td>
        );
      })}
    </tr>
  );
}

/** Drawn again only if row or columns are others, so that scrolling draws the new rows alone. */
const Line = memo(PlainLine) as typeof PlainLine;

interface HeadProps<Row> {
  column: Column<Row>;
  sort: Sort | undefined;
  onSort: ((sort: Sort) => void) | undefined;
}

function Head<Row>({ column, sort, onSort }: HeadProps<Row>) {
  const t = useMessages();
  const kind = column.isNumber === true ? styles.number : styles.text;
  const by = column.sort;
  if (by === undefined || onSort === undefined) {
    return (
      <th scope="col" className={kind} title={column.hint}>
        {column.header}
      </th>
    );
  }
  const isDown = sort === `-${by}`;
  const isUp = sort === by;
  // Numbers are asked for from the largest down first, names from the first letter on.
  const next = column.isNumber === true ? (isDown ? by : `-${by}`) : isUp ? `-${by}` : by;
  const order = isDown ? "descending" : isUp ? "ascending" : undefined;
  return (
    <th scope="col" className={kind} aria-sort={order}>
      <button
        type="button"
        className={styles.sort}
        title={column.hint ?? t.common.sortBy(column.header)}
        onClick={() => { onSort(next); }}
      >
        {column.header}
        <span className={order === undefined ? styles.idle : undefined}>
          <Icon name={isUp ? "up" : "down"} size={13} />
        </span>
      </button>
    </th>
  );
}
