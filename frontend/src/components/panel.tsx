// A part of a page under a heading.
import { useId, type ReactNode } from "react";

import styles from "./panel.module.css";

export interface PanelProps {
  title: string;
  /** A few words beside the heading. */
  note?: ReactNode;
  /** Buttons and links at its end. */
  actions?: ReactNode;
  /** Whether an answer is on its way that will replace what is shown. */
  isBusy?: boolean;
  /** Without a border: for what has its own. */
  isPlain?: boolean;
  children: ReactNode;
}

export function Panel({ title, note, actions, isBusy = false, isPlain, children }: PanelProps) {
  const id = useId();
  const kind = isPlain === true ? styles.plain : styles.panel;
  return (
    <section className={kind} aria-labelledby={id} aria-busy={isBusy}>
      <header className={styles.head}>
        <h2 id={id} className={styles.title}>
          {title}
        </h2>
        {note !== undefined && <div className={styles.note}>{note}</div>}
        {actions !== undefined && <div className={styles.actions}>{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** Panels beside each other where there is room; each at least as wide as a chart needs. */
export function Columns({ children, narrow }: { children: ReactNode; narrow?: boolean }) {
  return <div className={narrow === true ? styles.three : styles.two}>{children}</div>;
}
