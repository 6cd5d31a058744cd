// Asks the API, and keeps each number as the text that it sent: no digit is lost on the way to a
// comparison.

/** A number as the API wrote it. */
export class Digits {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | string | Digits | Json[] | { [name: string]: Json };

const SIGN = /([{}[\],:])/;
const TEXT = /("(?:[^"\\]|\\.)*")/;
const NUMBER = /(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/;
const WORD = /(true|false|null)/;
const TOKENS = [SIGN, TEXT, NUMBER, WORD].map(({ source }) => source).join("|");
const TOKEN = new RegExp(`\\s*(?:${TOKENS})`, "y");

/** Reads JSON. */
export function parse(source: string): Json {
  let at = 0;
  const next = () => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(source);
    if (found === null) throw new Error(`no JSON at ${at}: ${source.slice(at, at + 40)}`);
    at = TOKEN.lastIndex;
    return found;
  };
  const peek = () => /\s*(.)/sy.exec(source.slice(at))?.[1];
  const value = (): Json => {
    const [, sign, text, digits, word] = next();
    if (text !== undefined) return JSON.parse(text) as string;
    if (digits !== undefined) return new Digits(digits);
    if (word !== undefined) return JSON.parse(word) as null | boolean;
    const isList = sign === "[";
    const items: Json[] = [];
    const fields = new Map<string, Json>();
    if (peek() === (isList ? "]" : "}")) next();
    else {
      do {
        if (isList) items.push(value());
        else {
          const name = JSON.parse(next()[2] ?? "null") as string;
          next();
          fields.set(name, value());
        }
      } while (next()[1] === ",");
    }
    return isList ? items : Object.fromEntries(fields);
  };
  return value();
}

/** What is at a path of names and places: `at(data, "items", 0, "input")`. */
export function at(data: Json, ...path: (string | number)[]): Json {
  let found = data;
  for (const part of path) {
    const next = (found as Record<string, Json | undefined>)[part];
    if (next === undefined) throw new Error(`no ${path.join(".")} in the answer`);
    found = next;
  }
  return found;
}

export const list = (data: Json, ...path: (string | number)[]) => at(data, ...path) as Json[];
export const text = (data: Json, ...path: (string | number)[]) => at(data, ...path) as string;

/** A number of an answer as text; null stays null. */
export function digits(data: Json, ...path: (string | number)[]): string | null {
  const found = at(data, ...path);
  if (found === null) return null;
  if (found instanceof Digits) return found.text;
  throw new Error(`${path.join(".")} is no number`);
}

/** A whole number of an answer. */
export const whole = (data: Json, ...path: (string | number)[]) =>
  BigInt(digits(data, ...path) ?? "no number");

/** `data` of an answer. */
export async function ask(
  base: string,
  path: string,
  params: Record<string, string> = {},
  key?: string,
): Promise<Json> {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
  const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  const response = await fetch(url, { headers });
  const body = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${body}`);
  return at(parse(body), "data");
}

/** A decimal number without what does not change it: `1.50`, `1.5` and `15e-1` are one. */
export function canonical(source: string): string {
  const found = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source);
  if (found === null) throw new Error(`${source} is no number`);
  const [, sign = "", before = "", after = "", power = "0"] = found;
  const digits = (before + after).replace(/^0+/, "");
  if (digits === "") return "0";
  const trimmed = digits.replace(/0+$/, "");
  const exponent = Number(power) - after.length + (digits.length - trimmed.length);
  return `${sign}${trimmed}e${exponent}`;
}
