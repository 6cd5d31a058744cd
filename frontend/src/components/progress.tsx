// A line along the top of the window while something is awaited that the page does not have yet.
// What is asked for again by itself shows none.
import { useIsFetching } from "@tanstack/react-query";

import styles from "./progress.module.css";
import { useMessages } from "./view.ts";

export function Progress() {
  const t = useMessages();
  const isWaiting = useIsFetching({
    // What went wrong is shown in its place.
    predicate: ({ state }) => state.data === undefined && state.fetchFailureCount === 0,
  }) > 0;
  if (!isWaiting) return null;
  return (
    <div role="progressbar" aria-label={t.common.loading} className={styles.line}>
      <span className={styles.part} />
    </div>
  );
}
