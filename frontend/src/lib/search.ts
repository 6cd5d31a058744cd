// The address holds the view. Values are plain text, so that an address can be read and written by
// people; each page takes its own from there.
import { isNamed } from "./range.ts";
import type { Language } from "./format.ts";

export type Theme = "light" | "dark";

/** What every page has in its address. */
export interface ViewSearch {
  range?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  tz?: string | undefined;
  lang?: Language | undefined;
  theme?: Theme | undefined;
}

/** Parts that stay when one goes to another page. */
export const KEPT = ["range", "from", "to", "tz", "lang", "theme"] as const;

/** The address as fields. The last of several with one name counts. */
export function parseSearch(text: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(text));
}

/** Fields as an address; empty ones are left out. Colons, slashes and commas stay readable. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === "number" || (typeof value === "string" && value !== "")) {
      params.append(name, String(value));
    }
  }
  const text = params.toString();
  const plain = text.replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
  return plain === "" ? "" : `?${plain}`;
}

/** A text of the address; undefined if it is missing or empty. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A whole number of at least 1; undefined if it is none. */
export function pageOf(value: unknown): number | undefined {
  const page = Number(value);
  return Number.isSafeInteger(page) && page >= 1 ? page : undefined;
}

/** One of some values; undefined if it is none of them. */
export function oneOf<T extends string>(value: unknown, values: readonly T[]): T | undefined {
  return values.find((known) => known === value);
}

/** What of an address belongs to every page. */
export function validateView(search: Record<string, unknown>): ViewSearch {
  const range = textOf(search.range);
  const [from, to] = [textOf(search.from), textOf(search.to)];
  const isBetween = from !== undefined && to !== undefined;
  return {
    // With two points in time it is where a reset of the zoom goes back to.
    range: isNamed(range) ? range : undefined,
    from: isBetween ? from : undefined,
    to: isBetween ? to : undefined,
    tz: textOf(search.tz),
    lang: oneOf(search.lang, ["en", "zh"] as const),
    theme: oneOf(search.theme, ["light", "dark"] as const),
  };
}
