import { describe, expect, it } from "vitest";

import type { Schema } from "@/api/types.ts";

import { askOf, errorsOf, isFiltered, namesOf, optionsOf, shareOf } from "./ask.ts";

function item(upstream: string | null, status: number, errors: number): Schema<"UsageItem"> {
  const outcome = status === 429 ? "rate_limited" : "server_error";
  return {
    upstream, status, outcome, errors, requests: 10, input: 0, output: 0, cache_read: 0,
    cache_write: 0, reasoning: 0, cost_usd: null, reported: null, estimated: null,
    estimated_input: null, estimated_output: null, estimated_share: null, duration_sum_ms: null,
    avg_response_time_ms: null,
  };
}

describe("the address", () => {
  it("is read with defaults", () => {
    const ask = askOf({ metric: "speed", errors: "day", cause: "x", upstream: "" });
    expect(ask).toMatchObject({ metric: "duration", errors: "upstream", cause: "outcome" });
    expect(ask.upstream).toBeUndefined();
    expect(isFiltered(ask)).toBe(false);
    expect(isFiltered(askOf({ model: "<b>" }))).toBe(true);
  });
  it("can name what nothing was counted of", () => {
    expect(optionsOf(["a"], "b")).toEqual(["b", "a"]);
    expect(optionsOf(["a"], "a")).toEqual(["a"]);
    expect(optionsOf(["a"], undefined)).toEqual(["a"]);
  });
});

describe("errors by cause", () => {
  it("have a row for each name that has any, the most first", () => {
    const items = [item("a", 200, 0), item("a", 500, 2), item("b", 429, 5), item("b", 500, 1),
      item(null, 400, 1), item("c", 200, 0)];
    const { rows, causes } = errorsOf(items, "upstream", "status");
    expect(causes).toEqual(["400", "429", "500"]);
    expect(rows.map(({ name, total }) => [name, total])).toEqual([["b", 6], ["a", 2], [null, 1]]);
    expect(rows[0]?.counts.get("429")).toBe(5);
    expect(rows[0]?.counts.get("400")).toBeUndefined();
  });
  it("are added up over statuses of the same kind", () => {
    const items = [item("a", 500, 2), item("a", 503, 3), item("a", 429, 1)];
    const { rows, causes } = errorsOf(items, "upstream", "outcome");
    expect(causes).toEqual(["rate_limited", "server_error"]);
    expect(rows[0]?.counts.get("server_error")).toBe(5);
    expect(rows[0]?.total).toBe(6);
  });
  it("are none without errors", () => {
    expect(errorsOf([item("a", 200, 0)], "upstream", "status")).toEqual({ rows: [], causes: [] });
  });
});

describe("names and shares", () => {
  it("leave out what has no name", () => {
    expect(namesOf([item("a", 200, 0), item(null, 200, 0)], "upstream")).toEqual(["a"]);
  });
  it("of nothing are none", () => {
    expect(shareOf(1, 4)).toBe(0.25);
    expect(shareOf(0, 0)).toBeNull();
    expect(shareOf(null, 4)).toBeNull();
  });
});
