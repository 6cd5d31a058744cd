import { describe, expect, it } from "vitest";

import { cellAt, legendOf, maxOf, mix, moved, rowsOf, shadeOf, ticksOf } from "./heat.ts";

describe("the rows of a heat map", () => {
  it("are those between the first and the last that hold something", () => {
    expect(rowsOf([[0, 0, 3, 0, 0], [0, 0, 0, 1, 0]])).toEqual({ first: 2, last: 3 });
    expect(rowsOf([[0, "9007199254740993", 0]])).toEqual({ first: 1, last: 1 });
  });
  it("are none if there is nothing", () => {
    expect(rowsOf([[0, 0], [0, 0]])).toBeNull();
    expect(rowsOf([])).toBeNull();
  });
});

describe("the shade of a count", () => {
  it("grows with it, and shows a single one beside many", () => {
    expect(shadeOf(0, 1_000)).toBe(0);
    expect(shadeOf(1, 1)).toBe(1);
    expect(shadeOf(1_000, 1_000)).toBe(1);
    expect(shadeOf(100, 10_000)).toBeCloseTo(0.5);
    expect(maxOf([[1, 2], [7, 0]])).toBe(7);
    expect(maxOf([])).toBe(0);
  });
  it("is a colour between two", () => {
    const stops = [[0, 0, 0], [100, 200, 50]] as const;
    expect(mix(stops, 0.5)).toBe("rgb(50 100 25)");
    expect(mix(stops, 7)).toBe("rgb(100 200 50)");
  });
});

describe("a cell", () => {
  it("is found by a point, the lowest row at the bottom", () => {
    const box = { width: 100, height: 50 };
    expect(cellAt(0, 49, box, 10, 5)).toEqual({ column: 0, row: 0 });
    expect(cellAt(99, 0, box, 10, 5)).toEqual({ column: 9, row: 4 });
    expect(cellAt(100, 0, box, 10, 5)).toBeNull();
    expect(cellAt(-1, 0, box, 10, 5)).toBeNull();
  });
  it("is found by keys, and stays inside", () => {
    expect(moved(null, "ArrowRight", 10, 5)).toEqual({ column: 0, row: 0 });
    expect(moved(null, "ArrowLeft", 10, 5)).toEqual({ column: 9, row: 0 });
    expect(moved({ column: 9, row: 4 }, "ArrowUp", 10, 5)).toEqual({ column: 9, row: 4 });
    expect(moved({ column: 3, row: 4 }, "ArrowDown", 10, 5)).toEqual({ column: 3, row: 3 });
    expect(moved({ column: 3, row: 4 }, "End", 10, 5)).toEqual({ column: 9, row: 4 });
    expect(moved({ column: 3, row: 4 }, "a", 10, 5)).toBeNull();
  });
});

describe("ticks and legend", () => {
  it("have room", () => {
    expect(ticksOf(60, 300, 100)).toEqual([0, 20, 40]);
    expect(ticksOf(3, 900, 100)).toEqual([0, 1, 2]);
    expect(ticksOf(0, 900, 100)).toEqual([]);
  });
  it("name each count once", () => {
    expect(legendOf(1)).toEqual([1]);
    expect(legendOf(400)).toEqual([1, 20, 400]);
    expect(legendOf(0)).toEqual([]);
  });
});
