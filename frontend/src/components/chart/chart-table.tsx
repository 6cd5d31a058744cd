// The numbers of a chart as a table.
import { Figure } from "@/components/figure.tsx";
import { useFormats, useMessages } from "@/components/view.ts";
import type { Kind } from "@/lib/format.ts";

import { EARLIER } from "./buckets.ts";
import type { ChartSeries } from "./time-chart.tsx";
import styles from "./time-chart.module.css";

export interface ChartTableProps {
  name: string;
  label: string;
  labels: string[];
  series: ChartSeries[];
  kind: Kind;
  height: number;
}

export function ChartTable({ name, label, labels, series, kind, height }: ChartTableProps) {
  const t = useMessages();
  const formats = useFormats();
  return (
    <div
      className={styles.table}
      style={{ height }}
      role="region"
      aria-label={label}
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">{t.common.time}</th>
            {series.map((one) => (
              <th key={one.key} scope="col">
                <bdi>{one.label}</bdi>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {labels.map((start, idx) => (
            <tr key={start}>
              <th scope="row">
                {start === EARLIER ? t.common.earlier : formats.moment(start, "full")}
              </th>
              {series.map((one) => (
                <td key={one.key}>
                  <Figure
                    name={name}
                    of={`${start}/${one.key}`}
                    value={one.values[idx]}
                    kind={kind}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
