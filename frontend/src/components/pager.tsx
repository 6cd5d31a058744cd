// Goes through the pages of a list.
import { Button } from "@mantine/core";

import { Icon } from "./icons.tsx";
import styles from "./pager.module.css";
import { useFormats, useMessages } from "./view.ts";

export interface PagerProps {
  page: number;
  pages: number;
  size: number;
  total: number;
  onPage: (page: number) => void;
}

export function Pager({ page, pages, size, total, onPage }: PagerProps) {
  const t = useMessages();
  const { count } = useFormats();
  if (total === 0) return null;
  const from = (page - 1) * size + 1;
  const to = Math.min(page * size, total);
  return (
    <nav className={styles.pager} aria-label={t.common.pages}>
      <span className={styles.text}>{t.common.rowsOf(count(from), count(to), count(total))}</span>
      <Button
        variant="default"
        size="xs"
        disabled={page <= 1}
        aria-label={t.common.pagePrevious}
        onClick={() => { onPage(page - 1); }}
      >
        <Icon name="left" size={16} />
      </Button>
      <span className={styles.text}>{t.common.page(count(page), count(pages))}</span>
      <Button
        variant="default"
        size="xs"
        disabled={page >= pages}
        aria-label={t.common.pageNext}
        onClick={() => { onPage(page + 1); }}
      >
        <Icon name="right" size={16} />
      </Button>
    </nav>
  );
}
