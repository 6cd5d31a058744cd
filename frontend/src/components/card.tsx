// One figure that stands out: its name, the number, and how it compares with the period before.
import type { ReactNode } from "react";

import { change, points, signed, type Kind } from "@/lib/format.ts";
import type { Num } from "@/lib/json.ts";

import styles from "./card.module.css";
import { Figure } from "./figure.tsx";
import { useFormats, useView } from "./view.ts";

/** Whether more is better. Neither for most figures. */
export type Good = "more" | "less" | "neither";

export interface FigureCardProps {
  title: string;
  name: string;
  value: Num | null | undefined;
  kind?: Kind;
  /** The same figure of the period before; undefined where there is none. */
  previous?: Num | null | undefined;
  good?: Good;
  hint?: string;
  children?: ReactNode;
}

export function FigureCard(props: FigureCardProps) {
  const { title, name, value, kind = "compact", previous, good = "neither", hint } = props;
  return (
    <div className={styles.card}>
      <dt className={styles.title} title={hint}>
        {title}
      </dt>
      <dd className={styles.value}>
        <Figure name={name} value={value} kind={kind} focusable />
      </dd>
      {previous !== undefined && (
        <dd className={styles.delta}>
          <Delta name={`${name}.previous`} value={value} previous={previous} {...{ kind, good }} />
        </dd>
      )}
      {props.children !== undefined && <dd className={styles.extra}>{props.children}</dd>}
    </div>
  );
}

export interface DeltaProps {
  name: string;
  value: Num | null | undefined;
  previous: Num | null | undefined;
  kind: Kind;
  good?: Good;
  of?: string | undefined;
  /** The change alone, without words. */
  isShort?: boolean;
}

/** The change since the period before, whose number is on hover. */
export function Delta(props: DeltaProps) {
  const { name, value, previous, kind, good = "neither", of, isShort = false } = props;
  const { language, t } = useView();
  const formats = useFormats();
  // A share changes by points: 99 % after 98 % is one more, not 1.02 %.
  const isShare = kind === "percent";
  const apart = value == null || previous == null ? null : Number(value) - Number(previous);
  const share = isShare ? apart : change(value, previous);
  const marks = { "data-figure": name, "data-key": of, "data-value": previous ?? "null" };
  const before = `${t.common.previous}: ${formats.exact(previous, kind)}`;
  if (share === null) {
    return (
      <data {...marks} value={previous ?? ""} className={styles.none} title={before}>
        {isShort ? t.common.isNew : t.common.noPrevious}
      </data>
    );
  }
  const isBetter = share === 0 || good === "neither" ? null : share > 0 === (good === "more");
  const mood = isBetter === null ? "plain" : isBetter ? "better" : "worse";
  const text = isShare ? t.common.points(points(share, language)) : signed(share, language);
  return (
    <data {...marks} value={previous ?? ""} className={styles[mood]} title={before}>
      {isShort ? text : t.common.versus(text)}
    </data>
  );
}

export interface FigureCardsProps {
  label: string;
  /** Whether an answer is on its way that will replace what is shown. */
  isBusy?: boolean;
  children: ReactNode;
}

/** Cards in a grid. */
export function FigureCards({ label, isBusy = false, children }: FigureCardsProps) {
  return (
    <dl className={styles.cards} aria-label={label} aria-busy={isBusy}>
      {children}
    </dl>
  );
}
