// Quantiles and mean of durations over time.
import type { Schema } from "@/api/types.ts";

import { colorAt, TimeChart } from "./chart.ts";
import { useMessages } from "./view.ts";
import { useZoom } from "./zoom.ts";

export interface LatencyTrendProps {
  latency: Schema<"Latency">;
  name: string;
  label: string;
}

export function LatencyTrend({ latency, name, label }: LatencyTrendProps) {
  const t = useMessages();
  const zoom = useZoom();
  const { quantiles } = latency;
  const series = [
    { key: "p50", label: t.common.quantiles.p50, values: quantiles.p50 },
    { key: "p95", label: t.common.quantiles.p95, values: quantiles.p95 },
    { key: "p99", label: t.common.quantiles.p99, values: quantiles.p99 },
    { key: "avg", label: t.common.quantiles.avg, values: latency.avg },
  ].map((one, idx) => ({ ...one, color: colorAt(idx) }));
  return (
    <TimeChart name={name} label={label} labels={latency.labels} series={series}
      stepSeconds={latency.step_seconds} to={latency.range.to} kind="ms" mode="lines"
      onZoom={zoom} />
  );
}
