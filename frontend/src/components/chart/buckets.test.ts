import { expect, it } from "vitest";

import { bucketsOf, endOf, isSame, partOf, spanOf } from "./buckets.ts";

const LABELS = ["2026-03-05T10:00:00Z", "2026-03-05T10:01:00Z", "2026-03-05T10:02:00Z"];
const START = Date.parse("2026-03-05T10:00:00Z") / 1_000;

it("places buckets in time, and leaves out what has no place", () => {
  const buckets = bucketsOf(["earlier", ...LABELS], 60, null);
  expect(buckets.hasEarlier).toBe(true);
  expect(buckets.starts).toEqual([START, START + 60, START + 120]);
  expect(endOf(buckets, 0)).toBe(START + 60);
  expect(endOf(buckets, 2)).toBe(START + 180);
});

it("zooms to whole buckets", () => {
  const buckets = bucketsOf(LABELS, 60, "2026-03-05T10:03:00Z");
  expect(spanOf(buckets, START + 70, START + 30)).toEqual([START, START + 120]);
  expect(spanOf(buckets, START - 50, START + 10)).toEqual([START, START + 60]);
  expect(spanOf(buckets, START + 130, START + 500)).toEqual([START + 120, START + 180]);
  expect(spanOf(buckets, START + 180, START + 500)).toBeNull();
});

it("finds the buckets of a span, unless it reaches beyond what there is", () => {
  const buckets = bucketsOf(LABELS, 60, "2026-03-05T10:03:00Z");
  expect(partOf(buckets, [START + 60, START + 120])).toEqual([1, 2]);
  expect(partOf(buckets, [START + 60, START + 180])).toEqual([1, 3]);
  expect(partOf(buckets, [START + 70, START + 130])).toEqual([1, 3]);
  expect(partOf(buckets, [START, START + 180])).toEqual([0, 3]);
  expect(partOf(buckets, [START - 60, START + 120])).toBeNull();
  expect(partOf(buckets, [START + 60, START + 240])).toBeNull();
});

it("tells spans apart", () => {
  expect(isSame([1, 2], [1, 2])).toBe(true);
  expect(isSame([1, 2], [1, 3])).toBe(false);
  expect(isSame([NaN, NaN], [1, 3])).toBe(false);
});
