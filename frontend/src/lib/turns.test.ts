import { expect, it } from "vitest";

import { newTurns } from "./turns.ts";

/** A task that ends when it is told to, and what ran so far. */
function newTasks() {
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const run = (name: string) => () =>
    new Promise<string>((resolve, reject) => {
      begun.push(name);
      ends.set(name, (error) => { if (error === undefined) resolve(name); else reject(error); });
    });
  return { begun, run, end: (name: string, error?: Error) => { ends.get(name)?.(error); } };
}

const never = new AbortController().signal;
const settled = () => new Promise((done) => setTimeout(done, 0));

it("runs so many at a time, in their order", async () => {
  const turns = newTurns(2);
  const { begun, run, end } = newTasks();
  const all = ["a", "b", "c", "d"].map((name) => turns(never, run(name)));
  await settled();
  expect(begun).toEqual(["a", "b"]);
  end("b");
  await settled();
  expect(begun).toEqual(["a", "b", "c"]);
  end("a");
  end("c");
  await settled();
  end("d");
  expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
});

it("goes on after one that fails", async () => {
  const turns = newTurns(1);
  const { begun, run, end } = newTasks();
  const first = turns(never, run("a"));
  const second = turns(never, run("b"));
  await settled();
  end("a", new Error("broken"));
  await expect(first).rejects.toThrow("broken");
  await settled();
  expect(begun).toEqual(["a", "b"]);
  end("b");
  expect(await second).toBe("b");
});

it("passes over those that gave up, and keeps no place for them", async () => {
  const turns = newTurns(1);
  const { begun, run, end } = newTasks();
  const gone = new AbortController();
  const first = turns(never, run("a"));
  const given = turns(gone.signal, run("b"));
  const last = turns(never, run("c"));
  gone.abort();
  await expect(given).rejects.toThrow();
  await expect(turns(gone.signal, run("d"))).rejects.toThrow();
  await settled();
  end("a");
  await first;
  await settled();
  expect(begun).toEqual(["a", "c"]);
  end("c");
  expect(await last).toBe("c");
  const again = turns(never, run("e"));
  await settled();
  end("e");
  expect(await again).toBe("e");
});
