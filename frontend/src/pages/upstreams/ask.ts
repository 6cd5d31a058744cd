// What the address says about this page, and what the API is asked with.
import type { Params } from "@/api/http.ts";
import type { Schema } from "@/api/types.ts";
import type { Num } from "@/lib/json.ts";
import { oneOf, textOf } from "@/lib/search.ts";
import { sumOf } from "@/lib/sum.ts";

export const METRICS = ["duration", "ttft", "tpot"] as const;
export type Metric = (typeof METRICS)[number];

/** What tables have a row for each of. */
export const SIDES = ["upstream", "model"] as const;
export type Side = (typeof SIDES)[number];

/** What errors have a column for each of: the kind of error, or the HTTP status. */
export const CAUSES = ["outcome", "status"] as const;
export type Cause = (typeof CAUSES)[number];

/** Rows of a table at most: the API's own bound of a page. */
export const SIZE = 1_000;

export interface Ask {
  upstream: string | undefined;
  model: string | undefined;
  namespace: string | undefined;
  metric: Metric;
  /** What errors are shown by. */
  errors: Side;
  cause: Cause;
}

export const NO_FILTERS = { upstream: undefined, model: undefined, namespace: undefined };

export function askOf(address: Record<string, string | undefined>): Ask {
  return {
    upstream: textOf(address.upstream),
    model: textOf(address.model),
    namespace: textOf(address.namespace),
    metric: oneOf(address.metric, METRICS) ?? "duration",
    errors: oneOf(address.errors, SIDES) ?? "upstream",
    cause: oneOf(address.cause, CAUSES) ?? "outcome",
  };
}

export function filtersOf({ upstream, model, namespace }: Ask): Params {
  return { upstream, model, namespace };
}

export function isFiltered({ upstream, model, namespace }: Ask): boolean {
  return [upstream, model, namespace].some((value) => value !== undefined);
}

/** Names that can be chosen, the chosen one among them even if nothing was counted of it. */
export function optionsOf(known: string[], chosen: string | undefined): string[] {
  return chosen === undefined || known.includes(chosen) ? known : [chosen, ...known];
}

type Item = Schema<"UsageItem">;

/** The names that items are grouped by, without that of those which have none. */
export function namesOf(items: Item[], side: Side): string[] {
  return items.flatMap((item) => {
    const name = item[side];
    return name === null || name === undefined ? [] : [name];
  });
}

/** A share; null of nothing. */
export function shareOf(part: Num | null | undefined, whole: Num): number | null {
  if (part === null || part === undefined || Number(whole) === 0) return null;
  return Number(part) / Number(whole);
}

export interface ErrorRow {
  name: string | null;
  /** Errors by cause. */
  counts: Map<string, Num>;
  total: Num;
}

export interface ErrorTable {
  rows: ErrorRow[];
  causes: string[];
}

/** Errors of each name by cause, those with the most first; causes in their order. */
export function errorsOf(items: Item[], side: Side, cause: Cause): ErrorTable {
  const rows = new Map<string | null, ErrorRow>();
  const causes = new Set<string>();
  for (const item of items) {
    const errors = item.errors ?? 0;
    if (Number(errors) === 0) continue;
    const name = item[side] ?? null;
    const why = String(item[cause] ?? "");
    causes.add(why);
    const row = rows.get(name) ?? { name, counts: new Map<string, Num>(), total: 0 };
    row.counts.set(why, sumOf(row.counts.get(why) ?? 0, errors));
    row.total = sumOf(row.total, errors);
    rows.set(name, row);
  }
  return {
    rows: [...rows.values()].sort((one, other) => Number(other.total) - Number(one.total)),
    causes: [...causes].sort(),
  };
}
