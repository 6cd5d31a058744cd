// One tenant: its figures, how it used them over time, and who and what of it used most.
import { useParams } from "@tanstack/react-router";

import { useDashboard, useLatency, useNamespace, useUsage } from "@/api/queries.ts";
import type { Schema } from "@/api/types.ts";
import { FigureCard } from "@/components/card.tsx";
import { Covered } from "@/components/covered.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { LatencyTrend } from "@/components/latency-trend.tsx";
import { LiveStrip } from "@/components/live-strip.tsx";
import { Name, visible } from "@/components/name.tsx";
import { PageLink } from "@/components/page-link.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { Outcomes, TokenClasses } from "@/components/shares.tsx";
import { StatCards, usePrevious } from "@/components/stat-cards.tsx";
import { Answered, EmptyState, Freshness, Loaded } from "@/components/states.tsx";
import { RangePicker, ZonePicker } from "@/components/toolbar.tsx";
import { TopList } from "@/components/top-list.tsx";
import { TokensTrend, Trend } from "@/components/trends.tsx";
import { useView } from "@/components/view.ts";
import type { Num } from "@/lib/json.ts";

import styles from "./namespace.module.css";

const TOP = 8;

export default function NamespacePage() {
  const { code = "" } = useParams({ strict: false }) as unknown as { code?: string };
  const { t } = useView();
  const found = useNamespace(code);
  if (found.error?.status === 404) {
    const back = <PageLink to="/namespaces">{t.namespace.allNamespaces}</PageLink>;
    return (
      <Page>
        <PageHead title={<Name wraps>{code}</Name>} windowTitle={visible(code)} />
        <EmptyState title={t.namespace.notFound} text={t.namespace.notFoundText} action={back} />
      </Page>
    );
  }
  return (
    <Loaded result={found} height={480}>
      {(namespace) => <Shown key={namespace.code} found={namespace} />}
    </Loaded>
  );
}

function Shown({ found }: { found: Schema<"Namespace"> }) {
  // A number in the address is the same namespace; what is asked for goes by the code.
  const { code } = found;
  const { t, when, range } = useView();
  const { common: c, namespace: n } = t;
  const dashboard = useDashboard(code, when);
  const latency = useLatency(when, { namespace: code });
  const compare = "name" in range && range.name === "all" ? {} : { compare: "previous" };
  const top = { namespace: code, size: TOP, order: "-tokens", ...compare };
  const consumers = useUsage(when, { group_by: "consumer", ...top });
  const models = useUsage(when, { group_by: "model", ...top });
  const upstreams = useUsage(when, { group_by: "upstream", ...top });
  const data = dashboard.data?.data;
  const previous = usePrevious(code, dashboard, models);
  const lists = { page: "namespace", filter: { namespace: code } };
  return (
    <Page>
      <PageHead
        title={<Title found={found} />}
        windowTitle={visible(found.name)}
        note={data && <Covered range={data.stats.range} asOf={data.stats.as_of} page="namespace" />}
        tools={<><RangePicker /><ZonePicker /></>}
      />
      <Freshness result={dashboard} time={data?.stats.as_of.time} />
      <LiveStrip namespace={code} page="namespace" />
      <Answered result={dashboard}>
        <Loaded result={dashboard} height={248}>
          {({ stats }) => (
            <StatCards page="namespace" label={n.figures} stats={stats} previous={previous}
              isBusy={dashboard.isPlaceholderData}>
              <FigureCard title={c.errors} name="namespace.errors" value={stats.errors}
                good="less" previous={previous?.errors} />
              <FigureCard title={c.quantiles.p50} name="namespace.p50" kind="ms" good="less"
                value={stats.quantiles.p50} previous={previous?.quantiles.p50} />
            </StatCards>
          )}
        </Loaded>
        <Columns>
          <Panel title={c.trend} isBusy={dashboard.isPlaceholderData}>
            <Loaded result={dashboard} height={248}>
              {({ requestTrend }) => <Trend trend={requestTrend} name="namespace.trend" />}
            </Loaded>
          </Panel>
          <Panel title={c.tokensTrend} isBusy={dashboard.isPlaceholderData}>
            <Loaded result={dashboard} height={248}>
              {({ tokens }) => <TokensTrend tokens={tokens} name="namespace.tokensTrend" />}
            </Loaded>
          </Panel>
        </Columns>
        <Panel title={n.latencyTrend} isBusy={latency.isPlaceholderData}>
          <Loaded result={latency} height={248}>
            {(answer) => (
              <LatencyTrend latency={answer} name="namespace.latency" label={n.latencyTrend} />
            )}
          </Loaded>
        </Panel>
        <Columns>
          <Panel title={c.outcomesTitle} isBusy={dashboard.isPlaceholderData}>
            <Loaded result={dashboard} height={220}>
              {({ statusDistribution }) => (
                <OwnOutcomes code={code} distribution={statusDistribution} />
              )}
            </Loaded>
          </Panel>
          <Panel title={c.classes} isBusy={dashboard.isPlaceholderData}>
            <Loaded result={dashboard} height={220}>
              {({ tokens }) => <TokenClasses totals={tokens.totals} name="namespace.classes" />}
            </Loaded>
          </Panel>
        </Columns>
      </Answered>
      <Columns narrow>
        <TopList {...lists} group="consumer" title={c.topConsumers} result={consumers} />
        <TopList {...lists} group="model" title={c.topModels} result={models} />
        <TopList {...lists} group="upstream" title={c.topUpstreams} result={upstreams} />
      </Columns>
    </Page>
  );
}

/** The name that people gave it, the code that events name it by, and whether it is enabled. */
function Title({ found }: { found: Schema<"Namespace"> }) {
  const { t } = useView();
  const { namespace: n } = t;
  return (
    <>
      <span className={styles.crumb}>
        <PageLink to="/namespaces">{t.namespaces.title}</PageLink>
      </span>
      <Name wraps>{found.name}</Name>
      <span className={styles.facts}>
        {found.name !== found.code && <code><Name>{found.code}</Name></code>}
        <span className={styles.status} data-status={found.status}>
          {found.status === "enabled" ? n.enabled : n.disabled}
        </span>
      </span>
    </>
  );
}

interface OwnOutcomesProps {
  code: string;
  distribution: Schema<"StatusDistribution">;
}

/** Of the distribution of all namespaces, the line of this one. */
function OwnOutcomes({ code, distribution }: OwnOutcomesProps) {
  const { labels, datasets } = distribution;
  const own = datasets.find(({ label }) => label === code)?.data ?? [];
  const each = labels.map((label, idx): [string, Num] => [label, own[idx] ?? 0]);
  const totals = Object.fromEntries(each);
  const requests = Object.values(totals).reduce<number>((sum, value) => sum + Number(value), 0);
  return <Outcomes name="namespace.outcomes" {...{ labels, totals, requests }} />;
}
