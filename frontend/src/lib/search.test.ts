import { describe, expect, it } from "vitest";

import { rangeBefore, rangeOf } from "./range.ts";
import { parseSearch, stringifySearch, validateView } from "./search.ts";

describe("the address", () => {
  it("gives back what was put into it", () => {
    const view = { range: "today", tz: "Asia/Shanghai", search: "<b> & ü م", group: "a,b" };
    expect(parseSearch(stringifySearch(view))).toEqual(view);
    expect(stringifySearch({ tz: "Asia/Shanghai", empty: "", none: undefined, page: 2 })).toBe(
      "?tz=Asia/Shanghai&page=2",
    );
  });

  it("drops what means nothing", () => {
    expect(validateView({ range: "ever", lang: "fr", theme: "pink", from: "1" })).toEqual({});
  });

  it("lets two points in time win over a name", () => {
    const view = validateView({ range: "1h", from: "a", to: "b" });
    expect(view).toEqual({ range: "1h", from: "a", to: "b" });
    expect(rangeOf(view)).toEqual({ from: "a", to: "b" });
    expect(rangeOf({})).toEqual({ name: "today" });
  });
});

describe("the period before", () => {
  const covered = { from: "2026-03-05T10:00:00Z", to: "2026-03-05T11:00:00Z" };

  it("is of the same length", () => {
    const before = { from: "2026-03-05T09:00:00Z", to: "2026-03-05T10:00:00Z" };
    expect(rangeBefore({ name: "1h" }, covered)).toEqual(before);
    expect(rangeBefore(covered, covered)).toEqual(before);
  });

  it("is the calendar's for days, weeks and months", () => {
    expect(rangeBefore({ name: "today" }, covered)).toBeNull();
    expect(rangeBefore({ name: "all" }, covered)).toBeNull();
  });
});
