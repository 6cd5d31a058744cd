// Names that are markup, turn the direction of text, hide characters or have no end: they are shown
// as text, run nothing and break no layout.
import { CONSUMERS } from "./lib/hostile.ts";
import { main, odd } from "./lib/places.ts";
import { expect, open, test, type Page } from "./lib/walk.ts";

/** Whether the page itself scrolls sideways. Wide tables do so by themselves. */
async function fits(page: Page) {
  const { wide, seen } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    seen: document.documentElement.clientWidth,
  }));
  expect(wide, `the page is ${wide} px wide`).toBeLessThanOrEqual(seen);
}

/** Elements that only a name could have brought. */
async function isText(page: Page) {
  const made = page.locator("main img, main script, main b[onclick], main [onmouseover]");
  await expect(made).toHaveCount(0);
}

const WIDTHS = [1440, 390];
const IMAGE = '<img src=x onerror="window.hostile=1">';
/** Pages, and a name of odd.sql that each must show as it is. */
const PATHS: readonly [string, string | undefined][] = [
  ["/", IMAGE],
  ["/usage?group=consumer", undefined],
  ["/usage?group=model,upstream", IMAGE],
  ["/upstreams", IMAGE],
  ["/pipeline", IMAGE],
  ["/namespaces", IMAGE],
];

for (const width of WIDTHS) {
  for (const [path, name] of PATHS) {
    test(`hostile names at ${path}, ${width} px`, async ({ page }) => {
      await page.setViewportSize({ width, height: 900 });
      await open(page, odd(), path, { range: "24h" });
      if (name !== undefined) {
        await expect(page.locator("main bdi", { hasText: name }).first()).toBeVisible();
      }
      await isText(page);
      await fits(page);
    });
  }
}

test("consumers are shown as what they are", async ({ page }) => {
  const view = { range: "24h", group: "consumer", namespace: "hostile" };
  await open(page, main(), "/usage", view);
  const names = await page.locator("tbody bdi").allTextContents();
  // What cannot be seen is shown by its number; all else as it was sent.
  const plain = CONSUMERS.filter((name) => !/[\u200e-\u202e\u2066-\u2069]/.test(name));
  for (const name of plain) expect(names).toContain(name);
  expect(names.some((name) => name.includes("202E"))).toBe(true);
  await isText(page);
  await fits(page);
});

test("a consumer of any letters can be filtered by", async ({ page }) => {
  for (const consumer of CONSUMERS) {
    await open(page, main(), "/usage", { range: "24h", group: "consumer", consumer });
    // It sent one event to each of three namespaces.
    await expect(page.locator("tbody tr[aria-rowindex]")).toHaveCount(3);
    await expect(page.locator("[data-figure='usage.totals.requests']")).toHaveText("3");
  }
});

for (const code of ["hostile", "hostile%2F..%2Fb%3Ac", "Hostile.long"]) {
  for (const width of WIDTHS) {
    test(`the page of ${code}, ${width} px`, async ({ page }) => {
      await page.setViewportSize({ width, height: 900 });
      await open(page, main(), `/namespaces/${code}`, { range: "24h" });
      await expect(page.locator("[data-figure='namespace.requests']")).toHaveText(
        String(CONSUMERS.length),
      );
      await isText(page);
      await fits(page);
    });
  }
}
