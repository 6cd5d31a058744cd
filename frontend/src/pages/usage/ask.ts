// What the address says about this page, and what the API is asked with.
import type { Params } from "@/api/http.ts";
import { oneOf, pageOf, textOf } from "@/lib/search.ts";

/** What usage can be grouped by, in the order of the API's own columns. */
export const GROUPS = [
  "namespace",
  "consumer",
  "model",
  "upstream",
  "endpoint",
  "status",
  "outcome",
  "hour",
  "day",
  "month",
] as const;
export type Group = (typeof GROUPS)[number];

/** What can be filtered by. */
export const FILTERS = [
  "namespace",
  "consumer",
  "model",
  "upstream",
  "endpoint",
  "status",
  "outcome",
] as const;
export type Filter = (typeof FILTERS)[number];

export const SIZES = ["50", "100", "250", "1000"] as const;
const SIZE = "100";
export const ORDER = "-tokens";

export interface Ask {
  groups: Group[];
  filters: Partial<Record<Filter, string>>;
  search: string;
  order: string;
  compares: boolean;
  page: number;
  size: string;
}

/** Reads the address. A group that there is none of is left out, as is what it names twice. */
export function askOf(address: Record<string, string | undefined>): Ask {
  const named = (address.group ?? "").split(",");
  const groups = GROUPS.filter((group) => named.includes(group));
  const filters: Ask["filters"] = {};
  for (const filter of FILTERS) {
    const value = textOf(address[filter]);
    if (value !== undefined) filters[filter] = value;
  }
  return {
    groups: groups.length > 0 ? groups : ["namespace"],
    filters,
    search: address.search ?? "",
    order: textOf(address.order) ?? ORDER,
    compares: address.compare === "previous",
    page: pageOf(address.page) ?? 1,
    size: oneOf(address.size, SIZES) ?? SIZE,
  };
}

/** Parameters of the API, without pages. */
export function paramsOf(ask: Ask): Params {
  return {
    group_by: ask.groups.join(","),
    ...ask.filters,
    search: ask.search,
    order: ask.order,
    compare: ask.compares ? "previous" : undefined,
  };
}

/** The address after a group was chosen or let go. One stays; an order by a lost one does not. */
export function toggled(ask: Ask, group: Group): Record<string, string | undefined> {
  const has = ask.groups.includes(group);
  if (has && ask.groups.length === 1) return {};
  const groups = GROUPS.filter((one) => (one === group ? !has : ask.groups.includes(one)));
  const lost = has && ask.order.replace("-", "") === group;
  return {
    group: groups.join(","),
    page: undefined,
    ...(lost ? { order: undefined } : {}),
  };
}
