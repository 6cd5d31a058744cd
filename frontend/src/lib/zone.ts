// Time zones: the IANA list of the browser, and the zone that it is in.

/** Names that some browsers still give zones, and those that the IANA has for them today. */
const TODAY: Readonly<Record<string, string>> = {
  "Africa/Asmera": "Africa/Asmara",
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "America/Catamarca": "America/Argentina/Catamarca",
  "America/Coral_Harbour": "America/Atikokan",
  "America/Cordoba": "America/Argentina/Cordoba",
  "America/Godthab": "America/Nuuk",
  "America/Indianapolis": "America/Indiana/Indianapolis",
  "America/Jujuy": "America/Argentina/Jujuy",
  "America/Louisville": "America/Kentucky/Louisville",
  "America/Mendoza": "America/Argentina/Mendoza",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
  "Pacific/Enderbury": "Pacific/Kanton",
  "Pacific/Ponape": "Pacific/Pohnpei",
  "Pacific/Truk": "Pacific/Chuuk",
};

/** The name that a zone has today, if this browser takes it. */
export function todaysName(zone: string): string {
  const name = TODAY[zone];
  return name !== undefined && isZone(name) ? name : zone;
}

export function ownZone(): string {
  return todaysName(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
}

/** Whether this browser knows the zone. */
export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** All zones by name, UTC first. */
export function zones(): string[] {
  const known = new Set(Intl.supportedValuesOf("timeZone").map(todaysName));
  known.delete("UTC");
  return ["UTC", ...[...known].sort()];
}

/** Offset from UTC at a time, as in +08:00. */
export function offsetOf(zone: string, time: number | Date): string {
  const options: Intl.DateTimeFormatOptions = { timeZone: zone, timeZoneName: "longOffset" };
  const parts = new Intl.DateTimeFormat("en", options).formatToParts(time);
  const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "GMT";
  return name === "GMT" ? "+00:00" : name.replace("GMT", "");
}

/** Wall time of an instant in a zone, as a datetime-local field takes it: 2026-03-05T10:17. */
export function wallOf(time: number | Date, zone: string): string {
  const options: Intl.DateTimeFormatOptions = {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  };
  const parts = new Intl.DateTimeFormat("en", options).formatToParts(time);
  const part = (type: string) => parts.find((found) => found.type === type)?.value ?? "";
  const year = part("year").padStart(4, "0");
  return `${year}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}`;
}

/** The instant at which a wall shows this time. Of two, the first; in a gap, the time after it. */
export function instantOf(wall: string, zone: string): number {
  const asUtc = Date.parse(`${wall}:00Z`);
  if (Number.isNaN(asUtc)) return NaN;
  const DAY_MS = 86_400_000;
  // The offsets of the day before and the day after are those on both sides of a change.
  const offsets = [asUtc - DAY_MS, asUtc + DAY_MS].map((near) => offsetMs(zone, near));
  const found = offsets.map((offset) => asUtc - offset);
  const right = found.filter((instant) => wallOf(instant, zone) === wall.slice(0, 16));
  return right.length > 0 ? Math.min(...right) : Math.max(...found);
}

function offsetMs(zone: string, time: number): number {
  const offset = offsetOf(zone, time);
  const [hours = 0, minutes = 0, seconds = 0] = offset.slice(1).split(":").map(Number);
  const ms = ((hours * 60 + minutes) * 60 + seconds) * 1_000;
  return offset.startsWith("-") ? -ms : ms;
}
