// What the pipeline must show: what became of events, how far counting has come, dead letters.
import { ask, at, Digits, digits, list, whole, type Json } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import type { When } from "./overview.ts";

const PARTS = ["counted", "duplicate", "late", "future", "poison", "misrouted"];
const BESIDE = [
  "conflicts", "lost_frames", "late_merged", "late_duplicate", "late_expired", "late_undecided",
];

/** Fields of an answer as JSON, numbers as they were sent. */
function keyOf(data: Json, ...fields: string[]): string {
  const texts = fields.map((field) => {
    const value = at(data, field);
    return value instanceof Digits ? value.text : JSON.stringify(value);
  });
  return texts.join();
}

function letterKey(letter: Json): string {
  const [log, raw] = [at(letter, "letter"), at(letter, "message")];
  const source = keyOf(letter, "source");
  if (log !== null) {
    return `[${source},${keyOf(log, "generation", "partition", "offset", "index")}]`;
  }
  return `[${source},${keyOf(raw, "topic", "topic_id", "partition", "offset", "index")}]`;
}

export async function pipeline(place: string, filters: When = {}): Promise<Wanted[]> {
  const system = await ask(place, "/api/metrics/system");
  const events = at(system, "events");
  const sum = PARTS.reduce((all, part) => all + whole(events, part), 0n);
  // Received = counted + duplicate + .., or nothing else on the page means anything.
  if (sum !== whole(events, "total")) throw new Error(`${sum} events add up to another number`);
  const letters = await ask(place, "/api/dead-letters", { size: "50", ...filters });
  const { groups } = (await ask(place, "/api/dead-letters", { size: "1" })) as { groups: Json[] };
  const lag = at(system, "lag");
  const count = (figure: string, value: string | null): Wanted =>
    ({ figure, value, kind: "count" });
  return [
    { figure: "pipeline.lag.frames", value: digits(lag, "frames"), kind: "compact" },
    { figure: "pipeline.lag.commitAge", value: digits(lag, "commit_age_ms"), kind: "ms" },
    count("pipeline.version", digits(system, "as_of", "version")),
    { figure: "pipeline.qps", value: digits(system, "qps"), kind: "rate" },
    ...["total", ...PARTS, ...BESIDE].map((part) =>
      count(`pipeline.events.${part}`, digits(events, part)),
    ),
    ...list(lag, "partitions").flatMap((one): Wanted[] => {
      const key = digits(one, "partition") ?? "";
      return [
        { ...count("pipeline.lag.frames", digits(one, "frames")), key },
        { figure: "pipeline.lag.commitAge", key, value: digits(one, "commit_age_ms"), kind: "ms" },
      ];
    }),
    ...groups.flatMap((group): Wanted[] => {
      const key = `[${keyOf(group, "source", "class", "reason")}]`;
      return ["letters", "events"].map((field) => ({
        ...count(`pipeline.groups.${field}`, digits(group, field)), key,
      }));
    }),
    count("pipeline.letters.total", digits(letters, "total")),
    count("pipeline.letters.total.events", digits(letters, "events")),
    ...list(letters, "items").flatMap((letter): Wanted[] => {
      const key = letterKey(letter);
      return [
        { ...count("pipeline.letters.events", digits(letter, "events")), key },
        { figure: "pipeline.letters.bytes", key, value: digits(letter, "bytes"), kind: "bytes" },
      ];
    }),
  ];
}
