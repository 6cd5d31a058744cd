// The columns of the table: what it is grouped by, then the numbers.
import type { Schema } from "@/api/types.ts";
import { Delta } from "@/components/card.tsx";
import { Figure } from "@/components/figure.tsx";
import { Name, visible } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import type { Column } from "@/components/table.tsx";
import type { Formats } from "@/components/view.ts";
import type { Kind } from "@/lib/format.ts";
import type { Messages } from "@/lib/i18n.ts";

import type { Filter, Group } from "./ask.ts";
import styles from "./usage.module.css";

type Item = Schema<"UsageItem">;
type Sums = Schema<"UsageSums">;
type Usage = Schema<"Usage">;

/** Numbers of an item that a column shows as they are. */
type Field = keyof Sums;

export interface ColumnsOptions {
  t: Messages;
  formats: Formats;
  data: Usage;
  compares: boolean;
  onFilter: (filter: Filter, value: string) => void;
}

/** The value of a group; hours, days and months are text too. */
function valueOf(item: Item, group: Group): string | null {
  const value = item[group];
  return value === null || value === undefined ? null : String(value);
}

/** Which row it is: the values of its groups as JSON. */
export function keyOf(item: Item, groups: readonly string[]): string {
  return JSON.stringify(groups.map((group) => valueOf(item, group as Group)));
}

export function columnsOf(options: ColumnsOptions): Column<Item>[] {
  const { data } = options;
  const groups = data.group_by as Group[];
  const [first, ...rest] = groups.map((group) => groupColumn(group, options));
  if (first === undefined) return [];
  first.total = options.t.usage.total;
  return [first, ...rest, ...numberColumns(options, groups)];
}

function groupColumn(group: Group, { t, onFilter }: ColumnsOptions): Column<Item> {
  const column = { key: group, header: t.usage.groups[group], sort: group };
  if (group === "hour" || group === "day" || group === "month") {
    return { ...column, cell: (item) => <time>{timeText(valueOf(item, group) ?? "")}</time> };
  }
  if (group === "namespace") {
    return {
      ...column,
      cell: (item) => {
        const code = valueOf(item, group);
        if (code === null) return <Name>{null}</Name>;
        return <PageLink to={namespacePath(code)}><Name>{code}</Name></PageLink>;
      },
    };
  }
  const missing = group === "consumer" ? t.common.noConsumer : t.common.unknownName;
  return {
    ...column,
    cell: (item) => {
      const value = valueOf(item, group);
      if (value === null) return <Name missing={missing}>{null}</Name>;
      return (
        <button
          type="button"
          className={styles.only}
          aria-label={t.usage.only(visible(value))}
          onClick={() => { onFilter(group, value); }}
        >
          <Name>{group === "outcome" ? (t.common.outcomes[value] ?? value) : value}</Name>
        </button>
      );
    },
  };
}

/** An hour as 2026-03-05 10:00 +08:00; days and months as they are. */
function timeText(text: string): string {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(.*)$/.exec(text);
  if (found === null) return text;
  const [, day = "", clock = "", offset = ""] = found;
  return `${day} ${clock} ${offset}`;
}

function numberColumns(options: ColumnsOptions, groups: Group[]): Column<Item>[] {
  const { t, formats, data, compares } = options;
  const { totals } = data;
  const whole = Number(totals.input) + Number(totals.output);
  const name = (field: string, isTotal: boolean) => `usage.${isTotal ? "totals." : ""}${field}`;
  const cell = (item: Sums & { previous?: Sums | null }, field: Field, kind: Kind, of?: string) => {
    const now = item[field] ?? null;
    const before = item.previous;
    const isTotal = of === undefined;
    const hasDelta = compares && before != null && DELTAS.includes(field);
    return (
      <>
        <Figure name={name(field, isTotal)} of={of} value={now} kind={kind} />
        {hasDelta && (
          <small className={styles.delta}>
            <Delta isShort name={name(`previous.${field}`, isTotal)} of={of} kind={kind}
              value={now} previous={before[field]} />
          </small>
        )}
      </>
    );
  };
  const column = (field: Field, header: string, kind: Kind, hint?: string): Column<Item> => ({
    key: field,
    header,
    ...(hint === undefined ? {} : { hint }),
    isNumber: true,
    ...(compares && DELTAS.includes(field) ? { width: 180 } : {}),
    sort: field === "estimated_share" ? undefined : field,
    cell: (item) => cell(item, field, kind, keyOf(item, groups)),
    total: cell(totals, field, kind),
  });
  const share = (item: Sums) => {
    const part = whole === 0 ? 0 : (Number(item.input) + Number(item.output)) / whole;
    return (
      <span className={styles.share}>
        {formats.show(part, "percent")}
        <span className={styles.track} aria-hidden>
          <span className={styles.bar} style={{ width: `${part * 100}%` }} />
        </span>
      </span>
    );
  };
  const c = t.common;
  const u = t.usage;
  const shares: Column<Item> = {
    key: "share",
    header: u.share,
    hint: u.shareHint,
    isNumber: true,
    width: 160,
    sort: "tokens",
    cell: share,
    total: whole === 0 ? "" : formats.show(1, "percent"),
  };
  // Rows of consumers do not tell these; a column of dashes would say nothing.
  const detail = totals.errors === null ? [] : [
    column("errors", c.errors, "count"),
    column("avg_response_time_ms", u.meanShort, "ms", c.mean),
    column("estimated_share", u.estimatedPart, "percent", u.estimatedHint),
  ];
  return [
    column("requests", c.requests, "count"),
    shares,
    column("input", c.input, "count"),
    column("output", c.output, "count"),
    column("cache_read", c.cacheRead, "count", u.cacheReadHint),
    column("cache_write", c.cacheWrite, "count", u.cacheWriteHint),
    column("reasoning", c.reasoning, "count", u.reasoningHint),
    ...detail,
    ...(totals.cost_usd === null ? [] : [column("cost_usd", c.cost, "usd")]),
  ];
}

/** Fields whose change is shown. */
const DELTAS: readonly Field[] = ["requests", "input", "output", "errors", "cost_usd"];
