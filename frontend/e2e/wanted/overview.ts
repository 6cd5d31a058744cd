// What the overview must show.
import { ask, at, digits, text, type Json } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import { cards, classes, outcomes, tokensTrend, top, trend } from "./parts.ts";

export type When = Record<string, string>;

/** The same length of time before a range that an answer covers. */
export function before(answer: Json): When {
  const [from, to] = [text(answer, "range", "from"), text(answer, "range", "to")];
  const length = Date.parse(to) - Date.parse(from);
  return { from: new Date(Date.parse(from) - length).toISOString(), to: from };
}

export async function overview(place: string, when: When): Promise<Wanted[]> {
  const all = await ask(place, "/api/metrics/dashboard", { namespace: "all", ...when });
  const [stats, system] = [at(all, "stats"), at(all, "system")];
  const tz = when.tz ?? "UTC";
  const was = await ask(place, "/api/metrics/namespaces/all/stats", { ...before(stats), tz });
  const groups = await Promise.all(
    ["namespace", "model", "upstream"].map(async (group) => {
      const params = { group_by: group, size: "6", order: "-tokens", compare: "previous" };
      return top("overview", group, await ask(place, "/api/usage", { ...params, ...when }));
    }),
  );
  const distribution = at(all, "statusDistribution");
  const counts = (at(distribution, "labels") as string[]).map((label) => [
    label,
    digits(distribution, "totals", label) ?? "0",
  ]);
  return [
    { figure: "overview.version", kind: "count", value: digits(stats, "as_of", "version") },
    ...cards("overview", stats, was),
    { figure: "overview.qps", kind: "rate", value: digits(system, "qps") },
    { figure: "overview.connections", kind: "count", value: digits(system, "activeConnections") },
    ...trend("overview.trend", at(all, "requestTrend")),
    ...tokensTrend("overview.tokensTrend", at(all, "tokens")),
    ...outcomes("overview.outcomes", Object.fromEntries(counts) as Record<string, string>),
    ...classes("overview.classes", at(all, "tokens", "totals")),
    ...groups.flat(),
  ];
}
