// Tables that are longer than what is seen: every row that is looked at has all its numbers, and
// those that are not looked at cost the API nothing.
import { main } from "./lib/places.ts";
import { expect, open, test } from "./lib/walk.ts";

/** More rows than a table keeps in the document, and than quantiles were once asked for. */
const ROWS = 120;
/** As in src/api/latency.ts. */
const QUANTILES_AT_ONCE = 1;

interface Latency {
  data: { totals: { quantiles: object } };
}

const nameOf = (idx: number) => `model-${String(idx).padStart(3, "0")}`;

test("every model that is seen has its p95, one question at a time", async ({ page, watch }) => {
  watch.expected.push(/status of 503/);
  await page.route("**/api/usage?*group_by=model&*", async (route) => {
    const response = await route.fetch();
    const answer = (await response.json()) as { data: { items: object[]; total: number } };
    const [first] = answer.data.items;
    if (first === undefined) throw new Error("no model at all");
    answer.data.items = Array.from({ length: ROWS }, (_, idx) => ({
      ...first, model: nameOf(idx),
    }));
    answer.data.total = ROWS;
    await route.fulfill({ response, json: answer });
  });
  const asked = new Set<string>();
  let now = 0;
  let most = 0;
  let fails = 3;
  let known: Latency | undefined;
  await page.route("**/api/metrics/latency?*model=model-*", async (route) => {
    const model = new URL(route.request().url()).searchParams.get("model") ?? "";
    asked.add(model);
    now += 1;
    most = Math.max(most, now);
    // The form of all answers is that of the first.
    known ??= (await (await route.fetch()).json()) as Latency;
    now -= 1;
    // Some are refused at first: they are asked for again.
    if (fails > 0) {
      fails -= 1;
      const busy = { code: 503, message: "too many queries", data: null, timestamp: "" };
      return route.fulfill({ status: 503, json: busy });
    }
    const answer = structuredClone(known);
    const p95 = 100 + Number(model.replace("model-", ""));
    answer.data.totals.quantiles = { p50: 1, p95, p99: 999 };
    return route.fulfill({ json: answer });
  });
  await open(page, main(), "/upstreams", { range: "24h" });
  const box = page.getByRole("region", { name: "Figures by model" });
  await expect(box.locator("[data-figure='upstreams.model.p95']").first()).toBeVisible();
  expect(asked.size).toBeLessThan(ROWS / 2);
  const seen = new Map<string, string>();
  for (let top = 0; seen.size < ROWS; top += 400) {
    await box.evaluate((element, to) => { element.scrollTop = to; }, top);
    await expect(box.locator("tbody [aria-busy='true']")).toHaveCount(0);
    const rows = box.locator("tbody tr:not([aria-hidden])");
    await expect(rows.first()).toBeVisible();
    const figures = box.locator("[data-figure='upstreams.model.p95']");
    // No row of the document is without one.
    await expect(async () => {
      expect(await figures.count()).toBe(await rows.count());
    }).toPass();
    const found = await figures.evaluateAll((all) =>
      all.map((one) => [one.dataset.key ?? "", one.dataset.value ?? ""] as const),
    );
    for (const [key, value] of found) seen.set(key, value);
    expect(top, "rows are missing").toBeLessThan(ROWS * 100);
  }
  for (let idx = 0; idx < ROWS; idx += 1) {
    expect(seen.get(nameOf(idx)), nameOf(idx)).toBe(String(100 + idx));
  }
  expect(most).toBe(QUANTILES_AT_ONCE);
});
