// What the address says about dead letters, and what the API is asked with.
import type { Params } from "@/api/http.ts";
import { oneOf, pageOf, textOf } from "@/lib/search.ts";

export const SOURCES = ["log", "raw"] as const;
export type Source = (typeof SOURCES)[number];

/** Classes of events in the log. */
export const CLASSES = ["late", "future", "poison", "misrouted", "duplicate"] as const;

/** Faults of messages in raw topics. */
export const FAULTS = [
  "unreadable",
  "missing",
  "type",
  "range",
  "namespace",
  "duplicate_key",
  "syntax",
  "depth",
  "fields",
  "usage",
  "value",
  "namespace_not_registered",
  "gateways",
] as const;

export const SIZE = 50;

export interface Ask {
  source: Source | undefined;
  class: string | undefined;
  reason: string | undefined;
  topic: string | undefined;
  partition: string | undefined;
  /** Each may be there without the other. */
  from: string | undefined;
  to: string | undefined;
  page: number;
}

/** What of the address goes when filters are cleared. */
export const NO_FILTERS = {
  source: undefined,
  class: undefined,
  reason: undefined,
  topic: undefined,
  partition: undefined,
  from: undefined,
  to: undefined,
  page: undefined,
};

export function askOf(address: Record<string, string | undefined>): Ask {
  const partition = address.partition ?? "";
  return {
    source: oneOf(address.source, SOURCES),
    class: textOf(address.class),
    reason: textOf(address.reason),
    topic: textOf(address.topic),
    partition: /^\d{1,9}$/.test(partition) ? partition : undefined,
    from: textOf(address.from),
    to: textOf(address.to),
    page: pageOf(address.page) ?? 1,
  };
}

export function paramsOf({ page, ...filters }: Ask): Params {
  return { ...filters, page, size: SIZE };
}

/** Parameters for the groups of all letters of the time: whatever else is filtered by. */
export function groupsOf({ from, to }: Ask): Params {
  return { from, to, size: 1 };
}

export function isFiltered(ask: Ask): boolean {
  const { source, class: kind, reason, topic, partition, from, to } = ask;
  return [source, kind, reason, topic, partition, from, to].some((value) => value !== undefined);
}

/** Classes that can be chosen, the chosen one among them even if nothing is known of it. */
export function classesOf({ source, class: chosen }: Ask): string[] {
  const known: string[] = [
    ...(source === "raw" ? [] : CLASSES),
    ...(source === "log" ? [] : FAULTS),
  ];
  return chosen === undefined || known.includes(chosen) ? known : [...known, chosen];
}
