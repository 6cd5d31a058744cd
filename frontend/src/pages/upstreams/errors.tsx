// Which errors, of which upstream or model.
import { useMemo } from "react";

import { useApi, useUsage } from "@/api/queries.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Name } from "@/components/name.tsx";
import { Panel } from "@/components/panel.tsx";
import { Outcomes } from "@/components/shares.tsx";
import { EmptyState, Loaded } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { useAddress, useView } from "@/components/view.ts";
import type { Num } from "@/lib/json.ts";
import { paramsOf, refreshMs } from "@/lib/range.ts";

import {
  CAUSES, errorsOf, filtersOf, isFiltered, SIDES, SIZE, type Ask, type Cause, type ErrorRow,
  type Side,
} from "./ask.ts";
import styles from "./upstreams.module.css";

export function Errors({ ask }: { ask: Ask }) {
  const { t, when } = useView();
  const u = t.upstreams;
  const [, change] = useAddress();
  const { errors: side, cause } = ask;
  const params = { ...filtersOf(ask), group_by: `${side},${cause}`, size: SIZE, order: "-errors" };
  const result = useUsage(when, params);
  const choice = (
    <>
      <Toggles
        label={u.causes}
        options={CAUSES.map((value) => ({ value, label: u[value] }))}
        chosen={[cause]}
        onToggle={(value) => { change({ cause: value === "outcome" ? undefined : value }); }}
      />
      <Toggles
        label={u.errorsBy}
        options={SIDES.map((value) => ({ value, label: u[value] }))}
        chosen={[side]}
        onToggle={(value) => { change({ errors: value === "upstream" ? undefined : value }); }}
      />
    </>
  );
  return (
    <>
      <Panel title={u.errors} actions={choice} isBusy={result.isPlaceholderData}>
        <Loaded result={result} height={200}>
          {({ items, group_by: groups }) => (
            // Until the answer to another choice is there, this one is still by the first.
            <ByCause
              items={items}
              side={groups.includes("model") ? "model" : "upstream"}
              cause={groups.includes("status") ? "status" : "outcome"}
            />
          )}
        </Loaded>
      </Panel>
      <Panel title={u.byKind}>
        {isFiltered(ask) ? <OfSome ask={ask} /> : <OfAll />}
      </Panel>
    </>
  );
}

interface ByCauseProps {
  items: Schema<"UsageItem">[];
  side: Side;
  cause: Cause;
}

function ByCause({ items, side, cause }: ByCauseProps) {
  const { t } = useView();
  const u = t.upstreams;
  const { rows, causes } = useMemo(() => errorsOf(items, side, cause), [items, side, cause]);
  const columns = useMemo<Column<ErrorRow>[]>(() => {
    const figure = (row: ErrorRow, why: string, value: Num) => (
      <Figure name={`upstreams.errors.${side}`} of={JSON.stringify([row.name, why])}
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
      ...causes.map((why): Column<ErrorRow> => ({
        key: why,
        header: cause === "outcome" ? (t.common.outcomes[why] ?? why) : why,
        isNumber: true,
        width: cause === "outcome" ? 104 : 84,
        cell: (row) => {
          const value = row.counts.get(why);
          return value === undefined ? "" : figure(row, why, value);
        },
      })),
    ];
  }, [t, u, side, cause, causes]);
  if (rows.length === 0) return <EmptyState title={u.noErrors} />;
  return (
    <div className={styles.table}>
      <DataTable label={u.errorsTable} columns={columns} rows={rows} keyOf={nameOf} />
      {cause === "status" && causes.some((status) => status.startsWith("2")) && (
        <p className="more">{u.statusNote}</p>
      )}
    </div>
  );
}

function nameOf({ name }: ErrorRow): string {
  return name ?? "";
}

/** How requests ended, of all namespaces. */
function OfAll() {
  const { range, tz } = useView().when;
  const result = useApi<Schema<"StatusDistribution">>(
    "/api/metrics/namespaces/status-distribution",
    { ...paramsOf(range, tz) },
    { every: refreshMs(range) },
  );
  return (
    <Loaded result={result} height={200}>
      {({ labels, totals, requests }) => (
        <Outcomes name="upstreams.outcomes" {...{ labels, totals, requests }} />
      )}
    </Loaded>
  );
}

/** How requests ended that the filters let pass. */
function OfSome({ ask }: { ask: Ask }) {
  const { when } = useView();
  const params = { ...filtersOf(ask), group_by: "outcome", size: SIZE };
  const result = useUsage(when, params);
  return (
    <Loaded result={result} height={200}>
      {({ items, totals: { requests } }) => {
        const each = items.map((item): [string, Num] => [item.outcome ?? "", item.requests]);
        const labels = ["success", ...each.map(([label]) => label)];
        return (
          <Outcomes
            name="upstreams.outcomes"
            labels={[...new Set(labels)]}
            totals={Object.fromEntries(each)}
            requests={requests}
          />
        );
      }}
    </Loaded>
  );
}
