import { expect, it } from "vitest";

import { eventReader } from "./sse.ts";

it("puts events together that came in pieces", () => {
  const read = eventReader();
  expect(read('data: {"a"')).toEqual([]);
  expect(read(":1}\n")).toEqual([]);
  expect(read("\ndata: 2\n\n: still there\n\nda")).toEqual(['{"a":1}', "2"]);
  expect(read("ta:3\n\n")).toEqual(["3"]);
});
