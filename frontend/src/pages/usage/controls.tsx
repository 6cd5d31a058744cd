// What the table shows: groups, filters, search, comparison, and its export.
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState, type SyntheticEvent } from "react";

import { useDraft } from "@/components/draft.ts";
import { Icon } from "@/components/icons.tsx";
import { visible } from "@/components/name.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { useAddress, useView } from "@/components/view.ts";

import { FILTERS, GROUPS, SIZES, toggled, type Ask, type Filter } from "./ask.ts";
import styles from "./usage.module.css";

export function Controls({ ask }: { ask: Ask }) {
  const { t } = useView();
  const [, change] = useAddress();
  const u = t.usage;
  const [draft, setDraft] = useDraft(ask.search, (search) => {
    change({ search, page: undefined }, true);
  });
  return (
    <div className={styles.controls}>
      <div className={styles.line}>
        <span className={styles.label}>{u.groupBy}</span>
        <Toggles
          label={u.groupBy}
          options={GROUPS.map((value) => ({ value, label: u.groups[value] }))}
          chosen={ask.groups}
          onToggle={(group) => { change(toggled(ask, group)); }}
        />
      </div>
      <div className={styles.line}>
        <TextInput
          type="search"
          label={u.search}
          placeholder={u.searchHint}
          maxLength={128}
          value={draft}
          onChange={(event) => { setDraft(event.currentTarget.value); }}
        />
        <AddFilter />
        <NativeSelect
          label={u.rows}
          value={ask.size}
          data={[...SIZES]}
          onChange={(event) => { change({ size: event.currentTarget.value, page: undefined }); }}
        />
        <label className={styles.compare}>
          <input
            type="checkbox"
            checked={ask.compares}
            onChange={(event) => {
              change({ compare: event.currentTarget.checked ? "previous" : undefined });
            }}
          />
          {u.compare}
        </label>
      </div>
      <Pills ask={ask} />
    </div>
  );
}

function AddFilter() {
  const { t } = useView();
  const [, change] = useAddress();
  const [filter, setFilter] = useState<Filter>("namespace");
  const [value, setValue] = useState("");
  const u = t.usage;
  const add = (event: SyntheticEvent) => {
    event.preventDefault();
    if (value === "") return;
    change({ [filter]: value, page: undefined });
    setValue("");
  };
  return (
    <form className={styles.add} onSubmit={add}>
      <NativeSelect
        label={u.filterBy}
        value={filter}
        data={FILTERS.map((name) => ({ value: name, label: u.groups[name] }))}
        onChange={(event) => {
          const chosen = FILTERS.find((name) => name === event.currentTarget.value);
          if (chosen !== undefined) setFilter(chosen);
        }}
      />
      <TextInput
        label={u.filterValue}
        placeholder={u.filterHint}
        inputMode={filter === "status" ? "numeric" : "text"}
        value={value}
        onChange={(event) => { setValue(event.currentTarget.value); }}
      />
      <Button type="submit" variant="default" disabled={value === ""}>
        {u.addFilter}
      </Button>
    </form>
  );
}

/** The filters that are on, each with a button that takes it off. */
function Pills({ ask }: { ask: Ask }) {
  const { t } = useView();
  const [, change] = useAddress();
  const u = t.usage;
  const active = FILTERS.filter((name) => ask.filters[name] !== undefined);
  if (active.length === 0) return null;
  return (
    <ul className={styles.pills} aria-label={u.filters}>
      {active.map((name) => {
        const value = visible(ask.filters[name] ?? "");
        return (
          <li key={name} className={styles.pill}>
            <span className={styles.pillName}>{u.groups[name]}</span>
            <bdi className={styles.pillValue} title={value}>{value}</bdi>
            <button
              type="button"
              className={styles.remove}
              aria-label={u.removeFilter(u.groups[name], value)}
              onClick={() => { change({ [name]: undefined, page: undefined }); }}
            >
              <Icon name="close" size={14} />
            </button>
          </li>
        );
      })}
      <li>
        <button
          type="button"
          className={styles.clear}
          onClick={() => {
            change({ ...Object.fromEntries(FILTERS.map((name) => [name, undefined])),
              page: undefined });
          }}
        >
          {u.clearFilters}
        </button>
      </li>
    </ul>
  );
}
