// A table of upstreams or of models.
import { useMemo } from "react";

import type { Params } from "@/api/http.ts";
import { useQuantiles } from "@/api/latency.ts";
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Name, visible } from "@/components/name.tsx";
import { Panel } from "@/components/panel.tsx";
import { EmptyState, Loaded, useErrorText } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { useAddress, useView, type Formats } from "@/components/view.ts";
import { NONE, type Kind } from "@/lib/format.ts";
import type { Messages } from "@/lib/i18n.ts";
import { sumOf } from "@/lib/sum.ts";

import { isFiltered, shareOf, type Ask, type Side } from "./ask.ts";
import styles from "./upstreams.module.css";

type Item = Schema<"UsageItem">;
type Sums = Schema<"UsageSums">;

export interface SidesProps {
  ask: Ask;
  side: Side;
  result: Result<Schema<"Usage">>;
}

export function Sides({ ask, side, result }: SidesProps) {
  const { t } = useView();
  const u = t.upstreams;
  return (
    <Panel title={side === "upstream" ? u.upstreams : u.models} isBusy={result.isPlaceholderData}>
      <Loaded result={result} height={220}>
        {(data) =>
          data.items.length === 0 ? (
            <EmptyState
              title={isFiltered(ask) ? u.emptyFiltered : u.empty}
              text={isFiltered(ask) ? undefined : t.common.noDataText}
            />
          ) : (
            <Table ask={ask} side={side} data={data} />
          )
        }
      </Loaded>
    </Panel>
  );
}

function Table({ ask, side, data }: { ask: Ask; side: Side; data: Schema<"Usage"> }) {
  const { t, formats } = useView();
  const u = t.upstreams;
  const [, change] = useAddress();
  const { totals } = data;
  const { upstream, model, namespace } = ask;
  const columns = useMemo(() => {
    const onOnly = (name: string) => { change({ [side]: name }); };
    const filters = { upstream, model, namespace };
    return columnsOf({ t, formats, side, totals, filters, onOnly });
  }, [t, formats, side, totals, change, upstream, model, namespace]);
  return (
    <div className={styles.table}>
      <DataTable
        label={side === "upstream" ? u.upstreamsTable : u.modelsTable}
        columns={columns}
        rows={data.items}
        keyOf={side === "upstream" ? upstreamOf : modelOf}
        total={Number(data.total)}
        hasTotal
      />
      {Number(data.total) > data.items.length && (
        <p className="more">
          {t.common.more(formats.count(Number(data.total) - data.items.length))}
        </p>
      )}
    </div>
  );
}

function upstreamOf({ upstream }: Item): string {
  return upstream ?? "";
}

function modelOf({ model }: Item): string {
  return model ?? "";
}

/** Asked for by a row once it is in the document, so that every row that is seen has it. */
function P95({ side, name, filters }: { side: Side; name: string; filters: Params }) {
  const { t, when } = useView();
  const textOf = useErrorText();
  const { data, error } = useQuantiles(when, side, name, filters);
  if (data !== undefined) {
    const { p95 } = data.data.totals.quantiles;
    return <Figure name={`upstreams.${side}.p95`} of={name} value={p95} kind="ms" />;
  }
  if (error === null) return <span className={styles.wait} aria-busy>…</span>;
  return <span className={styles.failed} title={textOf(error)}>{t.upstreams.p95Failed}</span>;
}

interface ColumnsOptions {
  t: Messages;
  formats: Formats;
  side: Side;
  totals: Sums;
  filters: Params;
  onOnly: (name: string) => void;
}

function columnsOf(options: ColumnsOptions): Column<Item>[] {
  const { t, formats, side, totals, filters, onOnly } = options;
  const { common: c, upstreams: u } = t;
  const page = `upstreams.${side}`;
  const of = side === "upstream" ? upstreamOf : modelOf;
  const number = (
    key: string, header: string, kind: Kind, value: (sums: Sums) => Sums[keyof Sums], hint?: string,
  ): Column<Item> => ({
    key,
    header,
    ...(hint === undefined ? {} : { hint }),
    isNumber: true,
    cell: (item) => (
      <Figure name={`${page}.${key}`} of={of(item)} value={value(item)} kind={kind} />
    ),
    total: <Figure name={`${page}.totals.${key}`} value={value(totals)} kind={kind} />,
  });
  const share: Column<Item> = {
    key: "share",
    header: u.share,
    hint: u.shareHint,
    isNumber: true,
    cell: ({ requests }) => {
      const part = shareOf(requests, totals.requests) ?? 0;
      return (
        <span className={styles.share}>
          {formats.show(part, "percent")}
          <span className={styles.track} aria-hidden>
            <span className={styles.part} style={{ width: `${part * 100}%` }} />
          </span>
        </span>
      );
    },
    total: "",
  };
  const rate = ({ errors, requests }: Sums) => formats.show(shareOf(errors, requests), "percent");
  const p95: Column<Item> = {
    key: "p95",
    header: u.p95,
    hint: u.p95Hint,
    isNumber: true,
    cell: (item) => {
      const name = item[side];
      // The API has no filter for those without a name.
      if (name == null) return <span title={u.p95None}>{NONE}</span>;
      return <P95 side={side} name={name} filters={filters} />;
    },
    total: "",
  };
  return [
    {
      key: side,
      header: u[side],
      cell: (item) => {
        const name = item[side];
        if (name == null) return <Name missing={c.unknownName}>{null}</Name>;
        return (
          <button
            type="button"
            className={styles.only}
            aria-label={u.only(visible(name))}
            onClick={() => { onOnly(name); }}
          >
            <Name>{name}</Name>
          </button>
        );
      },
      total: u.total,
    },
    number("requests", c.requests, "count", ({ requests }) => requests),
    share,
    number("errors", c.errors, "count", ({ errors }) => errors),
    { key: "rate", header: u.errorRate, isNumber: true, cell: rate, total: rate(totals) },
    number("mean", u.meanShort, "ms", ({ avg_response_time_ms: mean }) => mean, c.mean),
    p95,
    number("input", c.input, "count", ({ input }) => input),
    number("output", c.output, "count", ({ output }) => output),
    {
      key: "tokens",
      header: c.tokens,
      isNumber: true,
      cell: (item) => (
        <Figure name={`${page}.tokens`} of={of(item)} value={sumOf(item.input, item.output)} />
      ),
      total: <Figure name={`${page}.totals.tokens`} value={sumOf(totals.input, totals.output)} />,
    },
  ];
}
