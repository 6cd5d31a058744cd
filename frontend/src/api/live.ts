// The stream of totals and rates. It is read with fetch, because an EventSource cannot send the
// key. A page that is not seen has no stream: a browser has few connections to one server.
import { useEffect, useState } from "react";

import { parseJson } from "@/lib/json.ts";

import { ApiError, send } from "./http.ts";
import { wantKey } from "./session.ts";
import { eventReader } from "./sse.ts";
import type { Schema } from "./types.ts";

export type Tick = Schema<"LiveEvent">;

/** Lost: there is no stream, and another attempt follows. */
export type LiveState = "connecting" | "live" | "lost" | "paused";

export interface Live {
  tick: Tick | null;
  state: LiveState;
}

const AGAIN_MS = 5_000;
/** A stream speaks each second; one that is quiet for so long is dead. */
const QUIET_MS_MAX = 15_000;

async function read(namespace: string, signal: AbortSignal, onTick: (tick: Tick) => void) {
  const quiet = new AbortController();
  let timer = setTimeout(() => { quiet.abort(); }, QUIET_MS_MAX);
  try {
    const both = AbortSignal.any([signal, quiet.signal]);
    const response = await send("/api/metrics/live", { params: { namespace }, signal: both });
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const take = eventReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => { quiet.abort(); }, QUIET_MS_MAX);
      for (const data of take(value)) onTick(parseJson(data) as Tick);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Totals and rates of a namespace, or of `all`, once a second while the page is seen. */
export function useLive(namespace: string): Live {
  const [live, setLive] = useState<Live>({ tick: null, state: "connecting" });
  useEffect(() => {
    let stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = () => {
      const { signal } = (stop = new AbortController());
      setLive((before) => ({ ...before, state: "connecting" }));
      read(namespace, signal, (tick) => { setLive({ tick, state: "live" }); })
        .catch((error: unknown) => {
          if (error instanceof ApiError && error.status === 401) wantKey();
        })
        .finally(() => {
          if (signal.aborted) return;
          setLive((before) => ({ ...before, state: "lost" }));
          timer = setTimeout(run, AGAIN_MS);
        });
    };
    const end = () => {
      clearTimeout(timer);
      stop.abort();
    };
    const onSeen = () => {
      end();
      if (document.visibilityState === "visible") run();
      else setLive((before) => ({ ...before, state: "paused" }));
    };
    onSeen();
    document.addEventListener("visibilitychange", onSeen);
    return () => {
      document.removeEventListener("visibilitychange", onSeen);
      end();
    };
  }, [namespace]);
  return live;
}
