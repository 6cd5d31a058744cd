// A tenant's days: in any zone, and over a change of clocks, single days add up to the range, to
// the token, on the page, in the file and from the API.
import { readFileSync } from "node:fs";

import { ask, at, digits, list, text, whole } from "./lib/api.ts";
import { compare } from "./lib/figures.ts";
import { change, odd } from "./lib/places.ts";
import { expect, open, test, withoutPicker } from "./lib/walk.ts";
import { usage } from "./wanted/usage.ts";

const FIELDS = ["requests", "input", "output", "cache_read", "cache_write", "reasoning"] as const;
const HOUR_MS = 3_600_000;

/** The local date of a moment, as YYYY-MM-DD. */
function dateOf(ms: number, zone: string): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" }).format(ms);
}

/** The moment at which a local date begins: the first with that date. */
function beginOf(date: string, zone: string): number {
  let ms = Date.parse(`${date}T00:00:00Z`) - 15 * HOUR_MS;
  while (dateOf(ms, zone) < date) ms += HOUR_MS / 4;
  return ms;
}

function dateAfter(date: string): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + 24 * HOUR_MS).toISOString().slice(0, 10);
}

/** Rows of a file, by the names in its first line. */
function rowsOf(csv: string): Record<string, string>[] {
  const [head = "", ...lines] = csv.split("\r\n").filter((line) => line !== "");
  const names = head.split(",");
  return lines.map((line) =>
    Object.fromEntries(line.split(",").map((cell, idx) => [names[idx] ?? "", cell])),
  );
}

const iso = (ms: number) => new Date(ms).toISOString().replace(".000", "");

for (const zone of [
  "Asia/Shanghai", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia",
]) {
  test(`days in ${zone}`, async ({ page }) => {
    // Whole days around the change, within the rows that there are.
    const around = change().seconds * 1_000;
    const dates = [dateOf(around - 48 * HOUR_MS, zone)];
    while (dates.length < 4) dates.push(dateAfter(dates.at(-1) ?? ""));
    const begins = [...dates, dateAfter(dates.at(-1) ?? "")].map((date) => beginOf(date, zone));
    const [from, to] = [iso(begins[0] ?? 0), iso(begins.at(-1) ?? 0)];
    if (zone === change().zone) {
      const hours = begins.slice(1).map((end, idx) => (end - (begins[idx] ?? 0)) / HOUR_MS);
      expect(hours.some((length) => length !== 24), `a change within ${hours.join()}`).toBe(true);
    }

    const view = { from, to, tz: zone };
    const data = await ask(odd(), "/api/usage", { ...view, group_by: "day" });
    const range = at(data, "totals");
    expect(list(data, "items").map((item) => text(item, "day")).sort()).toEqual(dates);

    // Each day by itself, as somebody asks who is charged for it.
    const sums = FIELDS.map(() => 0n);
    for (const [idx, date] of dates.entries()) {
      const [begin = 0, end = 0] = begins.slice(idx);
      const asked = { from: iso(begin), to: iso(end), tz: zone, group_by: "namespace" };
      const day = at(await ask(odd(), "/api/usage", asked), "totals");
      const row = list(data, "items").find((item) => text(item, "day") === date) ?? null;
      for (const [place, field] of FIELDS.entries()) {
        expect(digits(day, field), `${date} ${field}`).toBe(digits(row, field));
        sums[place] = (sums[place] ?? 0n) + whole(day, field);
      }
    }
    expect(sums).toEqual(FIELDS.map((field) => whole(range, field)));
    expect(sums[0]).toBeGreaterThan(0n);

    // The page shows the same, and so does the file that it saves.
    await withoutPicker(page);
    await open(page, odd(), "/usage", { ...view, group: "day" });
    await compare(page, "en", () => usage(odd(), view, { group_by: "day" }));
    const coming = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    const rows = rowsOf(readFileSync(await (await coming).path(), "utf8"));
    expect(rows.map(({ day }) => day).sort()).toEqual(dates);
    for (const [place, field] of FIELDS.entries()) {
      const sum = rows.reduce((all, row) => all + BigInt(row[field] ?? "none"), 0n);
      expect(sum, field).toBe(sums[place]);
    }
  });
}
