// A state in a word, with a dot beside it: never told by colour alone.
import type { ReactNode } from "react";

import styles from "./state-pill.module.css";

export type Mood = "good" | "bad" | "warn" | "quiet";

export function StatePill({ mood, children }: { mood: Mood; children: ReactNode }) {
  return (
    <span className={styles.pill} data-mood={mood}>
      <i className={styles.dot} aria-hidden />
      {children}
    </span>
  );
}
