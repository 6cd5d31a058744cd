// How requests ended, and what kinds of tokens they used.
import type { Schema } from "@/api/types.ts";
import type { Num } from "@/lib/json.ts";

import { BarList, type BarItem } from "./bar-list.tsx";
import { colorAt, type SeriesColor } from "./chart.ts";
import { EmptyState } from "./states.tsx";
import { useFormats, useMessages } from "./view.ts";

const ZERO = 0;

export interface OutcomesProps {
  labels: string[];
  /** Requests by outcome. */
  totals: Record<string, Num | undefined>;
  /** All of them. */
  requests: Num;
  name: string;
}

/** How requests ended; outcomes that did not occur are left out. */
export function Outcomes({ labels, totals, requests, name }: OutcomesProps) {
  const t = useMessages();
  const { show } = useFormats();
  if (Number(requests) === ZERO) {
    return <EmptyState title={t.common.noData} text={t.common.noDataText} />;
  }
  const items = labels.flatMap((label): BarItem[] => {
    const value = totals[label] ?? ZERO;
    if (Number(value) === ZERO && label !== "success") return [];
    const color: SeriesColor = label === "success" ? "good" : "bad";
    const note = show(Number(value) / Number(requests), "percent");
    return [{ key: label, label: t.common.outcomes[label] ?? label, value, color, note }];
  });
  return (
    <BarList name={name} label={t.common.outcomesTitle} items={items} whole={Number(requests)} />
  );
}

export interface TokenClassesProps {
  totals: Schema<"TokenTotals">;
  name: string;
}

/** Input and output, and the parts of each. */
export function TokenClasses({ totals, name }: TokenClassesProps) {
  const t = useMessages();
  const { show } = useFormats();
  const [input, output] = [Number(totals.input), Number(totals.output)];
  const whole = input + output;
  if (whole === ZERO) return <EmptyState title={t.common.noData} text={t.common.noDataText} />;
  const part = (key: string, label: string, value: Num, of: number, text: string, at: number) => ({
    key,
    label,
    value,
    color: colorAt(at),
    note: of === ZERO ? text : `${show(Number(value) / of, "percent")} ${text}`,
  });
  const { common: c } = t;
  const items = [
    part("input", c.input, totals.input, whole, c.ofAll, 0),
    part("cache_read", c.cacheRead, totals.cache_read, input, c.ofInput, 5),
    part("cache_write", c.cacheWrite, totals.cache_write, input, c.ofInput, 7),
    part("output", c.output, totals.output, whole, c.ofAll, 1),
    part("reasoning", c.reasoning, totals.reasoning, output, c.ofOutput, 4),
    part("estimated", c.estimated, totals.estimated, whole, c.ofAll, 3),
  ];
  return <BarList name={name} label={c.classes} items={items} whole={whole} />;
}
