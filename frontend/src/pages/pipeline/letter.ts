// Pure functions of letters and of the counts of events.
import type { Letter } from "@/api/letters.ts";
import type { Schema } from "@/api/types.ts";
import type { Num } from "@/lib/json.ts";
import { sumOf } from "@/lib/sum.ts";

/** What an event can come to, in the order of the rules. */
export const PARTS = ["counted", "duplicate", "late", "future", "poison", "misrouted"] as const;
export type Part = (typeof PARTS)[number];

/** What a late event comes to when it is looked at again. */
export const VERDICTS =
  ["late_merged", "late_duplicate", "late_expired", "late_undecided"] as const;

/** What all parts are together, and what is missing from the events that were read. */
export function balanceOf(events: Schema<"Events">): { sum: Num; missing: Num; addsUp: boolean } {
  const sum = sumOf(...PARTS.map((part) => events[part]));
  const missing = sumOf(events.total, (-BigInt(sum)).toString() as Num);
  return { sum, missing, addsUp: Number(missing) === 0 };
}

/** Which letter it is. No two letters have the same. */
export function keyOf({ source, letter, message }: Letter): string {
  if (letter !== null) {
    const { generation, partition, offset, index } = letter;
    return JSON.stringify([source, generation, partition, offset, index]);
  }
  if (message === null) return JSON.stringify([source]);
  const { topic, topic_id: id, partition, offset, index } = message;
  return JSON.stringify([source, topic, id, partition, offset, index]);
}

/** Which group it is. */
export function groupKeyOf(group: Schema<"DeadLetterGroup">): string {
  return JSON.stringify([group.source, group.class, group.reason]);
}

/** Where it is, in a few signs: partition, offset, and the index in the frame or message. */
export function placeOf({ letter, message }: Letter): string {
  const place = letter ?? message;
  if (place === null) return "";
  return `${place.partition}:${place.offset}[${place.index}]`;
}

/** What became of letters that were sent: which are in the log again, which are not and why. */
export function outcomeOf(
  sent: Letter[],
  result: Schema<"ReplayResult">,
): { accepted: Letter[]; rejected: { letter: Letter; reason: string }[] } {
  const reasons = new Map(result.rejected.map(({ index, reason }) => [Number(index), reason]));
  const rejected = sent.flatMap((letter, idx) => {
    const reason = reasons.get(idx);
    return reason === undefined ? [] : [{ letter, reason }];
  });
  return { accepted: sent.filter((_, idx) => !reasons.has(idx)), rejected };
}
