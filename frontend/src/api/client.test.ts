import { keepPreviousData, QueryObserver, type QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { newClient } from "./client.ts";
import { ApiError, type Answer } from "./http.ts";
import { shownOf } from "./result.ts";

/** How soon an error must show. */
const SHOWN_MS = 3_000;

let client: QueryClient;
/** What the API does when it is asked. */
let api: () => Answer<string>;
let asked = 0;

const answer = (data: string) => () => ({ data, isStale: false });
const failure = (status: number, retryAfter: number | null = null) => () => {
  throw new ApiError(status, `failed with ${status}`, retryAfter);
};

/** A page that looks at a query, and what it shows. */
function look(key = "a") {
  const options = (name: string) => ({
    queryKey: [name],
    queryFn: () => {
      asked += 1;
      return Promise.resolve().then(api);
    },
    placeholderData: keepPreviousData,
  });
  const observer = new QueryObserver<Answer<string>, ApiError>(client, options(key));
  observer.subscribe(() => undefined);
  return {
    shown: () => {
      const { data, error } = shownOf(observer.getCurrentResult());
      return { data: data?.data, error: error?.message };
    },
    again: () => { void observer.refetch(); },
    turn: (name: string) => { observer.setOptions(options(name)); },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
  client = newClient();
  client.mount();
  asked = 0;
});

afterEach(() => {
  client.clear();
  client.unmount();
  vi.useRealTimers();
});

it.each([0, 429, 502, 503, 504])("shows %i soon, and asks until it has passed", async (status) => {
  api = failure(status);
  const page = look();
  await vi.advanceTimersByTimeAsync(SHOWN_MS);
  expect(page.shown()).toEqual({ data: undefined, error: `failed with ${status}` });
  const before = asked;
  await vi.advanceTimersByTimeAsync(60_000);
  // It never stops, and never becomes a flood.
  expect(asked).toBeGreaterThan(before + 4);
  expect(asked).toBeLessThan(20);
  expect(page.shown().error).toBe(`failed with ${status}`);
  api = answer("new");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(page.shown()).toEqual({ data: "new", error: undefined });
});

it("waits as long as the API asks for, within bounds", async () => {
  api = failure(503, 5);
  look();
  await vi.advanceTimersByTimeAsync(4_900);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toBe(2);
  api = failure(503, 0);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toBeLessThan(25);
  api = failure(503, 3_600);
  await vi.advanceTimersByTimeAsync(1_000);
  api = answer("new");
  const before = asked;
  await vi.advanceTimersByTimeAsync(9_000);
  expect(asked).toBe(before + 1);
});

it.each([2, 30])("keeps an old answer and says so, also if asked to wait %i s", async (seconds) => {
  api = answer("old");
  const page = look();
  await vi.advanceTimersByTimeAsync(10);
  expect(page.shown()).toEqual({ data: "old", error: undefined });
  api = failure(503, seconds);
  page.again();
  await vi.advanceTimersByTimeAsync(SHOWN_MS);
  expect(page.shown()).toEqual({ data: "old", error: "failed with 503" });
  api = answer("new");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(page.shown()).toEqual({ data: "new", error: undefined });
});

it("says nothing of one failure that is made up at once", async () => {
  api = answer("old");
  const page = look();
  await vi.advanceTimersByTimeAsync(10);
  api = failure(503);
  page.again();
  await vi.advanceTimersByTimeAsync(10);
  api = answer("new");
  expect(page.shown()).toEqual({ data: "old", error: undefined });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(page.shown()).toEqual({ data: "new", error: undefined });
});

it("does not leave the answer of another query in the place of an error", async () => {
  api = answer("of a");
  const page = look("a");
  await vi.advanceTimersByTimeAsync(10);
  api = failure(503);
  page.turn("b");
  expect(page.shown().data).toBe("of a");
  await vi.advanceTimersByTimeAsync(SHOWN_MS);
  expect(page.shown()).toEqual({ data: undefined, error: "failed with 503" });
});

it.each([400, 404, 500])("does not repeat what gave %i", async (status) => {
  api = failure(status);
  const page = look();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toBe(1);
  expect(page.shown().error).toBe(`failed with ${status}`);
});
