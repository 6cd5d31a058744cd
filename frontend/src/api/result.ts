// What is known of a query: the newest answer, and what went wrong since. A query that fails in a
// way that passes is sent again for as long as somebody looks at it, so its error is not the end.
import type { Answer, ApiError } from "./http.ts";

export interface Result<T> {
  /** Undefined: there is none yet. */
  data: Answer<T> | undefined;
  /** Why there is no newer answer; it may be asked for again already. */
  error: ApiError | null;
  /** Neither answer nor error. */
  isPending: boolean;
  /** The answer is that of the query before. */
  isPlaceholderData: boolean;
  /** Asks at once, in place of what is on its way. */
  refetch: () => void;
}

/** What TanStack says of a query. */
export interface State<Data> {
  data: Data | undefined;
  error: ApiError | null;
  failureCount: number;
  failureReason: ApiError | null;
  isPlaceholderData: boolean;
}

/** Failures in a row from which on an old answer is said to be old: one alone is soon made up, */
const OUTDATED_MIN = 2;
/** unless the API asks not to be asked again for longer than this, seconds. */
const SOON_SECONDS = 2;

/**
 * Answer and error of a query. Without an answer the first failure shows. The answer to the query
 * before stands in until this one has failed.
 */
export function shownOf<Data>(state: State<Data>): Pick<State<Data>, "data" | "error"> {
  const { error, failureReason, failureCount, isPlaceholderData } = state;
  const data = isPlaceholderData && failureCount > 0 ? undefined : state.data;
  const isSoon = (failureReason?.retryAfter ?? 0) <= SOON_SECONDS;
  const isShown = failureCount >= (data !== undefined && isSoon ? OUTDATED_MIN : 1);
  return { data, error: error ?? (isShown ? failureReason : null) };
}
