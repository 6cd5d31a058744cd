// Figures that several pages share.
import { at, digits, list, text, whole, type Json } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import type { Kind } from "../lib/format.ts";

/** A figure, and beside it that of the period before. */
export function both(
  figure: string,
  kind: Kind,
  now: Json,
  before: Json | undefined,
  ...path: string[]
): Wanted[] {
  const value = digits(now, ...path);
  if (before === undefined) return [{ figure, kind, value }];
  const previous = digits(before, ...path);
  return [
    { figure, kind, value },
    { figure: `${figure}.previous`, kind, value: previous, isBefore: true },
  ];
}

/** The cards of a namespace, or of all. */
export function cards(page: string, stats: Json, before: Json | undefined): Wanted[] {
  return [
    ...both(`${page}.requests`, "compact", stats, before, "totalRequests"),
    ...both(`${page}.successRate`, "percent", stats, before, "successRate"),
    ...both(`${page}.mean`, "ms", stats, before, "avgResponseTime"),
    ...both(`${page}.p95`, "ms", stats, before, "quantiles", "p95"),
    ...both(`${page}.input`, "compact", stats, before, "tokens", "input"),
    ...both(`${page}.output`, "compact", stats, before, "tokens", "output"),
  ];
}

/** A chart's table: of each bucket each series, by its key. */
export function chart(
  figure: string,
  kind: Kind,
  labels: Json,
  series: Record<string, Json>,
): Wanted[] {
  return (labels as string[]).flatMap((label, idx) =>
    Object.entries(series).map(([key, values]) => ({
      figure,
      kind,
      key: `${label}/${key}`,
      value: digits(values, idx),
    })),
  );
}

export function trend(figure: string, answer: Json): Wanted[] {
  const values = at(answer, "datasets", 0, "data");
  return [
    { figure: `${figure}.total`, kind: "count", value: digits(answer, "total") },
    ...chart(figure, "count", at(answer, "labels"), { requests: values }),
  ];
}

export function tokensTrend(figure: string, answer: Json): Wanted[] {
  const series = list(answer, "datasets").map((one) => [text(one, "label"), at(one, "data")]);
  return chart(figure, "count", at(answer, "labels"), Object.fromEntries(series) as never);
}

/** Durations over time, of which quantiles and mean are drawn. */
export function latency(figure: string, answer: Json): Wanted[] {
  const quantiles = at(answer, "quantiles") as Record<string, Json>;
  return chart(figure, "ms", at(answer, "labels"), { ...quantiles, avg: at(answer, "avg") });
}

/** Outcomes that occurred, and success. */
export function outcomes(figure: string, counts: Record<string, string>): Wanted[] {
  const all = Object.entries(counts);
  if (all.every(([, value]) => value === "0")) return [];
  return all
    .filter(([label, value]) => value !== "0" || label === "success")
    .map(([key, value]) => ({ figure, key, value, kind: "count" }));
}

const CLASSES = ["input", "cache_read", "cache_write", "output", "reasoning", "estimated"];

export function classes(figure: string, totals: Json): Wanted[] {
  if (whole(totals, "input") + whole(totals, "output") === 0n) return [];
  return CLASSES.map((key) => ({ figure, key, value: digits(totals, key), kind: "count" }));
}

const tokensOf = (sums: Json) => whole(sums, "input") + whole(sums, "output");

/** The groups with the most tokens. */
export function top(page: string, group: string, usage: Json): Wanted[] {
  const used = list(usage, "items").filter((item) => tokensOf(item) > 0n);
  const before = at(usage, "totals", "previous");
  const compares = before !== null && whole(before, "requests") > 0n;
  return used.flatMap((item) => {
    const key = (at(item, group) as string | null) ?? "";
    const figure = `${page}.${group}`;
    const now: Wanted = {
      figure: `${figure}.tokens`, key, kind: "count", value: String(tokensOf(item)),
    };
    if (!compares) return [now];
    const was = String(tokensOf(at(item, "previous")));
    return [
      now,
      { figure: `${figure}.previous`, key, kind: "count", value: was, isBefore: true },
    ];
  });
}
