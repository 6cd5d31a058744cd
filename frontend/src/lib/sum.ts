// Sums of counts, exact beyond 2^53 too.
import type { Num } from "./json.ts";

/** The sum of whole numbers. */
export function sumOf(...values: Num[]): Num {
  const sum = values.reduce<bigint>((total, value) => total + BigInt(value), 0n);
  const number = Number(sum);
  return Number.isSafeInteger(number) ? number : (sum.toString() as Num);
}
