// How many letters are selected, and what can be done with them.
import { Button } from "@mantine/core";

import type { Letter } from "@/api/letters.ts";
import { useFormats, useMessages } from "@/components/view.ts";

import { keyOf } from "./letter.ts";
import styles from "./pipeline.module.css";

export interface SelectionProps {
  /** Those of this page that can be sent. */
  letters: Letter[];
  chosen: ReadonlyMap<string, Letter>;
  limit: number;
  onChoose: (chosen: ReadonlyMap<string, Letter>) => void;
  onSend: (letters: Letter[]) => void;
}

export function Selection({ letters, chosen, limit, onChoose, onSend }: SelectionProps) {
  const p = useMessages().pipeline;
  const { count } = useFormats();
  const keys = letters.map(keyOf);
  const areAll = keys.length > 0 && keys.every((key) => chosen.has(key));
  const areSome = keys.some((key) => chosen.has(key));
  const toggleAll = () => {
    const next = new Map(chosen);
    for (const letter of letters) {
      if (areAll) next.delete(keyOf(letter));
      else next.set(keyOf(letter), letter);
    }
    onChoose(next);
  };
  return (
    <div className={styles.selection}>
      <label className={styles.all}>
        <input
          type="checkbox"
          checked={areAll}
          disabled={letters.length === 0}
          ref={(box) => {
            if (box !== null) box.indeterminate = areSome && !areAll;
          }}
          onChange={toggleAll}
        />
        {p.selectAll(count(letters.length))}
      </label>
      <span className={styles.chosen} role="status">
        {chosen.size > 0 && p.selected(count(chosen.size))}
        {chosen.size > limit && ` · ${p.tooMany(count(limit))}`}
      </span>
      {chosen.size > 0 && (
        <>
          <Button variant="default" size="xs" onClick={() => { onChoose(new Map()); }}>
            {p.unselect}
          </Button>
          <Button
            size="xs"
            disabled={chosen.size > limit}
            onClick={() => { onSend([...chosen.values()]); }}
          >
            {p.send}
          </Button>
        </>
      )}
    </div>
  );
}
