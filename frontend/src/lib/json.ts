// Reads JSON without losing a digit. A number that a double does not hold exactly stays text:
// counts beyond 2^53, and costs to the nano-dollar. Everything else is a number.

/** A number of the API: text if a double would change it. */
export type Num = number | `${number}`;

/** What the API describes as T, as it is read here. */
export type Wire<T> = T extends number
  ? Num
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [Key in keyof T]: Wire<T[Key]> }
      : T;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const TEXT = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /[ \t\r\n]*/y;

/** The number that a text of JSON stands for. */
export function readNumber(source: string): Num {
  const value = Number(source);
  if (/[eE]/.test(source)) return value;
  const plain = source.includes(".") ? source.replace(/\.?0+$/, "") : source;
  const same = String(value) === plain || (value === 0 && /^-?0$/.test(plain));
  return same ? value : (source as Num);
}

/** Parses JSON. Throws a SyntaxError if it is none. */
export function parseJson(source: string): unknown {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`bad JSON at ${at}`);
  };
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };
  const peek = () => {
    match(SPACE);
    return source[at];
  };
  const word = (text: string, value: unknown) => {
    if (!source.startsWith(text, at)) fail();
    at += text.length;
    return value;
  };
  const text = () => JSON.parse(match(TEXT) ?? fail()) as string;
  const list = (close: string, item: () => void) => {
    at += 1;
    if (peek() === close) {
      at += 1;
      return;
    }
    for (;;) {
      item();
      const next = peek();
      if (next !== "," && next !== close) fail();
      at += 1;
      if (next === close) return;
    }
  };
  const value = (): unknown => {
    const first = peek();
    if (first === "{") {
      const found: Record<string, unknown> = {};
      list("}", () => {
        if (peek() !== '"') fail();
        const name = text();
        if (peek() !== ":") fail();
        at += 1;
        // A field may have any name: __proto__ must not be special.
        const field = { value: value(), enumerable: true, writable: true, configurable: true };
        Object.defineProperty(found, name, field);
      });
      return found;
    }
    if (first === "[") {
      const found: unknown[] = [];
      list("]", () => {
        found.push(value());
      });
      return found;
    }
    if (first === '"') return text();
    if (first === "t") return word("true", true);
    if (first === "f") return word("false", false);
    if (first === "n") return word("null", null);
    return readNumber(match(NUMBER) ?? fail());
  };
  const whole = value();
  if (peek() !== undefined) fail();
  return whole;
}
