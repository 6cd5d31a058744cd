// Lets a few of many tasks run at a time, in the order in which they came.

/** Waits for a turn, and runs. Whoever is aborted while it waits gives its place away. */
export type Turns = <T>(signal: AbortSignal, run: () => Promise<T>) => Promise<T>;

/** `n` tasks at a time. */
export function newTurns(n: number): Turns {
  let free = n;
  const waiting = new Set<() => void>();
  const next = () => {
    const [first] = waiting;
    if (first === undefined) free += 1;
    else first();
  };
  const turn = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (free > 0) {
        free -= 1;
        resolve();
        return;
      }
      const begin = () => {
        waiting.delete(begin);
        signal.removeEventListener("abort", give);
        resolve();
      };
      const give = () => {
        waiting.delete(begin);
        reject(signal.reason as Error);
      };
      waiting.add(begin);
      signal.addEventListener("abort", give, { once: true });
    });
  return async (signal, run) => {
    signal.throwIfAborted();
    await turn(signal);
    try {
      return await run();
    } finally {
      next();
    }
  };
}
