import { describe, expect, it } from "vitest";

import { parseJson, readNumber } from "./json.ts";

describe("JSON", () => {
  it("keeps what a double holds as a number", () => {
    for (const text of ["0", "-1", "28185", "0.5", "1.25", "9007199254740991", "1e3"]) {
      expect(readNumber(text)).toBe(Number(text));
    }
    expect(readNumber("1.0")).toBe(1);
    expect(readNumber("0.0")).toBe(0);
  });

  it("keeps every digit of what a double does not hold", () => {
    for (const text of ["9007199254740993", "123456789012.123456789", "-9007199254740993"]) {
      expect(readNumber(text)).toBe(text);
      expect(parseJson(`{"a": [${text},1]}`)).toEqual({ a: [text, 1] });
    }
  });

  it("leaves long numbers in texts alone", () => {
    const texts = { a: "9007199254740993", "9007199254740993": 'say "9007199254740993"', b: "\\" };
    expect(parseJson(JSON.stringify(texts))).toEqual(texts);
    expect(parseJson("[0.9437400332318535]")).toEqual([0.9437400332318535]);
  });

  it("reads what JSON.parse reads", () => {
    const texts = ['{"a":[1,2,{"b":null}],"c":"x\\"\\u00e9","d":{}}', " [ ] ", '"\\\\"', "true"];
    for (const text of texts) expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  it("refuses what is not JSON", () => {
    for (const text of ["", "{", "[1,]", "{a:1}", '{"a" 1}', "1 2", "nul", "01", '"\n"', "[1 2]"]) {
      expect(() => parseJson(text), text).toThrow(SyntaxError);
    }
  });

  it("takes a field with any name as a field", () => {
    const read = parseJson('{"__proto__":{"admin":true}}') as Record<string, unknown>;
    expect(Object.keys(read)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
  });
});
