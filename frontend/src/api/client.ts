// Cache of answers, and the rules by which they are asked for again.
import { QueryCache, QueryClient } from "@tanstack/react-query";

import { ApiError } from "./http.ts";
import { wantKey } from "./session.ts";

/** Longest wait before a query that failed is sent again, whatever the API asks for. */
const RETRY_MS_MAX = 8_000;
/** The first wait, if the API asks for none; each is twice the one before. */
const RETRY_MS_MIN = 500;

function isUnauthorised(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** What passes by itself: nobody there (0, or what a proxy says then), no room, not ready. */
const PASSING: readonly number[] = [0, 429, 502, 503, 504];

function isPassing(_: number, error: unknown): boolean {
  return error instanceof ApiError && PASSING.includes(error.status);
}

function retryMs(failures: number, error: unknown): number {
  const asked = error instanceof ApiError ? error.retryAfter : null;
  const ms = asked === null ? RETRY_MS_MIN * 2 ** failures : asked * 1_000;
  return Math.min(Math.max(ms, RETRY_MS_MIN), RETRY_MS_MAX);
}

export function newClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (isUnauthorised(error)) wantKey();
      },
    }),
    defaultOptions: {
      queries: {
        // Without end: what went wrong is shown meanwhile (shownOf).
        retry: isPassing,
        retryDelay: retryMs,
        // A browser that is offline reaches an api of its own machine all the same.
        networkMode: "always",
        staleTime: 2_000,
        gcTime: 300_000,
      },
      mutations: { retry: false, networkMode: "always" },
    },
  });
}
