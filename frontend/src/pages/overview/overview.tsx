// Everything at a glance: figures of the range beside those of the period before, what flows right
// now, and who uses most.
import { useDashboard, useStats, useUsage } from "@/api/queries.ts";
import { FigureCard, FigureCards } from "@/components/card.tsx";
import { Covered } from "@/components/covered.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { LiveStrip } from "@/components/live-strip.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { Outcomes, TokenClasses } from "@/components/shares.tsx";
import { EmptyState, Freshness, Loaded } from "@/components/states.tsx";
import { RangePicker, ZonePicker } from "@/components/toolbar.tsx";
import { TopList } from "@/components/top-list.tsx";
import { TokensTrend, Trend } from "@/components/trends.tsx";
import { useView } from "@/components/view.ts";
import { rangeBefore, type Range } from "@/lib/range.ts";


const TOP = 6;

export default function Overview() {
  const { t, when, range } = useView();
  const { common: c, overview: o } = t;
  const dashboard = useDashboard("all", when);
  const compares = !("name" in range && range.name === "all");
  const compare = compares ? { compare: "previous" } : {};
  const top = { size: TOP, order: "-tokens", ...compare };
  const namespaces = useUsage(when, { group_by: "namespace", ...top });
  const models = useUsage(when, { group_by: "model", ...top });
  const upstreams = useUsage(when, { group_by: "upstream", ...top });

  const data = dashboard.data?.data;
  const before = data === undefined ? null : rangeOfBefore(range, data.stats.range, namespaces);
  const previous = useStats("all", before, when.tz).data?.data;
  const cards = { stats: data?.stats, system: data?.system, previous, compares };

  return (
    <Page>
      <PageHead
        title={o.title}
        windowTitle={o.title}
        note={data && <Covered range={data.stats.range} asOf={data.stats.as_of} page="overview" />}
        tools={<><RangePicker /><ZonePicker /></>}
      />
      <Freshness result={dashboard} time={data?.stats.as_of.time} />
      <LiveStrip namespace="all" page="overview" />
      <Loaded result={dashboard} height={240}>
        {() => <Cards {...cards} />}
      </Loaded>
      {data !== undefined && Number(data.system.events.total) === 0 && (
        <EmptyState title={o.emptyTitle} text={o.emptyText} />
      )}
      <Columns>
        <Panel title={c.trend}>
          <Loaded result={dashboard} height={248}>
            {({ requestTrend }) => <Trend trend={requestTrend} name="overview.trend" />}
          </Loaded>
        </Panel>
        <Panel title={c.tokensTrend}>
          <Loaded result={dashboard} height={248}>
            {({ tokens }) => <TokensTrend tokens={tokens} name="overview.tokensTrend" />}
          </Loaded>
        </Panel>
        <Panel title={c.outcomesTitle}>
          <Loaded result={dashboard}>
            {({ statusDistribution: { labels, totals, requests } }) => (
              <Outcomes name="overview.outcomes" {...{ labels, totals, requests }} />
            )}
          </Loaded>
        </Panel>
        <Panel title={c.classes}>
          <Loaded result={dashboard}>
            {({ tokens }) => <TokenClasses totals={tokens.totals} name="overview.classes" />}
          </Loaded>
        </Panel>
      </Columns>
      <Columns narrow>
        <TopList page="overview" group="namespace" title={c.topNamespaces} result={namespaces} />
        <TopList page="overview" group="model" title={c.topModels} result={models} />
        <TopList page="overview" group="upstream" title={c.topUpstreams} result={upstreams} />
      </Columns>
    </Page>
  );
}

/** The period to compare with: the calendar's is in the answer about usage. */
function rangeOfBefore(
  range: Range,
  covered: { from: string | null; to: string | null },
  usage: ReturnType<typeof useUsage>,
): Range | null {
  const { from, to } = covered;
  if (from === null || to === null) return null;
  const shifted = rangeBefore(range, { from, to });
  if (shifted !== null) return shifted;
  const calendar = usage.data?.data.previous_range;
  if (calendar?.from == null || calendar.to === null) return null;
  return { from: calendar.from, to: calendar.to };
}

type Answers = NonNullable<ReturnType<typeof useDashboard>["data"]>["data"];

interface CardsProps {
  stats: Answers["stats"] | undefined;
  system: Answers["system"] | undefined;
  previous: Answers["stats"] | undefined;
  compares: boolean;
}

function Cards({ stats, system, previous, compares }: CardsProps) {
  const { t } = useView();
  if (stats === undefined || system === undefined) return null;
  const c = t.common;
  const o = t.overview;
  // Undefined until it is known or if there is none: then no line says anything of a comparison.
  const was = compares ? previous : undefined;
  return (
    <FigureCards label={o.figures}>
      <FigureCard title={c.requests} name="overview.requests" value={stats.totalRequests}
        previous={was?.totalRequests} />
      <FigureCard title={c.successRate} name="overview.successRate" kind="percent" good="more"
        value={stats.successRate} previous={was?.successRate} />
      <FigureCard title={c.mean} name="overview.mean" kind="ms" good="less"
        value={stats.avgResponseTime} previous={was?.avgResponseTime} />
      <FigureCard title={c.p95} name="overview.p95" kind="ms" good="less"
        value={stats.quantiles.p95} previous={was?.quantiles.p95} />
      <FigureCard title={c.input} name="overview.input" value={stats.tokens.input}
        previous={was?.tokens.input} />
      <FigureCard title={c.output} name="overview.output" value={stats.tokens.output}
        previous={was?.tokens.output} />
      <FigureCard title={o.qps} name="overview.qps" kind="rate" value={system.qps}
        hint={o.qpsHint}>{o.now}</FigureCard>
      <FigureCard title={o.connections} name="overview.connections" kind="count"
        value={system.activeConnections} hint={o.connectionsHint}>{o.now}</FigureCard>
    </FigureCards>
  );
}

