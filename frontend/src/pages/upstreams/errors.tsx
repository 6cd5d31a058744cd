// Which errors, of which upstream or model.
import { useMemo } from "react";

import { useApi, useUsage } from "@/api/queries.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Name } from "@/components/name.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { Outcomes } from "@/components/shares.tsx";
import { EmptyState, Loaded } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { useAddress, useView } from "@/components/view.ts";
import type { Num } from "@/lib/json.ts";
import { paramsOf, refreshMs } from "@/lib/range.ts";
import { sumOf } from "@/lib/sum.ts";

import { errorsOf, filtersOf, SIDES, SIZE, type Ask, type ErrorRow, type Side } from "./ask.ts";
import styles from "./upstreams.module.css";

export function Errors({ ask }: { ask: Ask }) {
  const { t, when } = useView();
  const u = t.upstreams;
  const [, change] = useAddress();
  const side = ask.errors;
  const params = { ...filtersOf(ask), group_by: `${side},status`, size: SIZE, order: "-errors" };
  const result = useUsage(when, params, { keeps: true });
  const choice = (
    <Toggles
      label={u.errorsBy}
      options={SIDES.map((value) => ({ value, label: u[value] }))}
      chosen={[side]}
      onToggle={(value) => { change({ errors: value === "upstream" ? undefined : value }); }}
    />
  );
  return (
    <Columns>
      <Panel title={u.byStatus} actions={choice} isBusy={result.isPlaceholderData}>
        <Loaded result={result} height={200}>
          {({ items, group_by: groups }) => (
            // Until the answer by the other side is there, this one is still by the first.
            <ByStatus items={items} side={groups.includes("model") ? "model" : "upstream"} />
          )}
        </Loaded>
      </Panel>
      <Panel title={u.byKind}>
        {ask.upstream !== undefined || ask.model !== undefined ? (
          <EmptyState title={u.byKindNot} text={u.kindNote} />
        ) : (
          <ByKind namespace={ask.namespace} />
        )}
      </Panel>
    </Columns>
  );
}

function ByStatus({ items, side }: { items: Schema<"UsageItem">[]; side: Side }) {
  const { t } = useView();
  const u = t.upstreams;
  const { rows, statuses } = useMemo(() => errorsOf(items, side), [items, side]);
  const columns = useMemo<Column<ErrorRow>[]>(() => {
    const figure = (row: ErrorRow, status: string, value: Num) => (
      <Figure name={`upstreams.errors.${side}`} of={JSON.stringify([row.name, status])}
        value={value} />
    );
    return [
      {
        key: "name",
        header: u[side],
        cell: ({ name }) => <Name missing={t.common.unknownName}>{name}</Name>,
      },
      {
        key: "total",
        header: t.common.total,
        isNumber: true,
        cell: (row) => (
          <Figure name={`upstreams.errors.${side}`} of={JSON.stringify([row.name])}
            value={row.total} />
        ),
      },
      ...statuses.map((status): Column<ErrorRow> => ({
        key: status,
        header: status,
        isNumber: true,
        width: 84,
        cell: (row) => {
          const value = row.counts.get(status);
          return value === undefined ? "" : figure(row, status, value);
        },
      })),
    ];
  }, [t, u, side, statuses]);
  if (rows.length === 0) return <EmptyState title={u.noErrors} />;
  return (
    <div className={styles.table}>
      <DataTable label={u.statusTable} columns={columns} rows={rows} keyOf={nameOf} />
      {statuses.some((status) => status.startsWith("2")) && (
        <p className="more">{u.statusNote}</p>
      )}
    </div>
  );
}

function nameOf({ name }: ErrorRow): string {
  return name ?? "";
}

/** How requests ended, of all namespaces or of one. */
function ByKind({ namespace }: { namespace: string | undefined }) {
  const { range, tz } = useView().when;
  const result = useApi<Schema<"StatusDistribution">>(
    "/api/metrics/namespaces/status-distribution",
    { ...paramsOf(range, tz) },
    { every: refreshMs(range) },
  );
  return (
    <Loaded result={result} height={200}>
      {({ labels, totals, requests, datasets }) => {
        if (namespace === undefined) {
          return <Outcomes name="upstreams.outcomes" {...{ labels, totals, requests }} />;
        }
        const own = datasets.find(({ label }) => label === namespace)?.data ?? [];
        const each = labels.map((label, idx): [string, Num] => [label, own[idx] ?? 0]);
        return (
          <Outcomes
            name="upstreams.outcomes"
            labels={labels}
            totals={Object.fromEntries(each)}
            requests={sumOf(...each.map(([, value]) => value))}
          />
        );
      }}
    </Loaded>
  );
}
