// Everything at a glance: figures of the range beside those of the period before, what flows right
// now, and who uses most.
import { useDashboard, useUsage } from "@/api/queries.ts";
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { FigureCard } from "@/components/card.tsx";
import { Covered } from "@/components/covered.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { LiveStrip } from "@/components/live-strip.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { Outcomes, TokenClasses } from "@/components/shares.tsx";
import { StatCards, usePrevious } from "@/components/stat-cards.tsx";
import { Answered, EmptyState, Freshness, Loaded } from "@/components/states.tsx";
import { RangePicker, ZonePicker } from "@/components/toolbar.tsx";
import { TopList } from "@/components/top-list.tsx";
import { TokensTrend, Trend } from "@/components/trends.tsx";
import { useMessages, useView } from "@/components/view.ts";

const TOP = 6;

export default function Overview() {
  const { t, when, range } = useView();
  const { common: c, overview: o } = t;
  const dashboard = useDashboard("all", when);
  // All time has no period before.
  const compare = "name" in range && range.name === "all" ? {} : { compare: "previous" };
  const top = { size: TOP, order: "-tokens", ...compare };
  const namespaces = useUsage(when, { group_by: "namespace", ...top });
  const models = useUsage(when, { group_by: "model", ...top });
  const upstreams = useUsage(when, { group_by: "upstream", ...top });
  const data = dashboard.data?.data;
  const previous = usePrevious("all", dashboard, namespaces);
  const isNew = data !== undefined && Number(data.system.events.total) === 0;
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
      <Answered result={dashboard}>
        <Loaded result={dashboard} height={248}>
          {({ stats, system }) => (
            <StatCards page="overview" label={o.figures} stats={stats} previous={previous}
              isBusy={dashboard.isPlaceholderData}>
              <FigureCard title={o.qps} name="overview.qps" kind="rate" value={system.qps}
                hint={o.qpsHint}>{o.now}</FigureCard>
              <FigureCard title={o.connections} name="overview.connections" kind="count"
                value={system.activeConnections} hint={o.connectionsHint}>{o.now}</FigureCard>
            </StatCards>
          )}
        </Loaded>
        {isNew ? <Welcome /> : <Charts dashboard={dashboard} />}
      </Answered>
      {!isNew && (
        <Columns narrow>
          <TopList page="overview" group="namespace" title={c.topNamespaces} result={namespaces} />
          <TopList page="overview" group="model" title={c.topModels} result={models} />
          <TopList page="overview" group="upstream" title={c.topUpstreams} result={upstreams} />
        </Columns>
      )}
    </Page>
  );
}

/** Nothing was ever counted: charts of nothing would not help. */
function Welcome() {
  const { overview: o } = useMessages();
  return (
    <Panel title={o.start}>
      <EmptyState title={o.emptyTitle} text={o.emptyText} />
    </Panel>
  );
}

function Charts({ dashboard }: { dashboard: Result<Schema<"Dashboard">> }) {
  const { common: c } = useMessages();
  const isBusy = dashboard.isPlaceholderData;
  return (
    <Columns>
      <Panel title={c.trend} isBusy={isBusy}>
        <Loaded result={dashboard} height={248}>
          {({ requestTrend }) => <Trend trend={requestTrend} name="overview.trend" />}
        </Loaded>
      </Panel>
      <Panel title={c.tokensTrend} isBusy={isBusy}>
        <Loaded result={dashboard} height={248}>
          {({ tokens }) => <TokensTrend tokens={tokens} name="overview.tokensTrend" />}
        </Loaded>
      </Panel>
      <Panel title={c.outcomesTitle} isBusy={isBusy}>
        <Loaded result={dashboard} height={220}>
          {({ statusDistribution: { labels, totals, requests } }) => (
            <Outcomes name="overview.outcomes" {...{ labels, totals, requests }} />
          )}
        </Loaded>
      </Panel>
      <Panel title={c.classes} isBusy={isBusy}>
        <Loaded result={dashboard} height={220}>
          {({ tokens }) => <TokenClasses totals={tokens.totals} name="overview.classes" />}
        </Loaded>
      </Panel>
    </Columns>
  );
}
