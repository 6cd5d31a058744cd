// What the list of dead letters is filtered by. All of it is in the address.
import { Button, NativeSelect, TextInput } from "@mantine/core";

import { useDraft } from "@/components/draft.ts";
import { Icon } from "@/components/icons.tsx";
import { visible } from "@/components/name.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { useAddress, useView } from "@/components/view.ts";
import { isoOf } from "@/lib/range.ts";
import { instantOf, wallOf } from "@/lib/zone.ts";

import { classesOf, isFiltered, NO_FILTERS, SOURCES, type Ask } from "./ask.ts";
import styles from "./pipeline.module.css";

const ANY = "any";

export function Filters({ ask }: { ask: Ask }) {
  const { t } = useView();
  const p = t.pipeline;
  const [, change] = useAddress();
  const set = (patch: Partial<Record<keyof Ask, string | undefined>>) => {
    change({ ...patch, page: undefined }, true);
  };
  const [topic, setTopic] = useDraft(ask.topic ?? "", (text) => { set({ topic: text }); });
  const [partition, setPartition] = useDraft(ask.partition ?? "", (text) => {
    set({ partition: text });
  });
  const options = [
    { value: ANY, label: p.anySource },
    ...SOURCES.map((value) => ({ value, label: p.sources[value] })),
  ];
  const classes = classesOf(ask).map((value) => ({
    value,
    label: visible(p.classes[value] ?? value),
  }));
  return (
    <div className={styles.filters} role="search" aria-label={p.filters}>
      <div className={styles.source}>
        <span className={styles.label} aria-hidden>{p.source}</span>
        <Toggles
          label={p.source}
          options={options}
          chosen={[ask.source ?? ANY]}
          onToggle={(value) => {
            set({ source: value === ANY ? undefined : value, class: undefined });
          }}
        />
      </div>
      <NativeSelect
        className={styles.kind ?? ""}
        label={p.class}
        value={ask.class ?? ""}
        data={[{ value: "", label: p.anyClass }, ...classes]}
        onChange={(event) => { set({ class: event.currentTarget.value }); }}
      />
      <TextInput
        className={styles.narrow ?? ""}
        label={p.partition}
        inputMode="numeric"
        autoComplete="off"
        value={partition}
        onChange={(event) => { setPartition(event.currentTarget.value.replaceAll(/\D/g, "")); }}
      />
      <TextInput
        className={styles.topic ?? ""}
        label={p.topic}
        placeholder={p.topicHint}
        autoComplete="off"
        value={topic}
        onChange={(event) => { setTopic(event.currentTarget.value); }}
      />
      <Time label={p.storedFrom} value={ask.from} onSet={(from) => { set({ from }); }} />
      <Time label={p.storedTo} value={ask.to} onSet={(to) => { set({ to }); }} />
      {ask.reason !== undefined && (
        <span className={styles.pill}>
          <span>{p.reason}</span>
          <bdi className={styles.pillValue} title={visible(ask.reason)}>{visible(ask.reason)}</bdi>
          <button
            type="button"
            className={styles.remove}
            aria-label={p.removeReason}
            title={p.removeReason}
            onClick={() => { set({ reason: undefined }); }}
          >
            <Icon name="close" size={14} />
          </button>
        </span>
      )}
      {isFiltered(ask) && (
        <Button variant="subtle" onClick={() => { change({ ...NO_FILTERS }); }}>
          {p.clear}
        </Button>
      )}
    </div>
  );
}

interface TimeProps {
  label: string;
  value: string | undefined;
  onSet: (value: string | undefined) => void;
}

/** A point in time as walls in the zone show it. */
function Time({ label, value, onSet }: TimeProps) {
  const { zone } = useView();
  const ms = value === undefined ? NaN : Date.parse(value);
  const [wall, setWall] = useDraft(Number.isNaN(ms) ? "" : wallOf(ms, zone), (text) => {
    const instant = instantOf(text, zone);
    onSet(Number.isNaN(instant) ? undefined : isoOf(instant));
  });
  return (
    <TextInput
      className={styles.time ?? ""}
      type="datetime-local"
      label={label}
      value={wall}
      onChange={(event) => { setWall(event.currentTarget.value); }}
    />
  );
}
