// Quantiles of one upstream or model out of a list: each is a query of its own, asked for by the
// row that shows it.
import { newTurns } from "@/lib/turns.ts";

import { ask, type Params } from "./http.ts";
import { LATENCY, timed, useQueryOf, type When } from "./queries.ts";
import type { Result } from "./result.ts";
import type { Schema } from "./types.ts";

/**
 * Such queries that are sent at once. The API answers two queries at a time, and the other one is
 * for the rest of the page.
 */
export const QUANTILES_AT_ONCE = 1;
/** How often the quantiles of a row that is seen are asked for again. */
const REFRESH_MS = 60_000;

const turns = newTurns(QUANTILES_AT_ONCE);

/** How long the requests of an upstream or model took. */
export function useQuantiles(
  when: When,
  by: "upstream" | "model",
  name: string,
  filters: Params,
): Result<Schema<"Latency">> {
  const params = timed(when, { ...filters, [by]: name });
  return useQueryOf<Schema<"Latency">>({
    // Not that of the whole page, which is asked for more often.
    queryKey: [LATENCY, "row", params],
    queryFn: ({ signal }) => turns(signal, () => ask(LATENCY, { params, signal })),
    refetchInterval: REFRESH_MS,
    staleTime: REFRESH_MS,
  });
}
