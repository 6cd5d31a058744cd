// Why events were not counted: letters by source, class and reason.
import { useLetters } from "@/api/letters.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Name, visible } from "@/components/name.tsx";
import { Panel } from "@/components/panel.tsx";
import { EmptyState, Loaded } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { useAddress, useFormats, useMessages } from "@/components/view.ts";

import { askOf, groupsOf } from "./ask.ts";
import { groupKeyOf } from "./letter.ts";
import styles from "./pipeline.module.css";

type Group = Schema<"DeadLetterGroup">;

/** Groups that the API gives at most. */
const GROUPS_MAX = 200;

export function Groups() {
  const p = useMessages().pipeline;
  const { count } = useFormats();
  const [address, change] = useAddress();
  const ask = askOf(address);
  const result = useLetters(groupsOf(ask));
  const columns = useColumns((group) => {
    const { source, class: kind, reason } = group;
    change({ source, class: kind, reason, topic: undefined, partition: undefined,
      page: undefined });
  });
  return (
    <Panel title={p.groups} note={p.groupsNote} isBusy={result.isPlaceholderData}>
      <Loaded result={result} height={180}>
        {({ groups }) => {
          if (groups.length === 0) return <EmptyState title={p.empty} text={p.emptyText} />;
          return (
            <div className={styles.short}>
              <DataTable label={p.groupsTable} columns={columns} rows={groups} keyOf={groupKeyOf} />
              {groups.length >= GROUPS_MAX && (
                <p className="more">{p.groupsCut(count(GROUPS_MAX))}</p>
              )}
            </div>
          );
        }}
      </Loaded>
    </Panel>
  );
}

function useColumns(onOnly: (group: Group) => void): Column<Group>[] {
  const p = useMessages().pipeline;
  const figure = (field: "letters" | "events") => (group: Group) => (
    <Figure name={`pipeline.groups.${field}`} of={groupKeyOf(group)} value={group[field]} />
  );
  return [
    {
      key: "reason",
      header: p.reason,
      cell: (group) => (
        <button
          type="button"
          className={styles.only}
          aria-label={p.only(visible(group.reason))}
          onClick={() => { onOnly(group); }}
        >
          <Name>{group.reason}</Name>
        </button>
      ),
    },
    {
      key: "class",
      header: p.class,
      cell: ({ class: kind }) => <Name>{p.classes[kind] ?? kind}</Name>,
    },
    { key: "source", header: p.source, cell: ({ source }) => p.sources[source] },
    { key: "letters", header: p.lettersCount, isNumber: true, cell: figure("letters") },
    { key: "events", header: p.events, isNumber: true, cell: figure("events") },
  ];
}
