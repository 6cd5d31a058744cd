// A page of the walk: whatever it says on its console, asks of another machine or is refused by its
// policy fails the test, whichever that is.
import { expect, test as base, type Page } from "@playwright/test";

import type { Language } from "./format.ts";

/** As api/src/asset.rs sends it. */
const POLICY =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
  "object-src 'none'";

export interface View {
  language?: Language;
  theme?: "light" | "dark";
  tz?: string;
  [name: string]: string | undefined;
}

/** The address of a view. */
export function address(place: string, path: string, view: View = {}): string {
  const { language = "en", theme = "light", tz = "UTC", ...rest } = view;
  const url = new URL(path, place);
  const all: Record<string, string | undefined> = { ...rest, lang: language, theme, tz };
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url.href;
}

/** Opens a view and waits until nothing on it is still loading. */
export async function open(page: Page, place: string, path: string, view: View = {}) {
  const response = await page.goto(address(place, path, view));
  expect(response?.headers()["content-security-policy"]).toBe(POLICY);
  await settled(page);
}

/** Waits until every question of the page has its answer. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator("h1").first()).toBeVisible();
  await expect(page.locator("main [aria-busy='true']")).toHaveCount(0);
  await expect(page.locator("main .mantine-Skeleton-root")).toHaveCount(0);
}

/** Has files saved as browsers do that give no access to the user's own. */
export async function withoutPicker(page: Page): Promise<void> {
  await page.addInitScript(() => {
    Object.defineProperty(window, "showSaveFilePicker", { value: undefined });
  });
}

interface Watch {
  /** Console messages that a test expects, such as those of a 401. */
  expected: RegExp[];
}

export const test = base.extend<{ watch: Watch }>({
  watch: [
    async ({ context, page }, use) => {
      const said: string[] = [];
      const watch: Watch = { expected: [] };
      const elsewhere: string[] = [];
      context.on("request", (request) => {
        const { hostname, protocol } = new URL(request.url());
        const isOwn = hostname === "127.0.0.1" && protocol === "http:";
        if (!isOwn && protocol !== "blob:") elsewhere.push(request.url());
      });
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) said.push(message.text());
      });
      page.on("pageerror", (error) => said.push(`thrown: ${error.message}`));
      page.on("dialog", (dialog) => {
        said.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      page.on("popup", (popup) => said.push(`a window: ${popup.url()}`));
      await use(watch);
      const left = said.filter((line) => !watch.expected.some((known) => known.test(line)));
      expect(left, "console").toEqual([]);
      expect(elsewhere, "requests to elsewhere").toEqual([]);
      const ran = await page.evaluate(() => "hostile" in window).catch(() => false);
      expect(ran, "a script in a name was run").toBe(false);
    },
    { auto: true },
  ],
});

export { expect, type Page };
