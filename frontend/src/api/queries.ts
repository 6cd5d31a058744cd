// One hook for each call that the pages make. A query's key is its path and its parameters.
import {
  keepPreviousData,
  useQuery,
  useQueryClient,
  type UseQueryOptions,
} from "@tanstack/react-query";

import { paramsOf, refreshMs, type Range } from "@/lib/range.ts";

import { ask, type Answer, type ApiError, type Params } from "./http.ts";
import { shownOf, type Result } from "./result.ts";
import type { Schema } from "./types.ts";

interface Options {
  /** Milliseconds until it is asked again, while the page is seen. */
  every?: number | false | ((error: ApiError | null) => number | false);
  /** False: do not ask yet. */
  when?: boolean;
  /**
   * Whether the answer to the query before is shown until this one has one. The query before must
   * have been about the same thing, of another time or by other filters.
   */
  keeps?: boolean;
}

/** A query, with the error that shows while it is sent again. */
export function useQueryOf<T>(options: UseQueryOptions<Answer<T>, ApiError>): Result<T> {
  const { queryKey } = options;
  const client = useQueryClient();
  const query = useQuery(options);
  const { data, error } = shownOf(query);
  return {
    data,
    error,
    isPending: data === undefined && error === null,
    isPlaceholderData: query.isPlaceholderData && data !== undefined,
    refetch: () => {
      // Otherwise it would wait with the attempt that is about to be made.
      void client.cancelQueries({ queryKey, exact: true }).then(() => query.refetch());
    },
  };
}

/** Asks a call of the API. */
export function useApi<T>(path: string, params: Params, options: Options = {}): Result<T> {
  const { every = false, when = true, keeps = false } = options;
  return useQueryOf<T>({
    queryKey: [path, params],
    queryFn: ({ signal }) => ask<T>(path, { params, signal }),
    refetchInterval: typeof every === "function" ? ({ state }) => every(state.error) : every,
    enabled: when,
    ...(keeps ? { placeholderData: keepPreviousData } : {}),
  });
}

/** What a view of a range of time asks with. */
export interface When {
  range: Range;
  tz: string;
}

export function timed({ range, tz }: When, params: Params = {}): Params {
  return { ...params, ...paramsOf(range, tz) };
}

/** Distribution, trend, tokens, stats and system of one version of the ledger. */
export function useDashboard(namespace: string, when: When) {
  const params = timed(when, { namespace });
  const every = refreshMs(when.range);
  return useApi<Schema<"Dashboard">>("/api/metrics/dashboard", params, { every, keeps: true });
}

/** Figures of a namespace. Null as range: not asked. */
export function useStats(namespace: string, range: Range | null, tz: string) {
  const params = range === null ? {} : timed({ range, tz });
  const path = `/api/metrics/namespaces/${encodeURIComponent(namespace)}/stats`;
  return useApi<Schema<"Stats">>(path, params, { when: range !== null, every: 60_000 });
}

export const LATENCY = "/api/metrics/latency";

/** Durations (or times to the first token ..) of requests over time. */
export function useLatency(when: When, params: Params, options: Options = {}) {
  const every = refreshMs(when.range);
  const all = timed(when, params);
  return useApi<Schema<"Latency">>(LATENCY, all, { every, keeps: true, ...options });
}

/**
 * The time per output token. A program that does not know it refuses to answer, and is not asked
 * again and again.
 */
export function useTokenTime(when: When, params: Params) {
  const every = (error: ApiError | null) => (error?.status === 400 ? false : refreshMs(when.range));
  return useLatency(when, { ...params, metric: "tpot" }, { every });
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
  const all = timed(when, params);
  return useApi<Schema<"Usage">>("/api/usage", all, { every, keeps: true, ...options });
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
