// The address holds the view: a reload, a way back and a link show the same.
import { LANGUAGES } from "./lib/format.ts";
import { main } from "./lib/places.ts";
import { expect, open, settled, test, type Page } from "./lib/walk.ts";

/** All that a page says, without what moves by itself. */
async function said(page: Page): Promise<string> {
  await settled(page);
  return page.locator("main").evaluate((element) => {
    const copy = element.cloneNode(true) as HTMLElement;
    for (const one of copy.querySelectorAll("[aria-live='off'], canvas")) one.remove();
    return copy.innerText.replace(/\s+/g, " ");
  });
}

const settings = (page: Page) => Object.fromEntries(new URL(page.url()).searchParams);

test("filters of usage survive a reload, a way back and a link", async ({ page, context }) => {
  await open(page, main(), "/usage", { range: "24h" });
  const whole = await said(page);
  await page.getByRole("button", { name: "Model", exact: true }).click();
  await expect(page).toHaveURL(/group=namespace,model/);
  await page.locator("thead button", { hasText: "Output tokens" }).click();
  await expect(page).toHaveURL(/order=-output/);
  await page.getByLabel("Search", { exact: true }).fill("a");
  await expect(page).toHaveURL(/search=a/);
  const filtered = await said(page);
  expect(filtered).not.toBe(whole);
  const address = settings(page);
  await page.reload();
  expect(await said(page)).toBe(filtered);
  expect(settings(page)).toEqual(address);
  // The same address elsewhere is the same view.
  const other = await context.newPage();
  await other.goto(page.url());
  expect(await said(other)).toBe(filtered);
  await other.close();
  await page.getByRole("navigation").getByRole("link", { name: "Overview" }).click();
  await expect(page).toHaveURL(/range=24h/);
  await settled(page);
  await page.goBack();
  expect(await said(page)).toBe(filtered);
  expect(settings(page)).toEqual(address);
  await page.goForward();
  await expect(page).not.toHaveURL(/usage/);
});

test("range and zone are in the address, and go along from page to page", async ({ page }) => {
  await open(page, main(), "/", { range: "6h" });
  await page.getByLabel("Time range").selectOption("24h");
  await expect(page).toHaveURL(/range=24h/);
  await page.getByLabel("Time zone").focus();
  await page.getByLabel("Time zone").selectOption("Asia/Kathmandu");
  await expect(page).toHaveURL(/tz=Asia\/Kathmandu/);
  for (const name of ["Usage", "Namespaces", "Upstreams and models", "Pipeline"]) {
    await page.getByRole("navigation").getByRole("link", { name }).click();
    await settled(page);
    expect(settings(page)).toMatchObject({ tz: "Asia/Kathmandu", range: "24h" });
    await page.reload();
    await settled(page);
    expect(settings(page)).toMatchObject({ tz: "Asia/Kathmandu", range: "24h" });
  }
});

test("a drag over a chart zooms, and the way back undoes it", async ({ page }) => {
  await open(page, main(), "/", { range: "24h" });
  const before = await said(page);
  const box = await page.locator(".u-over").first().boundingBox();
  if (box === null) throw new Error("no chart");
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.6, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, y, { steps: 5 });
  await page.mouse.up();
  await expect(page).toHaveURL(/from=.*to=/);
  await settled(page);
  const zoomed = settings(page);
  await page.reload();
  await settled(page);
  expect(settings(page)).toEqual(zoomed);
  await page.goBack();
  expect(await said(page)).toBe(before);
});

for (const language of LANGUAGES) {
  test(`every page is in the language of its address, ${language}`, async ({ page }) => {
    await open(page, main(), "/", { range: "24h", language });
    const html = page.locator("html");
    await expect(html).toHaveAttribute("lang", language === "zh" ? "zh-CN" : "en");
    const links = page.getByRole("navigation").first().getByRole("link");
    for (let idx = 0; idx < (await links.count()); idx += 1) {
      await links.nth(idx).click();
      await settled(page);
      const title = await page.title();
      // A heading in the other language would be a text that nobody translated.
      expect(/\p{Script=Han}/u.test(title), title).toBe(language === "zh");
    }
  });
}

test("the keyboard reaches everything, beginning with the content", async ({ page }) => {
  await open(page, main(), "/usage", { range: "24h" });
  await page.keyboard.press("Tab");
  await expect(page.locator(":focus")).toHaveText("Skip to content");
  await page.keyboard.press("Enter");
  await expect(page.locator("main")).toBeFocused();
  const seen = new Set<string>();
  for (let n = 0; n < 40; n += 1) {
    await page.keyboard.press("Tab");
    seen.add(await page.locator(":focus").evaluate((one) => `${one.tagName} ${one.textContent}`));
  }
  expect(seen.size).toBeGreaterThan(20);
});
