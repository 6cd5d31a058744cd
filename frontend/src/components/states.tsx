// What is shown while, or instead of, an answer: loading, an error, nothing, an old answer.
import { Button, Skeleton } from "@mantine/core";
import type { ReactNode } from "react";

import { ApiError } from "@/api/http.ts";
import type { Result } from "@/api/result.ts";
import { NONE } from "@/lib/format.ts";

import styles from "./states.module.css";
import { useFormats, useMessages } from "./view.ts";
import { StandInContext } from "./zoom.ts";

/** A shape of the same height as what will be there. */
export function Loading({ height = 200 }: { height?: number }) {
  const t = useMessages();
  return (
    <div role="status" className={styles.loading}>
      <span className="sr-only">{t.common.loading}</span>
      <Skeleton height={height} radius="md" />
    </div>
  );
}

export interface EmptyStateProps {
  title: string;
  text?: ReactNode;
  action?: ReactNode;
}

export function EmptyState({ title, text, action }: EmptyStateProps) {
  return (
    <div className={styles.empty}>
      <svg viewBox="0 0 48 32" width="48" height="32" aria-hidden className={styles.drawing}>
        <path d="M4 28h40M10 28v-6M18 28v-12M26 28v-4M34 28v-9" />
      </svg>
      <p className={styles.title}>{title}</p>
      {text !== undefined && <p className={styles.text}>{text}</p>}
      {action}
    </div>
  );
}

/** What is said of an error: the API's own words, or that nobody answered. */
export function useErrorText(): (error: Error) => string {
  const t = useMessages();
  return (error) =>
    error instanceof ApiError && error.status === 0 ? t.common.unreachable : error.message;
}

export function ErrorState({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const t = useMessages();
  const textOf = useErrorText();
  return (
    <div className={styles.error} role="alert">
      <p className={styles.title}>{t.common.failed}</p>
      <p className={styles.text}>
        <bdi>{textOf(error)}</bdi>
      </p>
      {onRetry !== undefined && (
        <Button variant="default" size="xs" onClick={onRetry}>
          {t.common.retry}
        </Button>
      )}
    </div>
  );
}

/** A line above what is shown: it is old. */
export function Banner({ children }: { children: ReactNode }) {
  return (
    <p className={styles.banner} role="status">
      {children}
    </p>
  );
}

export interface FreshnessProps<T> {
  result: Result<T>;
  /** When the version was committed that the answer is from. */
  time: string | null | undefined;
}

/** Says if an answer is an old one, or the newest one could not be had. */
export function Freshness<T>({ result, time }: FreshnessProps<T>) {
  const t = useMessages();
  const formats = useFormats();
  const textOf = useErrorText();
  const { data, error } = result;
  if (data?.isStale === true) {
    const at = time == null ? NONE : formats.moment(time, "second");
    return <Banner>{t.common.stale(at)}</Banner>;
  }
  if (data !== undefined && error !== null) {
    return <Banner>{t.common.outdated(textOf(error))}</Banner>;
  }
  return null;
}

export interface AnsweredProps<T> {
  result: Result<T>;
  children: ReactNode;
}

/** Shows what many parts take from one answer; if there is none, one error in place of them all. */
export function Answered<T>({ result, children }: AnsweredProps<T>) {
  if (result.data === undefined && result.error !== null) {
    return <ErrorState error={result.error} onRetry={result.refetch} />;
  }
  return <>{children}</>;
}

export interface LoadedProps<T> {
  result: Result<T>;
  /** Height of the shape that is shown until there is an answer. */
  height?: number;
  children: (data: T) => ReactNode;
}

/** Shows an answer, and what stands for it until there is one. An old answer stays. */
export function Loaded<T>({ result, height = 200, children }: LoadedProps<T>) {
  if (result.data !== undefined) {
    return (
      <StandInContext value={result.isPlaceholderData}>{children(result.data.data)}</StandInContext>
    );
  }
  if (result.error !== null) {
    return <ErrorState error={result.error} onRetry={result.refetch} />;
  }
  return <Loading height={height} />;
}
