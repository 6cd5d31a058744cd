// Numbers and times as people read them, by language. What is exact stays exact: a count is never
// rounded but in its compact form, which always has the exact one beside it.
import type { Num } from "./json.ts";

export type Language = "en" | "zh";

const LOCALES: Record<Language, string> = { en: "en-US", zh: "zh-CN" };

export const NONE = "–";

const made = new Map<string, Intl.NumberFormat>();

function formatter(language: Language, options: Intl.NumberFormatOptions) {
  const key = language + JSON.stringify(options);
  let found = made.get(key);
  if (found === undefined) {
    found = new Intl.NumberFormat(LOCALES[language], options);
    made.set(key, found);
  }
  return found;
}

/** How a number is shown. */
export type Kind =
  | "count"
  | "compact"
  | "percent"
  | "ms"
  | "rate"
  | "usd"
  | "bytes";

/** Rounded to three digits above 10,000: 28.2K, 4,034万. */
function compact(value: Num, language: Language) {
  if (Math.abs(Number(value)) < 10_000) return count(value, language);
  const options = { notation: "compact", maximumSignificantDigits: 4 } as const;
  return formatter(language, options).format(value);
}

function count(value: Num, language: Language) {
  return formatter(language, { maximumFractionDigits: 9 }).format(value);
}

function unit(value: number, name: string, digits: number, language: Language) {
  const options = { maximumFractionDigits: digits, minimumFractionDigits: digits };
  return `${formatter(language, options).format(value)} ${name}`;
}

/** Milliseconds in the unit that keeps them short. */
export function duration(ms: number, language: Language) {
  if (ms === 0) return "0 ms";
  if (ms < 10) return unit(ms, "ms", 2, language);
  if (ms < 1_000) return unit(ms, "ms", 0, language);
  if (ms < 120_000) return unit(ms / 1_000, "s", 2, language);
  if (ms < 3_600_000) return unit(ms / 60_000, "min", 1, language);
  return unit(ms / 3_600_000, "h", 1, language);
}

/** A round number of milliseconds, as an axis has them: without zeros behind the point. */
export function durationTick(ms: number, language: Language) {
  const round = (value: number, name: string) =>
    `${formatter(language, { maximumFractionDigits: 2 }).format(value)} ${name}`;
  if (ms < 1_000) return round(ms, "ms");
  if (ms < 60_000) return round(ms / 1_000, "s");
  return ms < 3_600_000 ? round(ms / 60_000, "min") : round(ms / 3_600_000, "h");
}

function bytes(value: number, language: Language) {
  if (value < 1_024) return unit(value, "B", 0, language);
  if (value < 1_048_576) return unit(value / 1_024, "KiB", 1, language);
  return unit(value / 1_048_576, "MiB", 1, language);
}

/** A number as it is shown; a dash for null. */
export function show(value: Num | null | undefined, kind: Kind, language: Language): string {
  if (value === null || value === undefined) return NONE;
  switch (kind) {
    case "count":
      return count(value, language);
    case "compact":
      return compact(value, language);
    case "percent": {
      const options = { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 };
      return formatter(language, options as Intl.NumberFormatOptions).format(value);
    }
    case "ms":
      return duration(Number(value), language);
    case "rate": {
      const digits = Math.abs(Number(value)) < 100 ? 2 : 0;
      return formatter(language, { maximumFractionDigits: digits }).format(value);
    }
    case "usd": {
      const options = { style: "currency", currency: "USD", maximumFractionDigits: 9 } as const;
      return formatter(language, options).format(value);
    }
    case "bytes":
      return bytes(Number(value), language);
  }
}

/** All digits that the API sent, with its unit: for titles. */
export function exact(value: Num | null | undefined, kind: Kind, language: Language): string {
  if (value === null || value === undefined) return NONE;
  const digits = count(value, language);
  switch (kind) {
    case "percent":
      return formatter(language, { style: "percent", maximumFractionDigits: 9 }).format(value);
    case "ms":
      return `${digits} ms`;
    case "bytes":
      return `${digits} B`;
    case "usd":
      return show(value, "usd", language);
    case "count":
    case "compact":
    case "rate":
      return digits;
  }
}

/** How much of a point in time is shown. Minute: with the date; clock: without. */
export type Detail = "month" | "day" | "date" | "clock" | "minute" | "second" | "full";

const DATE = { month: "short", day: "numeric" } as const;
const CLOCK = { hour: "2-digit", minute: "2-digit" } as const;
const DETAILS: Record<Detail, Intl.DateTimeFormatOptions> = {
  month: { year: "numeric", month: "short" },
  day: { year: "numeric", ...DATE },
  date: DATE,
  clock: CLOCK,
  minute: { ...DATE, ...CLOCK },
  second: { ...DATE, ...CLOCK, second: "2-digit" },
  full: { year: "numeric", ...DATE, ...CLOCK },
};
const madeTimes = new Map<string, Intl.DateTimeFormat>();

/** A point in time in a zone. A text that is none is shown as it is. */
export function moment(
  time: string | number | Date,
  zone: string,
  language: Language,
  detail: Detail = "minute",
): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const key = `${language} ${zone} ${detail}`;
  let found = madeTimes.get(key);
  if (found === undefined) {
    const options = { ...DETAILS[detail], timeZone: zone, hourCycle: "h23" } as const;
    found = new Intl.DateTimeFormat(LOCALES[language], options);
    madeTimes.set(key, found);
  }
  return found.format(date);
}

/** The change from one number to another as a share; null if there is nothing to compare with. */
export function change(now: Num | null | undefined, before: Num | null | undefined) {
  if (now === null || now === undefined || before === null || before === undefined) return null;
  if (Number(before) === 0) return null;
  return Number(now) / Number(before) - 1;
}

/** A change from which on it is shown as a factor. */
const FACTOR_MIN = 9;

/** A change with its sign; one of ten times and more as a factor. */
export function signed(share: number, language: Language) {
  if (share >= FACTOR_MIN) {
    return `×${formatter(language, { maximumSignificantDigits: 3 }).format(share + 1)}`;
  }
  const options = {
    style: "percent",
    signDisplay: "exceptZero",
    maximumFractionDigits: Math.abs(share) < 0.1 ? 1 : 0,
  } as const;
  return minus(formatter(language, options).format(share));
}

/** With the sign that is as wide as a plus. */
function minus(text: string): string {
  return text.replace("-", "−");
}

/** A change of a share in points of a percent, with its sign. */
export function points(share: number, language: Language) {
  const options = { signDisplay: "exceptZero", maximumFractionDigits: 2 } as const;
  return minus(formatter(language, options).format(share * 100));
}
