// The groups with the most tokens, each with its change since the period before.
import type { Result } from "@/api/queries.ts";
import type { Schema } from "@/api/types.ts";
import { BarList } from "@/components/bar-list.tsx";
import { Delta } from "@/components/card.tsx";
import { Name } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import { Panel } from "@/components/panel.tsx";
import { EmptyState, Loaded } from "@/components/states.tsx";
import { useFormats, useMessages } from "@/components/view.ts";
import { sumOf } from "@/lib/sum.ts";

export type TopGroup = "namespace" | "model" | "upstream";

export interface TopListProps {
  group: TopGroup;
  title: string;
  result: Result<Schema<"Usage">>;
}

export function TopList({ group, title, result }: TopListProps) {
  const t = useMessages();
  const { count } = useFormats();
  const all = (
    <PageLink to="/usage" search={{ group }}>
      {t.overview.seeAll}
    </PageLink>
  );
  return (
    <Panel title={title} note={t.overview.byTokens} actions={all}>
      <Loaded result={result} height={240}>
        {({ items, total }) => {
          const used = items.filter((item) => Number(sumOf(item.input, item.output)) > 0);
          if (used.length === 0) {
            return <EmptyState title={t.common.noData} text={t.common.noDataText} />;
          }
          const bars = used.map((item) => {
            const name = item[group] ?? null;
            const value = sumOf(item.input, item.output);
            const before = item.previous;
            return {
              key: name ?? "",
              value,
              label: group === "namespace" && name !== null
                ? <PageLink to={namespacePath(name)}><Name>{name}</Name></PageLink>
                : <Name missing={t.common.unknownName}>{name}</Name>,
              ...(before == null ? {} : {
                note: (
                  <Delta name={`overview.${group}.previous`} of={name ?? ""} kind="count" isShort
                    value={value} previous={sumOf(before.input, before.output)} />
                ),
              }),
            };
          });
          const more = Number(total) - items.length;
          return (
            <>
              <BarList name={`overview.${group}.tokens`} label={title} items={bars} />
              {more > 0 && <p className="more">{t.overview.more(count(more))}</p>}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}
