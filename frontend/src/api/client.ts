// Cache of answers, and the rules by which they are asked for again.
import { QueryCache, QueryClient } from "@tanstack/react-query";

import { ApiError } from "./http.ts";
import { wantKey } from "./session.ts";

/** Times that a query which the API had no room for is sent again. */
const RETRIES_MAX = 3;
const RETRY_MS_MAX = 8_000;

function isUnauthorised(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

function mayRetry(failures: number, error: unknown): boolean {
  if (!(error instanceof ApiError) || failures >= RETRIES_MAX) return false;
  return error.status === 503 || error.status === 429 || (error.status === 0 && failures === 0);
}

function retryMs(failures: number, error: unknown): number {
  const asked = error instanceof ApiError ? error.retryAfter : null;
  return Math.min(asked === null ? 500 * 2 ** failures : asked * 1_000, RETRY_MS_MAX);
}

export function newClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (isUnauthorised(error)) wantKey();
      },
    }),
    defaultOptions: {
      queries: { retry: mayRetry, retryDelay: retryMs, staleTime: 2_000, gcTime: 300_000 },
      mutations: { retry: false },
    },
  });
}
