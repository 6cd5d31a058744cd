// Pictures of the pages: those of the README, or with PAGE_TEST_SHOTS=all every page at two widths,
// in both themes and languages, to be looked at.
import { join } from "node:path";

import { LANGUAGES, THEMES } from "./lib/format.ts";
import { PAGES } from "./lib/pages.ts";
import { main } from "./lib/places.ts";
import { open, test } from "./lib/walk.ts";

const FOLDER = process.env.PAGE_TEST_SHOTS_DIR ?? "";
const RANGE = "1h";
const DESKTOP = { name: "desktop", width: 1440, height: 1000 };
const PHONE = { name: "phone", width: 390, height: 844 };

/** What the README shows: page, and name of the file before its language. */
const README: readonly [string, string][] = [
  ["overview", "page"],
  ["usage", "usage"],
];

test.skip(FOLDER === "", "scripts/screenshot.sh says where pictures go");

if (process.env.PAGE_TEST_SHOTS === "all") {
  for (const { name, path, params } of PAGES) {
    for (const theme of THEMES) {
      for (const language of LANGUAGES) {
        for (const size of [DESKTOP, PHONE]) {
          test(`${name}, ${theme}, ${language}, ${size.name}`, async ({ page }) => {
            await page.setViewportSize(size);
            await open(page, main(), path, { range: RANGE, theme, language, ...params });
            await page.waitForTimeout(1_500);
            const file = `${name}-${size.name}-${theme}-${language}.png`;
            await page.screenshot({ path: join(FOLDER, file), fullPage: true });
          });
        }
      }
    }
  }
} else {
  for (const [name, file] of README) {
    for (const language of LANGUAGES) {
      test(`${name}, ${language}`, async ({ page }) => {
        const found = PAGES.find((one) => one.name === name);
        if (found === undefined) throw new Error(`no page ${name}`);
        await page.setViewportSize(DESKTOP);
        await open(page, main(), found.path, { range: RANGE, language, ...found.params });
        await page.waitForTimeout(1_500);
        const suffix = language === "en" ? "" : `.${language}`;
        await page.screenshot({ path: join(FOLDER, `${file}${suffix}.png`) });
      });
    }
  }
}
