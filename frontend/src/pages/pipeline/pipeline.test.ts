import { describe, expect, it } from "vitest";

import type { Letter } from "@/api/letters.ts";

import { askOf, classesOf, groupsOf, isFiltered, paramsOf } from "./ask.ts";
import { balanceOf, keyOf, outcomeOf, placeOf } from "./letter.ts";

const EVENTS = {
  total: 0, counted: 0, duplicate: 0, late: 0, future: 0, poison: 0, misrouted: 0,
  conflicts: 0, lost_frames: 0,
  late_merged: 0, late_duplicate: 0, late_expired: 0, late_undecided: 0,
};

const LETTER: Letter = {
  source: "log", class: "future", reason: "future", events: 1, stored_at: "2026-03-05T10:17:42Z",
  time: null, namespace: null, event_id: null, bytes: null, replayable: true,
  letter: { generation: 1, partition: 3, offset: 17, index: 0 }, message: null,
};

function letterAt(offset: number): Letter {
  return { ...LETTER, letter: { generation: 1, partition: 3, offset, index: 0 } };
}

describe("the counts of events", () => {
  it("add up", () => {
    const events = { ...EVENTS, total: 21, counted: 6, duplicate: 5, late: 4, future: 3, poison: 2,
      misrouted: 1 };
    expect(balanceOf(events)).toEqual({ sum: 21, missing: 0, addsUp: true });
  });
  it("show what is missing, to the last one, beyond what a double holds", () => {
    const events = { ...EVENTS, total: "9007199254740995" as const,
      counted: "9007199254740993" as const, late: 1 };
    expect(balanceOf(events)).toMatchObject({ missing: 1, addsUp: false });
  });
  it("show what is too much", () => {
    expect(balanceOf({ ...EVENTS, counted: 2 })).toMatchObject({ missing: -2, addsUp: false });
  });
});

describe("the address of dead letters", () => {
  it("is read with defaults", () => {
    const ask = askOf({ source: "elsewhere", partition: "x", page: "0" });
    expect(ask.page).toBe(1);
    expect(isFiltered(ask)).toBe(false);
  });
  it("takes one end of a time alone", () => {
    const ask = askOf({ from: "2026-03-05T00:00:00Z", partition: "12", class: "late", page: "2" });
    expect(isFiltered(ask)).toBe(true);
    expect(paramsOf(ask)).toMatchObject({ from: "2026-03-05T00:00:00Z", partition: "12",
      class: "late", to: undefined, page: 2, size: 50 });
    expect(groupsOf(ask)).toEqual({ from: "2026-03-05T00:00:00Z", to: undefined, size: 1 });
  });
  it("offers the classes of its source, and one that it does not know", () => {
    expect(classesOf(askOf({ source: "log" }))).not.toContain("syntax");
    expect(classesOf(askOf({ source: "raw" }))).not.toContain("late");
    expect(classesOf(askOf({ source: "log", class: "<b>" }))).toContain("<b>");
  });
});

describe("letters", () => {
  it("have a key and a place", () => {
    expect(keyOf(LETTER)).toBe('["log",1,3,17,0]');
    expect(placeOf(LETTER)).toBe("3:17[0]");
  });
  it("of raw topics of one name differ by the topic's id", () => {
    const message = { topic: "t", topic_id: "a", partition: 0, offset: 1, until: 1, index: 0,
      field: null };
    const raw: Letter = { ...LETTER, source: "raw", letter: null, message };
    const other: Letter = { ...raw, message: { ...message, topic_id: "b" } };
    expect(keyOf(raw)).not.toBe(keyOf(other));
  });
  it("that were sent are told apart by what became of them", () => {
    const sent = [letterAt(1), letterAt(2), letterAt(3)];
    const result = { accepted: 2, rejected: [{ index: 1, reason: "not due" }] };
    const { accepted, rejected } = outcomeOf(sent, result);
    expect(accepted.map(placeOf)).toEqual(["3:1[0]", "3:3[0]"]);
    expect(rejected.map(({ letter, reason }) => [placeOf(letter), reason])).toEqual([
      ["3:2[0]", "not due"],
    ]);
  });
});
