import { expect, it } from "vitest";

import { askOf, paramsOf, toggled } from "./ask.ts";

it("reads an address, and takes the default for what it does not know", () => {
  const ask = askOf({ group: "model,nonsense,namespace,model", size: "7", page: "-1" });
  expect(ask.groups).toEqual(["namespace", "model"]);
  expect(ask).toMatchObject({ size: "100", page: 1, order: "-tokens", compares: false });
  expect(askOf({}).groups).toEqual(["namespace"]);
});

it("asks with every filter as it was written", () => {
  const ask = askOf({ group: "consumer", model: "<b>", status: "200", compare: "previous" });
  expect(paramsOf(ask)).toEqual({
    group_by: "consumer",
    model: "<b>",
    status: "200",
    search: "",
    order: "-tokens",
    compare: "previous",
  });
});

it("keeps one group, and no order by one that is gone", () => {
  expect(toggled(askOf({ group: "model" }), "model")).toEqual({});
  const ask = askOf({ group: "model,day", order: "-day" });
  expect(toggled(ask, "day")).toEqual({ group: "model", order: undefined, page: undefined });
  expect(toggled(ask, "namespace")).toEqual({ group: "namespace,model,day", page: undefined });
});
