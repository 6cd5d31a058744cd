// axe finds nothing serious on any page, in either theme and language; nor does a phone scroll
// sideways.
import { violations } from "./lib/axe.ts";
import { openTables } from "./lib/figures.ts";
import { LANGUAGES, THEMES } from "./lib/format.ts";
import { PAGES } from "./lib/pages.ts";
import { main } from "./lib/places.ts";
import { expect, open, test } from "./lib/walk.ts";

for (const { name, path, params } of PAGES) {
  for (const theme of THEMES) {
    test(`axe: ${name}, ${theme}`, async ({ page }) => {
      // Languages differ in their texts alone; each is seen in one theme.
      const language = LANGUAGES[THEMES.indexOf(theme)] ?? "en";
      await open(page, main(), path, { range: "today", theme, language, ...params });
      // Charts are seen as they are in the one, and as tables in the other.
      if (theme === "dark") await openTables(page);
      expect(await violations(page)).toEqual([]);
    });
  }
  for (const language of LANGUAGES) {
    test(`phone: ${name}, ${language}`, async ({ page }) => {
      await page.setViewportSize({ width: 390, height: 844 });
      await open(page, main(), path, { range: "24h", language, ...params });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(wide).toBeLessThanOrEqual(390);
    });
  }
}
