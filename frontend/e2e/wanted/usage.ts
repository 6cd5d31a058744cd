// What the table of usage must show: every item of the page, and the totals of all.
import { ask, at, Digits, digits, list, type Json } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import type { Kind } from "../lib/format.ts";
import type { When } from "./overview.ts";

const FIELDS: readonly [string, Kind][] = [
  ["requests", "count"],
  ["input", "count"],
  ["output", "count"],
  ["cache_read", "count"],
  ["cache_write", "count"],
  ["reasoning", "count"],
];
/** Rows of consumers do not tell these. */
const DETAILS: readonly [string, Kind][] = [
  ["errors", "count"],
  ["avg_response_time_ms", "ms"],
  ["estimated_share", "percent"],
];
const COMPARED = ["requests", "input", "output", "errors", "cost_usd"];

/** Which row it is. */
export function keyOf(item: Json, groups: readonly string[]): string {
  const values = groups.map((group) => {
    const value = at(item, group);
    return value instanceof Digits ? value.text : value;
  });
  return JSON.stringify(values);
}

function line(sums: Json, head: string, fields: readonly [string, Kind][], key?: string): Wanted[] {
  const of = key === undefined ? {} : { key };
  return fields.flatMap(([field, kind]) => {
    const now: Wanted = { figure: `${head}${field}`, ...of, kind, value: digits(sums, field) };
    const before = (sums as Record<string, Json>).previous ?? null;
    if (before === null || !COMPARED.includes(field)) return [now];
    const value = digits(before, field);
    return [now, { figure: `${head}previous.${field}`, ...of, kind, value, isBefore: true }];
  });
}

export async function usage(place: string, when: When, params: When): Promise<Wanted[]> {
  const asked = { size: "100", order: "-tokens", ...params, ...when };
  const data = await ask(place, "/api/usage", asked);
  const totals = at(data, "totals");
  const groups = at(data, "group_by") as string[];
  const fields = [...FIELDS];
  if (at(totals, "errors") !== null) fields.push(...DETAILS);
  if (at(totals, "cost_usd") !== null) fields.push(["cost_usd", "usd"]);
  return [
    { figure: "usage.version", kind: "count", value: digits(data, "as_of", "version") },
    { figure: "usage.total", kind: "count", value: digits(data, "total") },
    ...list(data, "items").flatMap((item) => line(item, "usage.", fields, keyOf(item, groups))),
    ...line(totals, "usage.totals.", fields),
  ];
}
