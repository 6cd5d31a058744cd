// One hook for each call that the pages make. A query's key is its path and its parameters.
import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";

import { paramsOf, refreshMs, type Range } from "@/lib/range.ts";

import { ask, type Answer, type ApiError, type Params } from "./http.ts";
import type { Schema } from "./types.ts";

export type Result<T> = UseQueryResult<Answer<T>, ApiError>;

interface Options {
  /** Milliseconds until it is asked again, while the page is seen. */
  every?: number | false;
  /** False: do not ask yet. */
  when?: boolean;
  /** Whether the answer to the query before is shown until this one has one. */
  keeps?: boolean;
}

/** Asks a call of the API. */
export function useApi<T>(path: string, params: Params, options: Options = {}): Result<T> {
  const { every = false, when = true, keeps = false } = options;
  return useQuery<Answer<T>, ApiError>({
    queryKey: [path, params],
    queryFn: ({ signal }) => ask<T>(path, { params, signal }),
    refetchInterval: every,
    enabled: when,
    ...(keeps ? { placeholderData: keepPreviousData } : {}),
  });
}

/** What a view of a range of time asks with. */
export interface When {
  range: Range;
  tz: string;
}

function timed({ range, tz }: When, params: Params = {}): Params {
  return { ...params, ...paramsOf(range, tz) };
}

/** Distribution, trend, tokens, stats and system of one version of the ledger. */
export function useDashboard(namespace: string, when: When) {
  const params = timed(when, { namespace });
  const every = refreshMs(when.range);
  return useApi<Schema<"Dashboard">>("/api/metrics/dashboard", params, { every });
}

/** Figures of a namespace. Null as range: not asked. */
export function useStats(namespace: string, range: Range | null, tz: string) {
  const params = range === null ? {} : timed({ range, tz });
  const path = `/api/metrics/namespaces/${encodeURIComponent(namespace)}/stats`;
  return useApi<Schema<"Stats">>(path, params, { when: range !== null, every: 60_000 });
}

/** Durations (or times to the first token ..) of requests over time. */
export function useLatency(when: When, params: Params, options: Options = {}) {
  const every = refreshMs(when.range);
  const all = timed(when, params);
  return useApi<Schema<"Latency">>("/api/metrics/latency", all, { every, ...options });
}

/** Lists by group change less than figures, and cost the ledger more. */
const USAGE_MS_MIN = 15_000;
const CONSUMERS_MS_MIN = 60_000;

/** Requests, tokens and cost by group. */
export function useUsage(when: When, params: Params, options: Options = {}) {
  const often = refreshMs(when.range);
  const byConsumer = String(params.group_by).includes("consumer");
  const least = byConsumer ? CONSUMERS_MS_MIN : USAGE_MS_MIN;
  const every = often === false ? false : Math.max(often, least);
  return useApi<Schema<"Usage">>("/api/usage", timed(when, params), { every, ...options });
}

/** The whole installation. Without a range: since the beginning. */
export function useSystem(when: When | null, every: number | false = 5_000) {
  const params = when === null ? {} : timed(when);
  return useApi<Schema<"System">>("/api/metrics/system", params, { every });
}

export function useNamespaces(params: Params, options: Options = {}) {
  return useApi<Schema<"NamespacePage">>("/api/namespaces", params, options);
}

/** One namespace, by number or code. */
export function useNamespace(code: string) {
  return useApi<Schema<"Namespace">>(`/api/namespaces/${encodeURIComponent(code)}`, {});
}
