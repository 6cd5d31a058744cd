import { describe, expect, it } from "vitest";

import { askOf, fieldOf, paramsOf } from "./ask.ts";

describe("the address of the list", () => {
  it("is read with defaults where it says nothing", () => {
    expect(askOf({})).toEqual({ keyword: "", status: undefined, page: 1, size: "100" });
  });
  it("ignores what it does not know", () => {
    const ask = askOf({ status: "gone", page: "-1", size: "7", keyword: "a b" });
    expect(ask).toEqual({ keyword: "a b", status: undefined, page: 1, size: "100" });
  });
  it("becomes the parameters of the API", () => {
    const ask = askOf({ status: "disabled", page: "3", size: "1000", keyword: "x" });
    expect(paramsOf(ask)).toEqual({ keyword: "x", status: "disabled", page: 3, size: "1000" });
  });
});

describe("a refusal", () => {
  const check = (message: string, expected: string) => {
    expect(fieldOf(message)).toBe(expected);
  };
  it("is shown at the field that it names", () => {
    check('code "bad code!" may contain only letters, digits and -_.:/', "code");
    check("name must be 1 to 128 characters, none of them a control character", "name");
    check("the ledger does not answer", "form");
    check("", "form");
  });
});
