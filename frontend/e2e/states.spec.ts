// What stands in the place of numbers: nothing there, no answer, an old answer, no such page.
import { LANGUAGES } from "./lib/format.ts";
import { PAGES } from "./lib/pages.ts";
import { main, odd } from "./lib/places.ts";
import { address, expect, open, settled, test } from "./lib/walk.ts";

const EMPTY = { from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z" };

for (const { name, path, params } of PAGES) {
  test(`${name} without an answer says so, and asks again`, async ({ page, watch }) => {
    watch.expected.push(/status of 503/, /ERR_FAILED/);
    const broken = { code: 503, message: "the ledger does not answer", data: null, timestamp: "" };
    // Asked for by itself again, but late.
    const answer = { status: 503, json: broken, headers: { "Retry-After": "60" } };
    await page.route("**/api/**", (route) => route.fulfill(answer));
    await page.goto(address(main(), path, { range: "24h", ...params }));
    const alert = page.getByRole("alert").filter({ hasText: broken.message }).first();
    await expect(alert).toBeVisible();
    const asked = page.waitForRequest("**/api/**");
    await page.getByRole("button", { name: "Try again" }).first().click();
    await asked;
    await page.unroute("**/api/**");
    await expect(alert).toHaveCount(0);
    await settled(page);
  });

  test(`${name} with an old answer says so`, async ({ page }) => {
    await page.route("**/api/**", async (route) => {
      if (route.request().url().includes("/live")) return route.fallback();
      const response = await route.fetch();
      const answer = (await response.json()) as Record<string, unknown>;
      await route.fulfill({ response, json: { ...answer, stale: true } });
    });
    await open(page, main(), path, { range: "24h", ...params });
    const banner = page.getByRole("status").filter({ hasText: /not answering|out of date/i });
    await expect(banner.first()).toBeVisible();
    // What is still on its way when the test ends has nobody to be answered for.
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });
}

/** How soon an error must show after the first answer that was none. */
const SHOWN_MS = 3_000;

for (const broken of ["busy", "gone"] as const) {
  test(`an API that is ${broken} shows within 3 s, and goes by itself`, async ({ page, watch }) => {
    watch.expected.push(/status of 503/, /ERR_FAILED/, /ERR_CONNECTION_REFUSED/);
    const busy = { code: 503, message: "too many queries", data: null, timestamp: "" };
    const first = page.waitForRequest("**/api/metrics/dashboard?*");
    await page.route("**/api/**", async (route) => {
      if (broken === "gone") return route.abort("connectionrefused");
      return route.fulfill({ status: 503, json: busy, headers: { "Retry-After": "2" } });
    });
    const view = { range: "15m" };
    await page.goto(address(main(), "/", view));
    await first;
    const alert = page.getByRole("alert").first();
    await expect(alert).toBeVisible({ timeout: SHOWN_MS });
    await page.unroute("**/api/**");
    await expect(page.getByRole("alert")).toHaveCount(0);
    await settled(page);

    // The same while there are numbers: they stay.
    const figure = page.locator("[data-figure='overview.requests']");
    await expect(figure).toBeVisible();
    const again = page.waitForRequest("**/api/metrics/dashboard?*");
    await page.route("**/api/**", async (route) => {
      if (route.request().url().includes("/live")) return route.fallback();
      if (broken === "gone") return route.abort("connectionrefused");
      return route.fulfill({ status: 503, json: busy, headers: { "Retry-After": "2" } });
    });
    await again;
    const banner = page.getByRole("status").filter({ hasText: "The last update failed" });
    await expect(banner).toBeVisible({ timeout: SHOWN_MS });
    await expect(figure).toBeVisible();
    await page.unroute("**/api/**");
    await expect(banner).toHaveCount(0);
  });
}

for (const language of LANGUAGES) {
  test(`a range of nothing shows nothing, and no broken number, ${language}`, async ({ page }) => {
    for (const { path, params } of PAGES) {
      await open(page, odd(), path, { ...EMPTY, language, ...params });
      const text = await page.locator("main").innerText();
      expect(text).not.toMatch(/NaN|undefined|Infinity|null|\[object/);
    }
  });

  test(`an address without a page, a namespace that nobody knows, ${language}`, async ({
    page, watch,
  }) => {
    watch.expected.push(/status of 404/);
    await open(page, main(), "/namespaces/nobody", { language });
    await expect(page.locator("main")).toContainText("nobody");
    // The server has no such address: the answer is the API's, and no page.
    const response = await page.goto(`${main()}/nowhere`);
    expect(response?.status()).toBe(404);
  });
}
