// axe finds nothing serious on any page, in either theme and language; nor does a phone scroll
// sideways.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { openTables } from "./lib/figures.ts";
import { LANGUAGES, THEMES } from "./lib/format.ts";
import { PAGES } from "./lib/pages.ts";
import { main } from "./lib/places.ts";
import { expect, open, test, type Page } from "./lib/walk.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RUN = `axe.run({ resultTypes: ["violations"] })`;
const SERIOUS = ["serious", "critical"];

interface Violation {
  id: string;
  impact: string;
  help: string;
  nodes: { html: string; target: string[] }[];
}

/** What is wrong on a page, one line for each element. */
async function violations(page: Page): Promise<string[]> {
  // By the protocol of the debugger, which no policy of the page holds back.
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate<{ violations: Violation[] }>(RUN);
  return found
    .filter(({ impact }) => SERIOUS.includes(impact))
    .flatMap(({ id, help, nodes }) =>
      nodes.slice(0, 5).map(({ html, target }) => `${id}: ${help}: ${target.join(" ")} ${html}`),
    );
}

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
