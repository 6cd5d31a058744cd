// The box with the numbers of the bucket that is pointed at. It keeps that to itself, so that a
// moving pointer draws a few lines anew and not the chart.
import { useState, useSyncExternalStore, type ReactNode } from "react";

import styles from "./time-chart.module.css";

/** Bucket that is pointed at, and where the box goes. */
export interface Pointed {
  idx: number;
  left: number;
  isRight: boolean;
}

export interface Pointer {
  now: () => Pointed | null;
  set: (next: Pointed | null) => void;
  listen: (listener: () => void) => () => void;
}

function newPointer(): Pointer {
  let now: Pointed | null = null;
  const listeners = new Set<() => void>();
  return {
    now: () => now,
    set: (next) => {
      if (now === next || (now?.idx === next?.idx && now?.left === next?.left)) return;
      now = next;
      for (const listener of listeners) listener();
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function usePointer(): Pointer {
  return useState(newPointer)[0];
}

export interface ChartTipProps {
  pointer: Pointer;
  /** What the box says of a bucket; null if there is none. */
  children: (idx: number) => ReactNode;
}

export function ChartTip({ pointer, children }: ChartTipProps) {
  const pointed = useSyncExternalStore(pointer.listen, pointer.now);
  const content = pointed === null ? null : children(pointed.idx);
  if (pointed === null || content === null) return null;
  const translate = pointed.isRight ? "calc(-100% - 12px)" : "12px";
  return (
    <div className={styles.tip} role="status" style={{ left: pointed.left, translate }}>
      {content}
    </div>
  );
}
