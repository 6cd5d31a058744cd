// How a number must look, by kind and language. Written anew, so that it is a second opinion.

export type Language = "en" | "zh";
export type Kind = "count" | "compact" | "percent" | "ms" | "rate" | "usd" | "bytes";

export const LANGUAGES: readonly Language[] = ["en", "zh"];
export const THEMES = ["light", "dark"] as const;
export const NONE = "–";

function by(language: Language, options: Intl.NumberFormatOptions): (text: string) => string {
  const format = new Intl.NumberFormat({ en: "en-US", zh: "zh-CN" }[language], options);
  // A text of digits is formatted as the decimal number that it is, not as a double.
  return (text) => format.format(text as unknown as number);
}

function fixed(language: Language, text: string, per: number, unit: string, n: number): string {
  const options = { minimumFractionDigits: n, maximumFractionDigits: n };
  return `${by(language, options)(String(Number(text) / per))} ${unit}`;
}

function ms(language: Language, text: string): string {
  const value = Number(text);
  if (value === 0) return "0 ms";
  if (value < 10) return fixed(language, text, 1, "ms", 2);
  if (value < 1e3) return fixed(language, text, 1, "ms", 0);
  if (value < 1.2e5) return fixed(language, text, 1e3, "s", 2);
  if (value < 3.6e6) return fixed(language, text, 6e4, "min", 1);
  return fixed(language, text, 3.6e6, "h", 1);
}

function bytes(language: Language, text: string): string {
  const value = Number(text);
  if (value < 1024) return fixed(language, text, 1, "B", 0);
  if (value < 1024 ** 2) return fixed(language, text, 1024, "KiB", 1);
  return fixed(language, text, 1024 ** 2, "MiB", 1);
}

const ALL_DIGITS = { maximumFractionDigits: 9 } as const;
const PERCENT = { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 } as const;
const DOLLARS = { style: "currency", currency: "USD", maximumFractionDigits: 9 } as const;
const COMPACT = { notation: "compact", maximumSignificantDigits: 4 } as const;

/** What is seen at once. */
export function shown(kind: Kind, value: string | null, language: Language): string {
  if (value === null) return NONE;
  const size = Math.abs(Number(value));
  switch (kind) {
    case "count":
      return by(language, ALL_DIGITS)(value);
    case "compact":
      return by(language, size < 10_000 ? ALL_DIGITS : COMPACT)(value);
    case "percent":
      return by(language, PERCENT)(value);
    case "ms":
      return ms(language, value);
    case "rate":
      return by(language, { maximumFractionDigits: size < 100 ? 2 : 0 })(value);
    case "usd":
      return by(language, DOLLARS)(value);
    case "bytes":
      return bytes(language, value);
  }
}

/** All digits, on hover and for screen readers. */
export function exact(kind: Kind, value: string | null, language: Language): string {
  if (value === null) return NONE;
  const digits = by(language, ALL_DIGITS)(value);
  switch (kind) {
    case "percent":
      return by(language, { style: "percent", maximumFractionDigits: 9 })(value);
    case "usd":
      return shown(kind, value, language);
    case "ms":
      return `${digits} ms`;
    case "bytes":
      return `${digits} B`;
    default:
      return digits;
  }
}
