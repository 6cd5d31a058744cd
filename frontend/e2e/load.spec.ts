// What the first look costs: how much script comes, and how soon the first chart is there.
import { main } from "./lib/places.ts";
import { address, expect, settled, test } from "./lib/walk.ts";

/** Bytes of script, packed, that the overview may load before it is whole. */
const SCRIPT_BYTES_MAX = 250_000;

test("the overview loads little script, and its first chart soon", async ({ page }) => {
  await page.addInitScript(() => {
    const seen = new MutationObserver(() => {
      if (document.querySelector("canvas") === null) return;
      seen.disconnect();
      // The frame after the one that draws it.
      requestAnimationFrame(() => {
        requestAnimationFrame(() => performance.mark("chart"));
      });
    });
    seen.observe(document, { childList: true, subtree: true });
  });
  const sizes: Promise<number>[] = [];
  const packings = new Set<string | undefined>();
  page.on("requestfinished", (request) => {
    if (request.resourceType() !== "script") return;
    sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
    void request.response().then((response) => {
      packings.add(response?.headers()["content-encoding"]);
    });
  });
  await page.goto(address(main(), "/", { range: "24h" }));
  await settled(page);
  await page.waitForFunction(() => performance.getEntriesByName("chart").length > 0);
  const ms = await page.evaluate(() => performance.getEntriesByName("chart")[0]?.startTime ?? 0);
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  console.log(`overview: ${bytes} bytes of script in gzip, first chart after ${ms.toFixed(0)} ms`);
  expect([...packings]).toEqual(["gzip"]);
  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThanOrEqual(SCRIPT_BYTES_MAX);
});
