// How far counting has come in each partition, and whether what it needs is there.
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Name } from "@/components/name.tsx";
import { StatePill } from "@/components/state-pill.tsx";
import { EmptyState } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { useMessages } from "@/components/view.ts";

import styles from "./pipeline.module.css";

type Partition = Schema<"PartitionLag">;

export function Partitions({ partitions }: { partitions: Partition[] }) {
  const p = useMessages().pipeline;
  if (partitions.length === 0) return <EmptyState title={p.noPartitions} />;
  const key = ({ partition }: Partition) => String(partition);
  const columns: Column<Partition>[] = [
    { key: "partition", header: p.partition, cell: key },
    {
      key: "frames",
      header: p.frames,
      hint: p.framesHint,
      isNumber: true,
      cell: (row) => <Figure name="pipeline.lag.frames" of={key(row)} value={row.frames} />,
    },
    {
      key: "age",
      header: p.commitAge,
      hint: p.commitAgeHint,
      isNumber: true,
      cell: (row) => (
        <Figure name="pipeline.lag.commitAge" of={key(row)} value={row.commit_age_ms} kind="ms" />
      ),
    },
    {
      key: "state",
      header: p.partitionState,
      cell: ({ halted }) =>
        halted === null ? (
          <StatePill mood="good">{p.counting}</StatePill>
        ) : (
          <StatePill mood="bad">{p.halted}</StatePill>
        ),
    },
  ];
  return (
    <div className={styles.short}>
      <DataTable label={p.partitionsTable} columns={columns} rows={partitions} keyOf={key} />
      <Halts partitions={partitions} />
    </div>
  );
}

/** Where counting has stopped, and why, in full. */
function Halts({ partitions }: { partitions: Partition[] }) {
  const p = useMessages().pipeline;
  const halts = partitions.filter(({ halted }) => halted !== null);
  if (halts.length === 0) return null;
  return (
    <div role="alert">
      <ul className={styles.halts}>
        {halts.map(({ partition, halted }) => (
          <li key={String(partition)}>
            {p.partition} {partition}: <Name wraps>{halted}</Name>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Dependencies({ dependencies }: { dependencies: Schema<"Dependency">[] }) {
  const p = useMessages().pipeline;
  if (dependencies.length === 0) return <EmptyState title={p.noDependencies} />;
  return (
    <ul className={styles.dependencies}>
      {dependencies.map(({ name, status, reason }) => {
        const isUp = status === "up";
        return (
          <li key={name}>
            <Name>{p.dependencyNames[name] ?? name}</Name>
            <StatePill mood={isUp ? "good" : "bad"}>{isUp ? p.up : p.down}</StatePill>
            {reason !== null && (
              <span className={styles.fault}>
                <Name wraps>{reason}</Name>
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}
