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

/** What may need care: a double holds any number of up to 15 digits. */
const LONG = /\d[\d.]{15,}/;
/** Strings, which are skipped, and long numbers that are whole literals. */
const LONG_NUMBERS =
  /"(?:[^"\\]|\\.)*"|(?<![\w.+-])-?(?:0|[1-9]\d*)(?:\.\d+)?(?![\w.])/g;

/** The number that a literal of JSON stands for. */
export function readNumber(source: string): Num {
  const value = Number(source);
  if (/[eE]/.test(source)) return value;
  const plain = source.includes(".") ? source.replace(/\.?0+$/, "") : source;
  return String(value) === plain ? value : (source as Num);
}

/** Parses JSON. Throws a SyntaxError if it is none. */
export function parseJson(source: string): unknown {
  if (!LONG.test(source)) return JSON.parse(source) as unknown;
  const kept = source.replace(LONG_NUMBERS, (found) => {
    const isLong = found.length > 15 && !found.startsWith('"');
    return isLong && typeof readNumber(found) === "string" ? `"${found}"` : found;
  });
  return JSON.parse(kept) as unknown;
}
