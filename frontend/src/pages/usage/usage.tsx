// The table that one charges by: requests, tokens and cost by any groups that the API can give.
import { Button } from "@mantine/core";
import { useMemo } from "react";

import type { ApiError } from "@/api/http.ts";
import { useUsage } from "@/api/queries.ts";
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { Covered } from "@/components/covered.tsx";
import { Figure } from "@/components/figure.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { Pager } from "@/components/pager.tsx";
import { Panel } from "@/components/panel.tsx";
import { EmptyState, ErrorState, Freshness, Loading } from "@/components/states.tsx";
import { DataTable } from "@/components/table.tsx";
import { RangePicker, ZonePicker } from "@/components/toolbar.tsx";
import { useAddress, useFormats, useView } from "@/components/view.ts";
import { paramsOf as rangeParamsOf } from "@/lib/range.ts";

import { askOf, FILTERS, paramsOf, type Ask } from "./ask.ts";
import { columnsOf, keyOf } from "./columns.tsx";
import { Controls } from "./controls.tsx";
import { Export } from "./export.tsx";
import styles from "./usage.module.css";

export default function Usage() {
  const { t, when, range, tz } = useView();
  const [address] = useAddress();
  const ask = askOf(address);
  const params = paramsOf(ask);
  const paged = { ...params, page: ask.page, size: ask.size };
  const result = useUsage(when, paged);
  const data = result.data?.data;
  const fileName = `gatemeter-usage-${"name" in range ? range.name : "range"}`;
  const exporting = { ...params, ...rangeParamsOf(range, tz) };
  return (
    <Page>
      <PageHead
        title={t.usage.title}
        windowTitle={t.usage.title}
        note={data && <Covered range={data.range} asOf={data.as_of} page="usage" />}
        tools={<><RangePicker /><ZonePicker /></>}
      />
      <Freshness result={result} time={data?.as_of.time} />
      <Panel title={t.usage.settings} actions={<Export params={exporting} fileName={fileName} />}>
        <Controls ask={ask} />
      </Panel>
      <Shown ask={ask} result={result} />
    </Page>
  );
}

/** The table, or why there is none. */
function Shown({ ask, result }: { ask: Ask; result: Result<Schema<"Usage">> }) {
  const { error } = result;
  const isRefused = error !== null && error.status >= 400 && error.status < 500;
  if (isRefused) return <Refused ask={ask} error={error} />;
  const data = result.data?.data;
  if (data !== undefined) return <Table ask={ask} data={data} isBusy={result.isPlaceholderData} />;
  if (error !== null) return <ErrorState error={error} onRetry={result.refetch} />;
  return <Loading height={420} />;
}

function Table({ ask, data, isBusy }: { ask: Ask; data: Schema<"Usage">; isBusy: boolean }) {
  const { t } = useView();
  const formats = useFormats();
  const [, change] = useAddress();
  const u = t.usage;
  const columns = useMemo(() => {
    const onFilter = (filter: string, value: string) => {
      change({ [filter]: value, page: undefined });
    };
    // An answer from before comparison was asked for has nothing to compare with.
    const compares = data.totals.previous != null;
    return columnsOf({ t, formats, data, compares, onFilter });
  }, [t, formats, data, change]);
  const isFiltered = ask.search !== "" || Object.keys(ask.filters).length > 0;
  if (data.items.length === 0) {
    return (
      <EmptyState
        title={isFiltered ? u.emptyFiltered : u.empty}
        text={isFiltered ? undefined : t.common.noDataText}
      />
    );
  }
  const [page, pages, size] = [Number(data.page), Number(data.pages), Number(data.size)];
  const total = Number(data.total);
  const before = data.previous_range;
  const time = (text: string | null) => (text === null ? "…" : formats.moment(text, "full"));
  return (
    <>
      <div className={styles.summary}>
        <span>
          <Figure name="usage.total" value={data.total} />{" "}
          {u.groupsUnit(total === 1)}
        </span>
        {before != null && <span>{u.previousRange(time(before.from), time(before.to))}</span>}
        {data.totals.errors === null && <span>{u.consumerNote}</span>}
        {data.totals.cost_usd === null && <span>{u.costNote}</span>}
        {data.kept_since !== null && <span>{u.keptSince(time(data.kept_since))}</span>}
      </div>
      <DataTable
        label={u.table}
        columns={columns}
        rows={data.items}
        keyOf={(item) => keyOf(item, data.group_by)}
        sort={ask.order}
        onSort={(order) => { change({ order, page: undefined }); }}
        hasTotal
        isBusy={isBusy}
        offset={(page - 1) * size}
        total={total}
      />
      <Pager {...{ page, pages, size, total }} onPage={(next) => { change({ page: next }); }} />
    </>
  );
}

/** The API does not give this view: its own words, and what to change. */
function Refused({ ask, error }: { ask: Ask; error: ApiError }) {
  const { t } = useView();
  const [, change] = useAddress();
  const u = t.usage;
  const noFilters = Object.fromEntries(FILTERS.map((name) => [name, undefined]));
  const groups = ask.groups.filter((group) => group !== "consumer");
  const fixes = [
    { is: ask.compares, label: u.withoutCompare, patch: { compare: undefined } },
    {
      is: ask.groups.includes("consumer") && groups.length > 0,
      label: u.withoutConsumer,
      patch: { group: groups.join(",") },
    },
    { is: Object.keys(ask.filters).length > 0, label: u.clearFilters, patch: noFilters },
    { is: ask.order !== "-tokens", label: u.withoutSort, patch: { order: undefined } },
  ].filter(({ is }) => is);
  const buttons = (
    <div className={styles.fixes}>
      {fixes.map(({ label, patch }) => (
        <Button key={label} variant="default" size="xs"
          onClick={() => { change({ ...patch, page: undefined }); }}>
          {label}
        </Button>
      ))}
    </div>
  );
  return (
    <div role="alert">
      <EmptyState title={u.refused} text={<bdi>{error.message}</bdi>} action={buttons} />
    </div>
  );
}
