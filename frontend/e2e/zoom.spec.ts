// A chart that is dragged over shows the new part at once, on the numbers that are there; what was
// asked for before and nobody waits for any more is not read to its end.
import { violations } from "./lib/axe.ts";
import { LANGUAGES, THEMES } from "./lib/format.ts";
import { main } from "./lib/places.ts";
import { expect, open, settled, test, type Page } from "./lib/walk.ts";

const PATHS = ["/api/metrics/dashboard", "/api/usage", "/api/usage", "/api/usage"];

/** Minutes that one pixel of a finer chart may be. */
const FINE = 5;
const HOUR_MS = 3_600_000;

/** In an address of two points in time, which has their fields before the zoom too. */
function last24h() {
  const to = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
  const iso = (ms: number) => new Date(ms).toISOString().replace(".000", "");
  return { from: iso(to - 24 * HOUR_MS), to: iso(to) };
}

interface Asked {
  path: string;
  /** Start of the range that is asked for. */
  from: string | null;
}

function asked(url: string): Asked {
  const { pathname, searchParams } = new URL(url);
  return { path: pathname, from: searchParams.get("from") };
}

function pathsOf(all: Asked[], from: string): string[] {
  return all.filter((one) => one.from === from).map(({ path }) => path).sort();
}

/** Holds back what is asked from now on, but for the live stream, until it is let go. */
async function hold(page: Page) {
  const all: Asked[] = [];
  const given: string[] = [];
  const waiting = new EventTarget();
  let isHeld = true;
  page.on("requestfailed", (request) => given.push(request.url()));
  await page.route("**/api/**", async (route) => {
    const url = route.request().url();
    if (url.includes("/live")) return route.fallback();
    all.push(asked(url));
    if (isHeld) await new Promise((go) => { waiting.addEventListener("go", go); });
    if (!given.includes(url)) await route.continue();
    return undefined;
  });
  return {
    /** Paths that were asked for one range, sorted. */
    of: (from: string) => pathsOf(all, from),
    /** Those of them that were given up. */
    givenUp: (from: string) => pathsOf(given.map(asked), from),
    letGo: () => {
      isHeld = false;
      waiting.dispatchEvent(new Event("go"));
    },
  };
}

/** Drags over a part of the first chart; returns the start of the range in the address then. */
async function drag(page: Page, from: number, to: number): Promise<string> {
  const box = await page.locator(".u-over").first().boundingBox();
  if (box === null) throw new Error("no chart");
  const y = box.y + box.height / 2;
  const before = page.url();
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, y, { steps: 5 });
  await page.mouse.up();
  await expect(page).not.toHaveURL(before);
  return new URL(page.url()).searchParams.get("from") ?? "none";
}

/** Minutes from a moment of the day to the bucket at the left end of each chart. */
async function leftEnds(page: Page, start: string): Promise<number[]> {
  const minutes = (clock: string) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3, 5));
  const ends: number[] = [];
  for (const chart of await page.locator(".u-over").all()) {
    const box = await chart.boundingBox();
    if (box === null) throw new Error("no chart");
    await page.mouse.move(box.x + 1, box.y + box.height / 2);
    const tip = chart.locator("xpath=ancestor::section").locator("strong");
    await expect(tip).toBeVisible();
    const clock = /\d\d:\d\d/.exec(await tip.innerText())?.[0] ?? "none";
    ends.push(minutes(clock) - minutes(start.slice(11, 16)));
  }
  return ends;
}

/** Where the parts of a page are. */
async function places(page: Page): Promise<string[]> {
  const parts = page.locator("main :is(h1, h2, canvas, dl[aria-label])");
  return parts.evaluateAll((all) =>
    all.map((one) => {
      const { x, y, width } = one.getBoundingClientRect();
      return `${one.tagName} ${x} ${y} ${width}`;
    }),
  );
}

for (const [idx, theme] of THEMES.entries()) {
  const language = LANGUAGES[idx] ?? "en";
  test(`a zoom is drawn before its answer is there, ${theme}, ${language}`, async ({ page }) => {
    await open(page, main(), "/", { ...last24h(), theme, language });
    const figure = page.locator("[data-figure='overview.requests']");
    const requests = await figure.getAttribute("data-value");
    const before = await places(page);
    const held = await hold(page);
    const from = await drag(page, 0.5, 0.9);
    // The charts show the new range, and all figures are still there, marked as old.
    expect(await leftEnds(page, from)).toEqual([0, 0]);
    await expect(page.getByRole("progressbar")).toBeVisible();
    await expect(page.locator("main section[aria-busy='true']")).toHaveCount(7);
    await expect(figure).toHaveAttribute("data-value", requests ?? "none");
    await expect(page.locator("main .mantine-Skeleton-root")).toHaveCount(0);
    expect(await places(page)).toEqual(before);
    expect(await violations(page)).toEqual([]);
    expect(held.of(from)).toEqual(PATHS);
    held.letGo();
    await settled(page);
    await expect(page.getByRole("progressbar")).toHaveCount(0);
    const far = (await leftEnds(page, from)).filter((apart) => apart < 0 || apart > FINE);
    expect(far).toEqual([]);
    expect(await figure.getAttribute("data-value")).not.toBe(requests);
    // Nothing was asked twice.
    expect(held.of(from)).toEqual(PATHS);
    expect(held.givenUp(from)).toEqual([]);
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });
}

test("a zoom gives up what the one before has asked for", async ({ page }) => {
  await open(page, main(), "/", { range: "24h" });
  const held = await hold(page);
  const first = await drag(page, 0.3, 0.9);
  await expect.poll(() => held.of(first)).toEqual(PATHS);
  const second = await drag(page, 0.3, 0.8);
  expect(second > first, `${second} after ${first}`).toBe(true);
  await expect.poll(() => held.givenUp(first)).toEqual(PATHS);
  await expect.poll(() => held.of(second)).toEqual(PATHS);
  held.letGo();
  await settled(page);
  const far = (await leftEnds(page, second)).filter((apart) => apart < 0 || apart > FINE);
  expect(far).toEqual([]);
  expect(held.of(first)).toEqual(PATHS);
  expect(held.of(second)).toEqual(PATHS);
  await page.unrouteAll({ behavior: "ignoreErrors" });
});

test("who wants less motion sees a line that stands still", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await open(page, main(), "/", { range: "24h" });
  const held = await hold(page);
  await drag(page, 0.5, 0.9);
  const line = page.getByRole("progressbar");
  await expect(line).toBeVisible();
  const part = line.locator("span");
  expect(await part.evaluate((one) => one.getAnimations().length)).toBe(0);
  expect(await part.boundingBox()).toEqual(await line.boundingBox());
  held.letGo();
  await settled(page);
  await page.unrouteAll({ behavior: "ignoreErrors" });
});
