// The numbers that a page shows, and the comparison of each with what the API says.
import { expect, type Page } from "@playwright/test";

import { canonical } from "./api.ts";
import { exact, shown, type Kind, type Language } from "./format.ts";

/** A number that must be on a page. */
export interface Wanted {
  figure: string;
  /** Which row or bucket, where there are several. */
  key?: string;
  value: string | null;
  kind: Kind;
  /** Number of the period before: it is on hover, and what is seen is the change. */
  isBefore?: boolean;
}

/** A number as it is on a page. */
interface Found {
  figure: string;
  key: string | undefined;
  value: string;
  /** What is seen, and what is read out or shown on hover. */
  seen: string;
  hover: string | undefined;
}

/** Charts hide their numbers from tests until they are tables. */
export async function openTables(page: Page): Promise<void> {
  const buttons = page.locator("button[aria-pressed='false'][aria-label*=':']");
  while ((await buttons.count()) > 0) await buttons.first().click();
}

/** All numbers of a page. A long table has only rows that are seen, so it is scrolled through. */
async function read(page: Page): Promise<Found[]> {
  const found = await page.evaluate(async () => {
    const all = new Set<string>();
    const look = () => {
      for (const one of document.querySelectorAll<HTMLElement>("[data-figure]")) {
        const { figure = "", key, value = "no value", exact } = one.dataset;
        const spoken = one.querySelector(".sr-only")?.textContent;
        const seen = spoken === undefined
          ? one.textContent
          : one.querySelector("[aria-hidden]")?.textContent;
        const hover = spoken ?? exact ?? one.getAttribute("title") ?? undefined;
        all.add(JSON.stringify({ figure, key, value, seen, hover }));
      }
    };
    const drawn = () =>
      new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    look();
    for (const table of document.querySelectorAll("table[aria-rowcount]")) {
      const box = table.parentElement;
      if (box === null || box.scrollHeight <= box.clientHeight) continue;
      for (let top = 0; top < box.scrollHeight; top += box.clientHeight / 2) {
        box.scrollTop = top;
        await drawn();
        look();
      }
      box.scrollTop = 0;
      await drawn();
    }
    return [...all];
  });
  return found.map((one) => JSON.parse(one) as Found);
}

const nameOf = (figure: string, key: string | undefined) => `${figure} [${key ?? ""}]`;
const same = (one: string | null, other: string) =>
  one === null ? other === "null" : other !== "null" && canonical(one) === canonical(other);

function breach(want: Wanted, found: Found, language: Language): string | undefined {
  const name = nameOf(want.figure, want.key);
  if (!same(want.value, found.value)) {
    return `${name}: the API says ${want.value}, the page ${found.value}`;
  }
  const whole = exact(want.kind, want.value, language);
  if (want.isBefore === true) {
    return found.hover?.includes(whole) === true ? undefined : `${name}: no ${whole} on hover`;
  }
  const text = shown(want.kind, want.value, language);
  if (found.seen !== text) return `${name}: shown as "${found.seen}", not "${text}"`;
  if (text !== whole && found.hover !== whole) {
    return `${name}: "${found.hover}" on hover, not "${whole}"`;
  }
  return undefined;
}

/** What differs between page and API. A figure that is in `moves` never stands still. */
function breaches(all: Found[], wanted: Wanted[], moves: RegExp, language: Language): string[] {
  const open = new Map(wanted.map((one) => [nameOf(one.figure, one.key), one]));
  const known = new Map(open);
  const said: string[] = [];
  for (const found of all) {
    const name = nameOf(found.figure, found.key);
    if (moves.test(found.figure)) continue;
    const want = known.get(name);
    open.delete(name);
    const wrong = want === undefined
      ? `${name}: on the page, and nobody knows what it should be`
      : breach(want, found, language);
    if (wrong !== undefined) said.push(wrong);
  }
  for (const name of open.keys()) said.push(`${name}: not on the page`);
  return said;
}

/**
 * Compares until page and API agree: a page asks every 10 s, and a bucket may begin between its
 * question and ours. `ask` gives what must be there.
 */
export async function compare(
  page: Page,
  language: Language,
  ask: () => Promise<Wanted[]>,
  moves = /\.live\./,
  timeout = 60_000,
): Promise<number> {
  let n = 0;
  await expect(async () => {
    await openTables(page);
    const wanted = await ask();
    const said = breaches(await read(page), wanted, moves, language);
    n = wanted.length;
    expect(said.slice(0, 20), `${said.length} of ${n} figures`).toEqual([]);
  }).toPass({ timeout, intervals: [100, 300, 1_000] });
  return n;
}
