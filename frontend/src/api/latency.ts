// Quantiles of several upstreams or models. The API answers two queries at a time, so they are
// asked for one after the other.
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { paramsOf } from "@/lib/range.ts";

import { ask, type ApiError, type Params } from "./http.ts";
import type { When } from "./queries.ts";
import type { Schema } from "./types.ts";

/** Names that quantiles are asked for: the first of a list, as each is a query of its own. */
export const QUANTILES_MAX = 12;
const REFRESH_MS = 60_000;
const PATH = "/api/metrics/latency";

export type QuantilesOf = ReadonlyMap<string, Schema<"Quantiles">>;

/** Quantiles of durations by name, for the first names. */
export function useQuantiles(
  when: When,
  by: "upstream" | "model",
  names: string[],
  filters: Params,
) {
  const first = names.slice(0, QUANTILES_MAX);
  const params = { ...filters, ...paramsOf(when.range, when.tz) };
  return useQuery<QuantilesOf, ApiError>({
    queryKey: [PATH, by, [...first].sort(), params],
    queryFn: async ({ signal }) => {
      const found = new Map<string, Schema<"Quantiles">>();
      for (const name of first) {
        const asked = { ...params, [by]: name };
        const { data } = await ask<Schema<"Latency">>(PATH, { params: asked, signal });
        found.set(name, data.totals.quantiles);
      }
      return found;
    },
    enabled: first.length > 0,
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
  });
}
