// The numbers of a heat map as a table: a row for each bucket of time.
import { useMemo } from "react";

import { rowsOf } from "@/lib/heat.ts";
import type { Num } from "@/lib/json.ts";

import { EARLIER } from "./chart/buckets.ts";
import { Figure } from "./figure.tsx";
import type { HeatMapProps } from "./heat-map.tsx";
import { DataTable, type Column } from "./table.tsx";
import { useFormats, useMessages } from "./view.ts";

interface Row {
  start: string;
  counts: Num[];
}

/** A bound as in data-key. */
function keyOf(bound: Num | null): string {
  return bound === null ? "inf" : String(bound);
}

function startOf({ start }: Row): string {
  return start;
}

export function HeatTable({ name, label, labels, bounds, counts }: HeatMapProps) {
  const t = useMessages();
  const formats = useFormats();
  const u = t.upstreams;
  const columns = useMemo<Column<Row>[]>(() => {
    const shown = rowsOf(counts) ?? { first: 0, last: bounds.length - 1 };
    const time: Column<Row> = {
      key: "time",
      header: t.common.time,
      cell: ({ start }) =>
        start === EARLIER ? t.common.earlier : formats.moment(start, "full"),
    };
    const numbers = bounds.slice(shown.first, shown.last + 1).map((bound, at): Column<Row> => {
      const idx = shown.first + at;
      const low = formats.show(bounds[idx - 1] ?? 0, "ms");
      return {
        key: keyOf(bound),
        header: bound === null ? `> ${low}` : `≤ ${formats.show(bound, "ms")}`,
        hint: bound === null ? u.above(low) : u.between(low, formats.show(bound, "ms")),
        isNumber: true,
        width: 92,
        cell: (row) => (
          <Figure name={name} of={`${row.start}/${keyOf(bound)}`} value={row.counts[idx]} />
        ),
      };
    });
    return [time, ...numbers];
  }, [name, bounds, counts, formats, t, u]);
  const rows = labels.map((start, idx): Row => ({ start, counts: counts[idx] ?? [] }));
  return <DataTable label={label} columns={columns} rows={rows} keyOf={startOf} />;
}
