// Requests and tokens over time.
import type { Schema } from "@/api/types.ts";

import { colorAt, TimeChart } from "./chart.ts";
import { Figure } from "./figure.tsx";
import { useMessages } from "./view.ts";
import { useZoom } from "./zoom.ts";

export function Trend({ trend, name }: { trend: Schema<"RequestTrend">; name: string }) {
  const t = useMessages();
  const zoom = useZoom();
  const series = trend.datasets.map(({ data }) => ({
    key: "requests",
    label: t.common.requests,
    color: colorAt(0),
    values: data,
  }));
  return (
    <>
      <p className="sr-only">
        {t.common.total}: <Figure name={`${name}.total`} value={trend.total} />
      </p>
      <TimeChart name={name} label={t.common.trend} labels={trend.labels} series={series}
        stepSeconds={trend.step_seconds} to={trend.range.to} kind="count" mode="bars"
        onZoom={zoom} />
    </>
  );
}

export function TokensTrend({ tokens, name }: { tokens: Schema<"Tokens">; name: string }) {
  const t = useMessages();
  const zoom = useZoom();
  const names: Record<string, string> = { input: t.common.input, output: t.common.output };
  const series = tokens.datasets.map(({ label, data }, idx) => ({
    key: label,
    label: names[label] ?? label,
    color: colorAt(idx),
    values: data,
  }));
  return (
    <TimeChart name={name} label={t.common.tokensTrend} labels={tokens.labels} series={series}
      stepSeconds={tokens.step_seconds} to={tokens.range.to} kind="count" mode="stacked"
      onZoom={zoom} />
  );
}
