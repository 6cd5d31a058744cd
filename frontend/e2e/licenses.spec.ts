// The page names the packages that it is made of, with their licences.
import { readFileSync } from "node:fs";

import { LANGUAGES } from "./lib/format.ts";
import { main } from "./lib/places.ts";
import { expect, open, test } from "./lib/walk.ts";

const LINK = { en: "Third-party licences", zh: "第三方许可证" };
/** Packages that the built files contain parts of. */
const { dependencies } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
) as { dependencies: Record<string, string> };

for (const language of LANGUAGES) {
  test(`every library is named with its licence, ${language}`, async ({ page, watch }) => {
    // A text names no icon, so the browser looks for one where others have it.
    watch.expected.push(/status of 404/);
    await open(page, main(), "/pipeline", { language });
    await page.getByRole("contentinfo").getByRole("link", { name: LINK[language] }).click();
    await page.waitForURL(/licenses\.txt$/);
    const response = await page.request.get(page.url());
    expect(response.headers()["content-type"]).toContain("text/plain");
    const text = await response.text();
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(["react", "uplot"]));
    for (const [name, version] of Object.entries(dependencies)) {
      expect(text).toContain(`\n${name} ${version} (MIT)\n`);
    }
    for (const part of text.split(/\n-{5,}\n/).slice(1)) {
      expect(part).toMatch(/Copyright \(c\)/i);
    }
  });
}
