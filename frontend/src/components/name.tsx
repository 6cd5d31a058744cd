// A name that somebody else chose: shown as text, in its own direction, cut where it is too long,
// and whole on hover. What cannot be seen becomes visible, so that it cannot hide in a name.
import styles from "./name.module.css";

export interface NameProps {
  children: string | null | undefined;
  /** What stands for a missing name. */
  missing?: string;
  /** Breaks the line instead of cutting. */
  wraps?: boolean;
}

// Control characters, separators of lines, and format characters such as those that turn the
// direction of text; not the two joiners, which scripts and emoji are written with.
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text with what cannot be seen as its code point. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (found) => {
    const code = found.codePointAt(0) ?? 0;
    return `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

export function Name({ children, missing = "–", wraps = false }: NameProps) {
  if (children === null || children === undefined || children === "") {
    return <span className={styles.missing}>{missing}</span>;
  }
  const text = visible(children);
  return (
    <bdi className={wraps ? styles.wraps : styles.name} title={text}>
      {text}
    </bdi>
  );
}
