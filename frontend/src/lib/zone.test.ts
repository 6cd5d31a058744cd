import { describe, expect, it } from "vitest";

import { instantOf, isZone, offsetOf, todaysName, wallOf, zones } from "./zone.ts";

describe("zones", () => {
  it("knows zones by name", () => {
    expect(isZone("Asia/Shanghai")).toBe(true);
    expect(isZone("Mars/Olympus")).toBe(false);
  });

  it("has the names of today, each once", () => {
    const all = zones();
    expect(all[0]).toBe("UTC");
    expect(new Set(all).size).toBe(all.length);
    const wanted = ["Asia/Kathmandu", "Asia/Kolkata", "Europe/Kyiv", "Asia/Shanghai"];
    for (const name of [...wanted, "America/St_Johns", "Pacific/Apia"]) expect(all).toContain(name);
    expect(all).not.toContain("Asia/Katmandu");
    expect(todaysName("Asia/Saigon")).toBe("Asia/Ho_Chi_Minh");
  });

  it("tells offsets, those of parts of an hour too", () => {
    const time = Date.parse("2026-01-15T00:00:00Z");
    expect(offsetOf("UTC", time)).toBe("+00:00");
    expect(offsetOf("Asia/Kathmandu", time)).toBe("+05:45");
    expect(offsetOf("America/St_Johns", time)).toBe("-03:30");
    expect(offsetOf("Pacific/Apia", time)).toBe("+13:00");
  });

  it("turns wall time into an instant and back", () => {
    for (const zone of ["UTC", "Asia/Shanghai", "America/St_Johns", "Pacific/Apia"]) {
      const instant = instantOf("2026-03-05T10:17", zone);
      expect(wallOf(instant, zone)).toBe("2026-03-05T10:17");
    }
  });

  it("takes the first of two instants, and the end of a gap", () => {
    // Clocks in Berlin: 29 March 2026 02:00 -> 03:00, 25 October 2026 03:00 -> 02:00.
    const twice = instantOf("2026-10-25T02:30", "Europe/Berlin");
    expect(new Date(twice).toISOString()).toBe("2026-10-25T00:30:00.000Z");
    const never = instantOf("2026-03-29T02:30", "Europe/Berlin");
    expect(wallOf(never, "Europe/Berlin")).toBe("2026-03-29T03:30");
  });
});
