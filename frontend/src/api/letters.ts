// Dead letters: what was read and not counted, and sending it again.
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { ask, type Answer, type ApiError, type Params } from "./http.ts";
import { useApi } from "./queries.ts";
import { wantKey } from "./session.ts";
import type { Schema } from "./types.ts";

const PATH = "/api/dead-letters";
const REPLAY = `${PATH}/replay`;
/** Letters come rarely, and a list of them is read, not watched. */
const REFRESH_MS = 15_000;

export type Letter = Schema<"DeadLetter">;
export type LetterAddress = Schema<"LetterAddress">;

export function useLetters(params: Params) {
  return useApi<Schema<"DeadLetterPage">>(PATH, params, { every: REFRESH_MS, keeps: true });
}

/** Whether letters can be sent again from here, and how many at a time. */
export function useReplay() {
  return useApi<Schema<"Replay">>(REPLAY, {});
}

/** Has ingest append letters again. The answer says which ones it refused, and why. */
export function useSendAgain() {
  const client = useQueryClient();
  return useMutation<Answer<Schema<"ReplayResult">>, ApiError, LetterAddress[]>({
    mutationFn: (letters) => ask(REPLAY, { method: "POST", body: { letters } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: [PATH] });
      await client.invalidateQueries({ queryKey: ["/api/metrics/system"] });
    },
    onError: (error) => {
      if (error.status === 401) wantKey();
    },
  });
}
