// Creates namespaces and changes their status. What was asked about namespaces before is asked
// again afterwards.
import { useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";

import { ask, type Answer, type ApiError } from "./http.ts";
import { wantKey } from "./session.ts";
import type { Schema } from "./types.ts";

const PATH = "/api/namespaces";

export type NamespaceStatus = "enabled" | "disabled";

export interface NewNamespace {
  code: string;
  /** Without it the code. */
  name?: string;
}

async function refresh(client: QueryClient) {
  await client.invalidateQueries({
    predicate: ({ queryKey }) => String(queryKey[0]).startsWith(PATH),
  });
}

function onError(error: ApiError) {
  if (error.status === 401) wantKey();
}

export function useCreateNamespace() {
  const client = useQueryClient();
  return useMutation<Answer<Schema<"Namespace">>, ApiError, NewNamespace>({
    mutationFn: (body) => ask(PATH, { method: "POST", body }),
    onSuccess: () => refresh(client),
    onError,
  });
}

export interface StatusChange {
  code: string;
  status: NamespaceStatus;
}

export function useSetStatus() {
  const client = useQueryClient();
  return useMutation<Answer<Schema<"Namespace">>, ApiError, StatusChange>({
    mutationFn: ({ code, status }) =>
      ask(`${PATH}/${encodeURIComponent(code)}/status`, { method: "PUT", body: { status } }),
    onSuccess: () => refresh(client),
    onError,
  });
}
