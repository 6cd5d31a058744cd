import { expect, it } from "vitest";

import { stepped } from "./stepped.ts";

function check(startIndex: number, endIndex: number, count: number) {
  const found = stepped({ startIndex, endIndex, count });
  // No gap, nothing twice, none beyond the end, and all that is seen is there.
  expect(found).toEqual(found.map((_, idx) => (found[0] ?? 0) + idx));
  expect(found.at(-1) ?? -1).toBeLessThan(count);
  for (let idx = startIndex; idx <= endIndex; idx += 1) expect(found).toContain(idx);
  return found;
}

it("has all rows that are seen, and some on either side", () => {
  for (let start = 0; start < 83; start += 1) {
    for (const seen of [1, 2, 17]) {
      const found = check(start, Math.min(start + seen - 1, 99), 100);
      expect(found.length).toBeLessThanOrEqual(seen + 16);
      if (start > 8) expect(start - (found[0] ?? 0)).toBeGreaterThanOrEqual(4);
      if (start + seen < 90) expect((found.at(-1) ?? 0) - start - seen).toBeGreaterThanOrEqual(1);
    }
  }
});

it("stays as it is while few rows are scrolled by", () => {
  expect(check(8, 24, 1_000)).toEqual(check(11, 27, 1_000));
  expect(check(8, 25, 1_000)).toEqual(check(11, 27, 1_000));
  expect(check(11, 27, 1_000)).not.toEqual(check(12, 28, 1_000));
});

it("has nothing of nothing", () => {
  expect(stepped({ startIndex: 0, endIndex: 0, count: 0 })).toEqual([]);
});
