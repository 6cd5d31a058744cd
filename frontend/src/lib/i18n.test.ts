import { expect, it } from "vitest";

import { MESSAGES } from "./i18n.ts";

/** Every text with its place; functions are called with something for each value. */
function texts(value: unknown, place = ""): [string, string][] {
  if (typeof value === "string") return [[place, value]];
  if (typeof value === "function") {
    const made = (value as (...values: unknown[]) => unknown)("1", "2", "3");
    return [[place, String(made)]];
  }
  const entries = Object.entries(value as object);
  return entries.flatMap(([name, inner]) => texts(inner, `${place}.${name}`));
}

it("has every text in both languages, and none is empty", () => {
  const [en, zh] = [texts(MESSAGES.en), texts(MESSAGES.zh)];
  expect(zh.map(([place]) => place).sort()).toEqual(en.map(([place]) => place).sort());
  for (const [place, text] of [...en, ...zh]) expect(text.trim(), place).not.toBe("");
});

it("has no Chinese in English, and full-width marks in Chinese sentences", () => {
  const han = /\p{Script=Han}/u;
  const halfWidth = /\p{Script=Han}[,.?!;:]/u;
  for (const [place, text] of texts(MESSAGES.en)) expect(text, place).not.toMatch(han);
  for (const [place, text] of texts(MESSAGES.zh)) expect(text, place).not.toMatch(halfWidth);
});
