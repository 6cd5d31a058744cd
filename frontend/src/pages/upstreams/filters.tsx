// Which upstream, model and namespace the whole page is about.
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useId, useState, type SyntheticEvent } from "react";

import { useNamespaces, useUsage } from "@/api/queries.ts";
import { visible } from "@/components/name.tsx";
import { useAddress, useView } from "@/components/view.ts";

import { isFiltered, namesOf, NO_FILTERS, optionsOf, SIZE, type Ask, type Side } from "./ask.ts";
import styles from "./upstreams.module.css";

/** Codes that are offered while one types. */
const OFFERED = 20;

export function Filters({ ask }: { ask: Ask }) {
  const { t } = useView();
  const u = t.upstreams;
  const [, change] = useAddress();
  return (
    <div className={styles.filters} role="search" aria-label={u.filters}>
      <Choice ask={ask} side="upstream" />
      <Choice ask={ask} side="model" />
      <Namespace
        key={ask.namespace ?? ""}
        value={ask.namespace ?? ""}
        onSet={(namespace) => { change({ namespace }); }}
      />
      {isFiltered(ask) && (
        <Button variant="subtle" onClick={() => { change(NO_FILTERS); }}>
          {u.clear}
        </Button>
      )}
    </div>
  );
}

/** One of the names that were counted in this range, whatever else is filtered by. */
function Choice({ ask, side }: { ask: Ask; side: Side }) {
  const { t, when } = useView();
  const [, change] = useAddress();
  const params = { size: SIZE, order: "-requests", group_by: side };
  const known = useUsage(when, params).data?.data.items ?? [];
  const options = optionsOf(namesOf(known, side), ask[side]).map((name) => {
    const text = Array.from(visible(name));
    const label = text.length > 60 ? `${text.slice(0, 60).join("")}…` : text.join("");
    return { value: name, label };
  });
  return (
    <NativeSelect
      className={styles.choice ?? ""}
      label={t.upstreams[side]}
      value={ask[side] ?? ""}
      data={[{ value: "", label: t.upstreams.any }, ...options]}
      onChange={(event) => { change({ [side]: event.currentTarget.value }); }}
    />
  );
}

/** A code, taken once it is whole: with Enter, on leaving, or if one of the list is chosen. */
function Namespace({ value, onSet }: { value: string; onSet: (code: string) => void }) {
  const { t } = useView();
  const u = t.upstreams;
  const list = useId();
  const [code, setCode] = useState(value);
  const [isUsed, setIsUsed] = useState(false);
  const asked = { keyword: code, size: OFFERED, page: 1 };
  const found = useNamespaces(asked, { when: isUsed, keeps: true }).data?.data.items ?? [];
  const commit = () => {
    if (code.trim() !== value) onSet(code.trim());
  };
  return (
    <form
      onSubmit={(event: SyntheticEvent) => {
        event.preventDefault();
        commit();
      }}
    >
      <TextInput
        className={styles.choice ?? ""}
        label={u.namespace}
        placeholder={u.namespaceHint}
        value={code}
        list={list}
        autoComplete="off"
        spellCheck={false}
        onFocus={() => { setIsUsed(true); }}
        onBlur={commit}
        onChange={(event) => {
          const text = event.currentTarget.value;
          setCode(text);
          // A choice from the list comes without a key; typing never ends by itself.
          const { inputType } = event.nativeEvent as { inputType?: string };
          const isChosen = inputType === "insertReplacementText" || inputType === undefined;
          if (isChosen && found.some((one) => one.code === text)) onSet(text);
        }}
      />
      <datalist id={list}>
        {found.map((one) => (
          <option key={one.code} value={one.code}>{visible(one.name)}</option>
        ))}
      </datalist>
    </form>
  );
}
