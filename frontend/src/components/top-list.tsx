// The groups with the most tokens, each with its change since the period before.
import type { Result } from "@/api/result.ts";
import type { Schema } from "@/api/types.ts";
import { sumOf } from "@/lib/sum.ts";

import { BarList } from "./bar-list.tsx";
import { Delta } from "./card.tsx";
import { Name } from "./name.tsx";
import { namespacePath, PageLink } from "./page-link.tsx";
import { Panel } from "./panel.tsx";
import { EmptyState, Loaded } from "./states.tsx";
import { useFormats, useMessages, type Patch } from "./view.ts";

export type TopGroup = "namespace" | "model" | "upstream" | "consumer";

export interface TopListProps {
  group: TopGroup;
  title: string;
  /** Page, for the names of the figures. */
  page: string;
  /** What the page of usage is filtered by. */
  filter?: Patch;
  result: Result<Schema<"Usage">>;
}

/** Where a name leads: to its page, or to the usage of it alone. */
function linkOf(group: TopGroup, name: string, filter: Patch) {
  if (group === "namespace") return { to: namespacePath(name) };
  const by = group === "consumer" ? "model" : "namespace";
  return { to: "/usage", search: { group: by, [group]: name, ...filter } };
}

export function TopList({ group, title, page, filter = {}, result }: TopListProps) {
  const t = useMessages();
  const { count } = useFormats();
  const missing = group === "consumer" ? t.common.noConsumer : t.common.unknownName;
  const all = (
    <PageLink to="/usage" search={{ group, ...filter }}>
      {t.common.seeAll}
    </PageLink>
  );
  return (
    <Panel title={title} note={t.common.byTokens} actions={all} isBusy={result.isPlaceholderData}>
      <Loaded result={result} height={240}>
        {({ items, total, totals }) => {
          const used = items.filter((item) => Number(sumOf(item.input, item.output)) > 0);
          if (used.length === 0) {
            return <EmptyState title={t.common.noData} text={t.common.noDataText} />;
          }
          // Where there is nothing to compare with, every line would say so.
          const compares = totals.previous != null && Number(totals.previous.requests) > 0;
          const bars = used.map((item) => {
            const name = item[group] ?? null;
            const value = sumOf(item.input, item.output);
            const before = item.previous;
            return {
              key: name ?? "",
              value,
              label: name === null
                ? <Name missing={missing}>{null}</Name>
                : <PageLink {...linkOf(group, name, filter)}><Name>{name}</Name></PageLink>,
              ...(before == null || !compares ? {} : {
                note: (
                  <Delta name={`${page}.${group}.previous`} of={name ?? ""} kind="count" isShort
                    value={value} previous={sumOf(before.input, before.output)} />
                ),
              }),
            };
          });
          const more = Number(total) - items.length;
          return (
            <>
              <BarList name={`${page}.${group}.tokens`} label={title} items={bars} />
              {more > 0 && <p className="more">{t.common.more(count(more))}</p>}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}
