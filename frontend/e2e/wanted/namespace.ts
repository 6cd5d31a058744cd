// What the page of one namespace must show.
import { ask, at, digits, list, text } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import { before, type When } from "./overview.ts";
import { both, cards, classes, latency, outcomes, tokensTrend, top, trend } from "./parts.ts";

export async function namespace(place: string, code: string, when: When): Promise<Wanted[]> {
  const all = await ask(place, "/api/metrics/dashboard", { namespace: code, ...when });
  const stats = at(all, "stats");
  const tz = when.tz ?? "UTC";
  const path = `/api/metrics/namespaces/${encodeURIComponent(code)}/stats`;
  const was = await ask(place, path, { ...before(stats), tz });
  const groups = await Promise.all(
    ["consumer", "model", "upstream"].map(async (group) => {
      const params = { group_by: group, size: "8", order: "-tokens", compare: "previous" };
      const asked = { namespace: code, ...params, ...when };
      return top("namespace", group, await ask(place, "/api/usage", asked));
    }),
  );
  const distribution = at(all, "statusDistribution");
  const own = list(distribution, "datasets").find((one) => text(one, "label") === code) ?? null;
  const counts = (at(distribution, "labels") as string[]).map((label, idx) => [
    label,
    digits(own, "data", idx) ?? "0",
  ]);
  const durations = await ask(place, "/api/metrics/latency", { namespace: code, ...when });
  return [
    { figure: "namespace.version", kind: "count", value: digits(stats, "as_of", "version") },
    ...cards("namespace", stats, was),
    ...both("namespace.errors", "compact", stats, was, "errors"),
    ...both("namespace.p50", "ms", stats, was, "quantiles", "p50"),
    ...trend("namespace.trend", at(all, "requestTrend")),
    ...tokensTrend("namespace.tokensTrend", at(all, "tokens")),
    ...latency("namespace.latency", durations),
    ...outcomes("namespace.outcomes", Object.fromEntries(counts) as Record<string, string>),
    ...classes("namespace.classes", at(all, "tokens", "totals")),
    ...groups.flat(),
  ];
}
