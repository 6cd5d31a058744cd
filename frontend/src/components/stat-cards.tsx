// The figures of a namespace, or of all, each beside that of the period before.
import { useState } from "react";

import { useStats } from "@/api/queries.ts";
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { rangeBefore, type Range } from "@/lib/range.ts";

import { FigureCard, FigureCards } from "./card.tsx";
import { useView } from "./view.ts";

type Stats = Schema<"Stats">;

/**
 * The figures of the period before: undefined until they are known, and where there is none. The
 * calendar's period before is in an answer about usage that compares.
 */
export function usePrevious(
  namespace: string,
  dashboard: Result<Schema<"Dashboard">>,
  usage: Result<Schema<"Usage">>,
): Stats | undefined {
  const { range, tz } = useView();
  const [shown, setShown] = useState<Before>({ range: null, tz });
  const stats = dashboard.data?.data.stats;
  // Beside the figures of another range stay those of the period before that one.
  let before = shown;
  if (!dashboard.isPlaceholderData) {
    before = { range: stats === undefined ? null : periodBefore(range, stats.range, usage), tz };
    if (JSON.stringify(before) !== JSON.stringify(shown)) setShown(before);
  }
  return useStats(namespace, before.range, before.tz).data?.data;
}

/** A period before, and the zone that its figures were asked for in. */
interface Before {
  range: Range | null;
  tz: string;
}

function periodBefore(
  range: Range,
  covered: { from: string | null; to: string | null },
  usage: Result<Schema<"Usage">>,
): Range | null {
  const { from, to } = covered;
  if (from === null || to === null) return null;
  const shifted = rangeBefore(range, { from, to });
  if (shifted !== null) return shifted;
  if (usage.isPlaceholderData) return null;
  const calendar = usage.data?.data.previous_range;
  if (calendar?.from == null || calendar.to === null) return null;
  return { from: calendar.from, to: calendar.to };
}

export interface StatCardsProps {
  /** Page, for the names of the figures. */
  page: string;
  label: string;
  stats: Stats;
  previous: Stats | undefined;
  /** Whether an answer is on its way that will replace what is shown. */
  isBusy: boolean;
  children?: React.ReactNode;
}

export function StatCards(props: StatCardsProps) {
  const { page, label, stats, previous: was, isBusy, children } = props;
  const { t } = useView();
  const c = t.common;
  return (
    <FigureCards label={label} isBusy={isBusy}>
      <FigureCard title={c.requests} name={`${page}.requests`} value={stats.totalRequests}
        previous={was?.totalRequests} />
      <FigureCard title={c.successRate} name={`${page}.successRate`} kind="percent" good="more"
        value={stats.successRate} previous={was?.successRate} />
      <FigureCard title={c.mean} name={`${page}.mean`} kind="ms" good="less"
        value={stats.avgResponseTime} previous={was?.avgResponseTime} />
      <FigureCard title={c.p95} name={`${page}.p95`} kind="ms" good="less"
        value={stats.quantiles.p95} previous={was?.quantiles.p95} />
      <FigureCard title={c.input} name={`${page}.input`} value={stats.tokens.input}
        previous={was?.tokens.input} />
      <FigureCard title={c.output} name={`${page}.output`} value={stats.tokens.output}
        previous={was?.tokens.output} />
      {children}
    </FigureCards>
  );
}
