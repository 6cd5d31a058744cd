// How long answers took: three measures side by side, and the chosen one as a heat map and lines.
import { useLatency, useTokenTime } from "@/api/queries.ts";
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { HeatMap } from "@/components/heat-map.tsx";
import { LatencyTrend } from "@/components/latency-trend.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { EmptyState, Loaded, Loading } from "@/components/states.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { useAddress, useFormats, useView } from "@/components/view.ts";
import { useZoom } from "@/components/zoom.ts";
import { isEarlier } from "@/lib/heat.ts";
import { sumOf } from "@/lib/sum.ts";

import { filtersOf, METRICS, type Ask, type Metric } from "./ask.ts";
import styles from "./upstreams.module.css";

type Answer = Schema<"Latency">;
type Results = Record<Metric, Result<Answer>>;

/** Of a program that does not know the measure yet. */
function isUnknown(metric: Metric, result: Result<Answer>): boolean {
  return metric === "tpot" && result.error?.status === 400 && result.data === undefined;
}

export function Latency({ ask }: { ask: Ask }) {
  const { t, when } = useView();
  const u = t.upstreams;
  const [, change] = useAddress();
  const filters = filtersOf(ask);
  const results: Results = {
    duration: useLatency(when, { ...filters, metric: "duration" }),
    ttft: useLatency(when, { ...filters, metric: "ttft" }),
    tpot: useTokenTime(when, filters),
  };
  const { metric } = ask;
  const result = results[metric];
  return (
    <Panel
      title={u.latency}
      isBusy={result.isPlaceholderData}
      note={<>{u.metricHints[metric]}{result.data && <Covers answer={result.data.data} />}</>}
      actions={
        <Toggles
          label={u.metric}
          options={METRICS.map((value) => ({ value, label: u.metrics[value] }))}
          chosen={[metric]}
          onToggle={(value) => { change({ metric: value === "duration" ? undefined : value }); }}
        />
      }
    >
      <Measures results={results} metric={metric} />
      {isUnknown(metric, result) ? (
        <EmptyState title={u.notAvailable} text={u.notAvailableText} />
      ) : (
        <Columns>
          <div>
            <h3 className={styles.title}>{u.heatTitle}</h3>
            <Loaded result={result} height={306}>
              {(answer) => <Heat metric={metric} answer={answer} />}
            </Loaded>
          </div>
          <div>
            <h3 className={styles.title}>{u.quantilesTitle}</h3>
            <Loaded result={result} height={306}>
              {(answer) => <Lines metric={metric} answer={answer} />}
            </Loaded>
          </div>
        </Columns>
      )}
    </Panel>
  );
}

/** The time that it covers, which for rows by 15 minutes is more than was asked for. */
function Covers({ answer }: { answer: Answer }) {
  const u = useView().t.upstreams;
  const { moment } = useFormats();
  const { from, to } = answer.range;
  if (from === null || to === null) return null;
  return <> · {u.covers(moment(from), moment(to))}</>;
}

/** Count, mean and quantiles of all three. */
function Measures({ results, metric }: { results: Results; metric: Metric }) {
  const { t } = useView();
  const u = t.upstreams;
  if (results.duration.isPending) return <Loading height={150} />;
  return (
    <div className={styles.measures} role="region" aria-label={u.latencyBy} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">{u.metric}</th>
            <th scope="col">{u.measured}</th>
            <th scope="col">{t.common.quantiles.avg}</th>
            <th scope="col">p50</th>
            <th scope="col">p95</th>
            <th scope="col">p99</th>
          </tr>
        </thead>
        <tbody>
          {METRICS.map((one) => (
            <tr key={one} data-chosen={one === metric}>
              <th scope="row">{u.metrics[one]}</th>
              <Totals metric={one} result={results[one]} />
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Totals({ metric, result }: { metric: Metric; result: Result<Answer> }) {
  const { t } = useView();
  const totals = result.data?.data.totals;
  if (totals === undefined) {
    const text = isUnknown(metric, result) ? t.upstreams.notAvailable : "…";
    return <td colSpan={5} className={styles.wait}>{text}</td>;
  }
  const name = (field: string) => `upstreams.${metric}.${field}`;
  return (
    <>
      <td><Figure name={name("count")} value={totals.count} /></td>
      <td><Figure name={name("avg")} value={totals.avg} kind="ms" /></td>
      <td><Figure name={name("p50")} value={totals.quantiles.p50} kind="ms" /></td>
      <td><Figure name={name("p95")} value={totals.quantiles.p95} kind="ms" /></td>
      <td><Figure name={name("p99")} value={totals.quantiles.p99} kind="ms" /></td>
    </>
  );
}

interface PartProps {
  metric: Metric;
  answer: Answer;
}

function Heat({ metric, answer }: PartProps) {
  const { t } = useView();
  const { count } = useFormats();
  const zoom = useZoom();
  const u = t.upstreams;
  if (Number(answer.totals.count) === 0) return <Nothing metric={metric} />;
  const early = isEarlier(answer.labels[0]) ? sumOf(...(answer.counts[0] ?? [])) : 0;
  return (
    <>
      <HeatMap
        name="upstreams.heat"
        label={u.heat(u.metrics[metric])}
        labels={answer.labels}
        bounds={answer.bounds_ms}
        counts={answer.counts}
        stepSeconds={answer.step_seconds}
        to={answer.range.to}
        onZoom={zoom}
      />
      {Number(early) > 0 && <p className="more">{u.earlier(count(early))}</p>}
    </>
  );
}

function Lines({ metric, answer }: PartProps) {
  const { t } = useView();
  const u = t.upstreams;
  if (Number(answer.totals.count) === 0) return <Nothing metric={metric} />;
  return (
    <LatencyTrend latency={answer} name="upstreams.quantiles"
      label={u.quantiles(u.metrics[metric])} />
  );
}

function Nothing({ metric }: { metric: Metric }) {
  const u = useView().t.upstreams;
  return (
    <div className={styles.nothing}>
      <EmptyState title={u.noMeasure} text={u.noMeasureText[metric]} />
    </div>
  );
}
