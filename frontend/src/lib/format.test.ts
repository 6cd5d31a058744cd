import { describe, expect, it } from "vitest";

import { change, duration, durationTick, exact, moment, points, show, signed } from "./format.ts";

describe("numbers", () => {
  it("are short in cards and whole beside them", () => {
    expect(show(28_185, "compact", "en")).toBe("28.19K");
    expect(show(40_421_844, "compact", "zh")).toBe("4042万");
    expect(show(9_999, "compact", "en")).toBe("9,999");
    expect(exact(40_421_844, "compact", "zh")).toBe("40,421,844");
  });

  it("lose no digit beyond 2^53, and none of a cost", () => {
    expect(show("9007199254740993", "count", "en")).toBe("9,007,199,254,740,993");
    expect(show("123456789012.123456789", "usd", "en")).toBe("$123,456,789,012.123456789");
    expect(exact("9007199254740993", "compact", "en")).toBe("9,007,199,254,740,993");
  });

  it("are a dash where there is none", () => {
    for (const kind of ["count", "compact", "percent", "ms", "rate", "usd", "bytes"] as const) {
      expect(show(null, kind, "en")).toBe("–");
      expect(exact(undefined, kind, "zh")).toBe("–");
    }
  });

  it("have units that keep them short", () => {
    const shown = [0, 1.5, 320, 16_437.8, 61_000, 150_000, 7_200_000];
    const texts = ["0 ms", "1.50 ms", "320 ms", "16.44 s", "61.00 s", "2.5 min", "2.0 h"];
    expect(shown.map((ms) => duration(ms, "en"))).toEqual(texts);
    expect([500, 15_000, 90_000].map((ms) => durationTick(ms, "en"))).toEqual([
      "500 ms",
      "15 s",
      "1.5 min",
    ]);
    expect(show(1_536, "bytes", "en")).toBe("1.5 KiB");
  });
});

describe("changes", () => {
  it("need something to compare with", () => {
    expect(change(10, 0)).toBeNull();
    expect(change(10, null)).toBeNull();
    expect(change(15, 10)).toBeCloseTo(0.5);
    expect(change(0, 10)).toBe(-1);
  });

  it("have a sign, and become a factor where percents say nothing", () => {
    expect(signed(0.254, "en")).toBe("+25%");
    expect(signed(-0.034, "en")).toBe("−3.4%");
    expect(signed(0, "en")).toBe("0%");
    expect(signed(49.36, "en")).toBe("×50.4");
    expect(points(0.0124, "en")).toBe("+1.24");
  });
});

describe("times", () => {
  it("are those of the zone", () => {
    const time = "2026-03-05T20:15:00Z";
    expect(moment(time, "Asia/Kathmandu", "en", "minute")).toBe("Mar 6, 02:00");
    expect(moment(time, "UTC", "zh", "day")).toBe("2026年3月5日");
    expect(moment(time, "UTC", "en", "clock")).toBe("20:15");
  });

  it("are shown as they are if they are none", () => {
    expect(moment("earlier", "UTC", "en")).toBe("earlier");
  });
});
