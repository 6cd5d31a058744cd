// A text that is typed, and that becomes part of the view a moment after the last key.
import { useEffect, useState } from "react";

const QUIET_MS = 350;

/** The text as typed, and how to change it. `commit` is called once it stands still. */
export function useDraft(
  value: string,
  commit: (text: string) => void,
): [string, (text: string) => void] {
  const [draft, setDraft] = useState(value);
  const [seen, setSeen] = useState(value);
  // The address changed by itself, as when one goes back.
  if (value !== seen) {
    setSeen(value);
    setDraft(value);
  }
  useEffect(() => {
    if (draft === value) return undefined;
    const timer = setTimeout(() => {
      setSeen(draft);
      commit(draft);
    }, QUIET_MS);
    return () => { clearTimeout(timer); };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- a new function is not a new text
  }, [draft, value]);
  return [draft, setDraft];
}
