// What the page of upstreams and models must show.
import { ask, at, Digits, digits, list, whole, type Json } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import type { Kind } from "../lib/format.ts";
import type { When } from "./overview.ts";
import { latency, outcomes } from "./parts.ts";

type Side = "upstream" | "model";
type Cause = "outcome" | "status";

const METRICS = ["duration", "ttft", "tpot"];
const NUMBERS: readonly [string, string, Kind][] = [
  ["requests", "requests", "count"],
  ["errors", "errors", "count"],
  ["mean", "avg_response_time_ms", "ms"],
  ["input", "input", "count"],
  ["output", "output", "count"],
];

const nameOf = (item: Json, side: Side) => (at(item, side) as string | null) ?? "";

function line(head: string, sums: Json, key?: string): Wanted[] {
  const of = key === undefined ? {} : { key };
  const tokens = String(whole(sums, "input") + whole(sums, "output"));
  return [
    ...NUMBERS.map(([name, field, kind]): Wanted => ({
      figure: `${head}${name}`, ...of, kind, value: digits(sums, field),
    })),
    { figure: `${head}tokens`, ...of, kind: "count", value: tokens },
  ];
}

async function table(place: string, side: Side, when: When): Promise<Wanted[]> {
  const params = { size: "1000", order: "-requests", group_by: side };
  const data = await ask(place, "/api/usage", { ...params, ...when });
  const items = list(data, "items");
  const found: Wanted[] = [];
  for (const item of items) found.push(...line(`upstreams.${side}.`, item, nameOf(item, side)));
  const named = items.filter((item) => at(item, side) !== null);
  for (const item of named) {
    const key = nameOf(item, side);
    const answer = await ask(place, "/api/metrics/latency", { [side]: key, ...when });
    const value = digits(answer, "totals", "quantiles", "p95");
    found.push({ figure: `upstreams.${side}.p95`, key, kind: "ms", value });
  }
  return [...found, ...line(`upstreams.${side}.totals.`, at(data, "totals"))];
}

function measures(metric: string, totals: Json): Wanted[] {
  const head = `upstreams.${metric}`;
  const quantiles = at(totals, "quantiles");
  return [
    { figure: `${head}.count`, kind: "count", value: digits(totals, "count") },
    { figure: `${head}.avg`, kind: "ms", value: digits(totals, "avg") },
    ...["p50", "p95", "p99"].map((name): Wanted => ({
      figure: `${head}.${name}`, kind: "ms", value: digits(quantiles, name),
    })),
  ];
}

/** A number for each bucket of time and each bound between the lowest and highest with any. */
function heat(answer: Json): Wanted[] {
  const counts = list(answer, "counts") as Json[][];
  const bounds = list(answer, "bounds_ms");
  const used = bounds.map((_, idx) => counts.some((row) => whole(row, idx) > 0n));
  const [first, last] = [used.indexOf(true), used.lastIndexOf(true)];
  return list(answer, "labels").flatMap((label, row) =>
    bounds.slice(first, last + 1).map((bound, at): Wanted => {
      const name = bound instanceof Digits ? String(Number(bound.text)) : "inf";
      const value = digits(counts[row] ?? [], first + at);
      return { figure: "upstreams.heat", key: `${label as string}/${name}`, kind: "count", value };
    }),
  );
}

/** Errors by name and cause, and of each name together. */
async function errors(place: string, side: Side, cause: Cause, when: When): Promise<Wanted[]> {
  const params = { size: "1000", order: "-errors", group_by: `${side},${cause}` };
  const items = list(await ask(place, "/api/usage", { ...params, ...when }), "items");
  const figure = `upstreams.errors.${side}`;
  const sums = new Map<string | null, bigint>();
  const each = items.flatMap((item): Wanted[] => {
    const count = whole(item, "errors");
    if (count === 0n) return [];
    const name = at(item, side) as string | null;
    sums.set(name, (sums.get(name) ?? 0n) + count);
    const why = cause === "status" ? digits(item, "status") : at(item, "outcome");
    const key = JSON.stringify([name, why]);
    return [{ figure, key, kind: "count", value: String(count) }];
  });
  const totals = [...sums].map(([name, sum]): Wanted => ({
    figure, key: JSON.stringify([name]), kind: "count", value: String(sum),
  }));
  return [...each, ...totals];
}

/** `metric` is the one that is drawn, `side` what errors are shown by, each of a `cause`. */
export async function upstreams(
  place: string,
  when: When,
  metric: string,
  side: Side,
  cause: Cause,
): Promise<Wanted[]> {
  const answers = new Map<string, Json>();
  for (const one of METRICS) {
    answers.set(one, await ask(place, "/api/metrics/latency", { metric: one, ...when }));
  }
  const drawn = answers.get(metric) ?? null;
  const path = "/api/metrics/namespaces/status-distribution";
  const { totals } = (await ask(place, path, when)) as { totals: Record<string, Json> };
  const counts = Object.keys(totals).map((label) => [label, digits(totals, label) ?? "0"]);
  const usage = await ask(place, "/api/usage", { group_by: "upstream", ...when });
  return [
    { figure: "upstreams.version", kind: "count", value: digits(usage, "as_of", "version") },
    ...(await table(place, "upstream", when)),
    ...(await table(place, "model", when)),
    ...METRICS.flatMap((one) => measures(one, at(answers.get(one) ?? null, "totals"))),
    ...heat(drawn),
    ...latency("upstreams.quantiles", drawn),
    ...(await errors(place, side, cause, when)),
    ...outcomes("upstreams.outcomes", Object.fromEntries(counts) as Record<string, string>),
  ];
}
