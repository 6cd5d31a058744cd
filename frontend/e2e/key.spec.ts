// A process that asks for a key: nothing is shown without it, and it is kept in memory only.
import { key, keyed } from "./lib/places.ts";
import { address, expect, settled, test, type Page } from "./lib/walk.ts";

/** Everything that a browser keeps for a page. */
async function kept(page: Page): Promise<string> {
  const storage = await page.evaluate(async () => {
    const stores = [await caches.keys(), await indexedDB.databases()];
    const own = [localStorage, sessionStorage].map((one) => Object.entries(one));
    const { name } = window;
    const state: unknown = history.state;
    return JSON.stringify({ own, stores, name, state, cookie: document.cookie });
  });
  return storage + JSON.stringify(await page.context().cookies()) + page.url();
}

test("the key is asked for, checked, and kept nowhere", async ({ page, watch }) => {
  watch.expected.push(/status of 401/);
  for (const path of ["/", "/usage", "/namespaces", "/upstreams", "/pipeline"]) {
    await page.goto(address(keyed(), path));
    await expect(page.locator("input[name='key']")).toBeVisible();
    await expect(page.locator("[data-figure]")).toHaveCount(0);
  }
  const field = page.locator("input[name='key']");
  await page.goto(address(keyed(), "/usage", { group: "model", range: "24h" }));
  await field.fill("wrong");
  await field.press("Enter");
  await expect(page.getByText("That key was not accepted.")).toBeVisible();
  await field.fill(key());
  await field.press("Enter");
  await settled(page);
  const total = page.locator("[data-figure='usage.totals.requests']");
  await expect(total).not.toHaveAttribute("data-value", "0");
  // The view is the one that was asked for.
  expect(new URL(page.url()).searchParams.get("group")).toBe("model");
  for (const name of ["Overview", "Pipeline", "Namespaces", "Upstreams and models"]) {
    await page.getByRole("navigation").getByRole("link", { name }).click();
    await settled(page);
    await expect(field).toHaveCount(0);
    expect(await kept(page)).not.toContain(key());
  }
  // A key that is kept in memory is gone with it.
  await page.reload();
  await expect(field).toBeVisible();
  expect(await kept(page)).not.toContain(key());
});

test("a file is saved with the key, into the file that was chosen", async ({ page, watch }) => {
  watch.expected.push(/status of 401/);
  // Nobody is there to choose; what is chosen is a file of the browser's own.
  await page.addInitScript(() => {
    const choose = async ({ suggestedName }: { suggestedName: string }) => {
      const folder = await navigator.storage.getDirectory();
      return folder.getFileHandle(suggestedName, { create: true });
    };
    Object.defineProperty(window, "showSaveFilePicker", { value: choose });
  });
  await page.goto(address(keyed(), "/usage", { range: "24h", group: "namespace" }));
  await page.locator("input[name='key']").fill(key());
  await page.locator("input[name='key']").press("Enter");
  await settled(page);
  await page.getByRole("button", { name: "CSV" }).click();
  const saved = () =>
    page.evaluate(async () => {
      const folder = await navigator.storage.getDirectory();
      const handle = await folder.getFileHandle("gatemeter-usage-24h.csv", { create: true });
      return (await handle.getFile()).text();
    });
  const asked = { timeRange: "24h", tz: "UTC", group_by: "namespace", order: "-tokens" };
  const url = new URL("/api/usage/export", keyed());
  url.search = new URLSearchParams(asked).toString();
  const response = await fetch(url, { headers: { Authorization: `Bearer ${key()}` } });
  const wanted = await response.text();
  expect(wanted.split("\r\n").length).toBeGreaterThan(2);
  await expect.poll(saved).toBe(wanted);
});
