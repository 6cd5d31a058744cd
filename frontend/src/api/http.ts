// The one place that sends requests. Puts the key on them, unpacks the envelope, and turns what
// went wrong into one kind of error. The key is held here and nowhere else.
import { parseJson } from "@/lib/json.ts";

/** Longest wait for an answer; the API itself gives up after less. */
const TIMEOUT_MS = 20_000;

let key: string | null = null;

/** Keeps a key until the page is closed. */
export function setKey(value: string) {
  key = value;
}

/** What went wrong, with the API's own words where it answered. */
export class ApiError extends Error {
  /** HTTP status; 0 if there was no answer. */
  readonly status: number;
  /** Seconds after which the API asks to be asked again. */
  readonly retryAfter: number | null;

  constructor(status: number, message: string, retryAfter: number | null = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Data with what the envelope says about it. */
export interface Answer<T> {
  data: T;
  /** Whether the ledger did not answer and this is the newest answer that is known. */
  isStale: boolean;
}

export type Params = Record<string, string | number | undefined>;

interface Request {
  method?: "GET" | "POST" | "PUT";
  params?: Params;
  body?: unknown;
  signal?: AbortSignal | undefined;
}

export function pathWith(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") search.append(name, String(value));
  }
  const text = search.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Sends a request and returns the response, whose status is one of success. */
export async function send(path: string, request: Request = {}): Promise<Response> {
  const headers = new Headers();
  if (key !== null) headers.set("authorization", `Bearer ${key}`);
  const init: RequestInit = { method: request.method ?? "GET", headers, cache: "no-store" };
  if (request.body !== undefined) {
    headers.set("content-type", "application/json");
    init.body = JSON.stringify(request.body);
  }
  if (request.signal !== undefined) init.signal = request.signal;
  let response: Response;
  try {
    response = await fetch(pathWith(path, request.params), init);
  } catch (error) {
    if (request.signal?.aborted === true) throw error;
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
  if (response.ok) return response;
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  const message = messageOf(await response.text().catch(() => ""), response);
  throw new ApiError(response.status, message, Number.isNaN(retryAfter) ? null : retryAfter);
}

/** The message of an envelope, or the status where another server answered. */
function messageOf(text: string, response: Response): string {
  try {
    const { message } = parseJson(text) as { message?: unknown };
    if (typeof message === "string" && message !== "") return message;
  } catch {
    // Something between the page and the API answered.
  }
  return `HTTP ${response.status} ${response.statusText}`.trim();
}

/** Asks the API and returns what is in its envelope. */
export async function ask<T>(path: string, request: Request = {}): Promise<Answer<T>> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const outer = request.signal;
  const signal = outer === undefined ? timeout : AbortSignal.any([outer, timeout]);
  try {
    const response = await send(path, { ...request, signal });
    const envelope = parseJson(await response.text()) as { data: T; stale?: boolean };
    return { data: envelope.data, isStale: envelope.stale === true };
  } catch (error) {
    if (error instanceof ApiError || outer?.aborted === true) throw error;
    if (timeout.aborted) throw new ApiError(0, `no answer within ${TIMEOUT_MS / 1_000} s`);
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
}
