// The largest of something, each with a bar for its share.
import type { ReactNode } from "react";

import type { Kind } from "@/lib/format.ts";
import type { Num } from "@/lib/json.ts";

import styles from "./bar-list.module.css";
import { colorVar, type SeriesColor } from "./chart/palette.ts";
import { Figure } from "./figure.tsx";

export interface BarItem {
  key: string;
  label: ReactNode;
  value: Num;
  color?: SeriesColor;
  /** Beside the number. */
  note?: ReactNode;
}

export interface BarListProps {
  /** Name of the figures. */
  name: string;
  label: string;
  items: BarItem[];
  kind?: Kind;
  /** What the longest bar would be; without it that of the largest item. */
  whole?: number;
}

export function BarList({ name, label, items, kind = "count", whole }: BarListProps) {
  const longest = whole ?? Math.max(...items.map(({ value }) => Number(value)), 0);
  return (
    <ul className={styles.list} aria-label={label}>
      {items.map(({ key, label: text, value, color = 1, note }) => {
        const share = longest > 0 ? Number(value) / longest : 0;
        const width = share > 0 ? `max(2px, ${share * 100}%)` : 0;
        return (
          <li key={key} className={styles.item}>
            <span className={styles.label}>{text}</span>
            <span className={styles.value}>
              <Figure name={name} of={key} value={value} kind={kind} />
              {note !== undefined && <span className={styles.note}>{note}</span>}
            </span>
            <span className={styles.track} aria-hidden>
              <span
                className={styles.bar}
                style={{ width, background: colorVar(color) }}
              />
            </span>
          </li>
        );
      })}
    </ul>
  );
}
