// The walk itself: each of these pages has one thing wrong, and a test that passes all the same
// would see nothing.
import { compare } from "./lib/figures.ts";
import { violations } from "./lib/axe.ts";
import { main } from "./lib/places.ts";
import { expect, open, test, type Page } from "./lib/walk.ts";
import { namespaces } from "./wanted/namespaces.ts";

const WRONG: Record<string, (page: Page) => Promise<unknown>> = {
  "a request to elsewhere": (page) =>
    page.evaluate(() => fetch("http://192.0.2.1/x").catch(() => undefined)),
  "what the policy forbids": (page) =>
    page.evaluate(() => {
      document.body.append(document.createElement("style"));
      document.querySelector("body > style")?.append("b { color: red }");
    }),
  "a script that was run": (page) =>
    page.evaluate(() => {
      Object.assign(window, { hostile: 1 });
    }),
  "an error that nobody caught": (page) =>
    page.evaluate(() => {
      setTimeout(() => {
        throw new Error("wrong");
      });
    }),
  "a text that one cannot read": async (page) => {
    await page.locator("h1").evaluate((heading) => {
      heading.style.color = "#eee";
      heading.style.backgroundColor = "#fff";
    });
    expect(await violations(page)).toEqual([]);
  },
};

for (const [what, act] of Object.entries(WRONG)) {
  test.fail(`the walk notices ${what}`, async ({ page }) => {
    await open(page, main(), "/namespaces");
    await act(page);
    await page.waitForTimeout(100);
  });
}

for (const [what, shown] of [["one too many", "1"], ["a digit in another place", "10"]] as const) {
  test.fail(`the walk notices ${what}`, async ({ page }) => {
    await page.route("**/api/namespaces?*", async (route) => {
      const response = await route.fetch();
      const answer = (await response.json()) as { data: { total: number } };
      answer.data.total += Number(shown);
      await route.fulfill({ response, json: answer });
    });
    await open(page, main(), "/namespaces");
    await compare(page, "en", () => namespaces(main()), undefined, 2_000);
  });
}
