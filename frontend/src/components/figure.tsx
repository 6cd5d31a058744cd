// A number of the API. Every one on the page goes through here: it is shown by the locale, has all
// its digits on hover and focus, and says in data-figure and data-value which one it is, so that a
// test can compare each with the API.
import type { Kind } from "@/lib/format.ts";
import type { Num } from "@/lib/json.ts";

import styles from "./figure.module.css";
import { useFormats } from "./view.ts";

export interface FigureProps {
  /** Page and name of the figure, such as overview.requests. */
  name: string;
  value: Num | null | undefined;
  kind?: Kind;
  /** Which row or bucket it belongs to, where there are several. */
  of?: string | undefined;
  /** Whether it can be focused to see all digits: for a few figures that stand out. */
  focusable?: boolean;
}

export function Figure({ name, value, kind = "count", of, focusable = false }: FigureProps) {
  const formats = useFormats();
  const shown = formats.show(value, kind);
  const exact = formats.exact(value, kind);
  const isRounded = shown !== exact;
  return (
    <data
      className={styles.figure}
      value={value ?? ""}
      data-figure={name}
      data-key={of}
      data-value={value ?? "null"}
      data-exact={isRounded && focusable ? exact : undefined}
      title={isRounded && !focusable ? exact : undefined}
      tabIndex={isRounded && focusable ? 0 : undefined}
    >
      {isRounded && focusable ? (
        <>
          <span aria-hidden>{shown}</span>
          <span className="sr-only">{exact}</span>
        </>
      ) : (
        shown
      )}
    </data>
  );
}
