// Saves all groups as a file, whatever their number, filtered and ordered as the table is.
import { Button } from "@mantine/core";
import { useEffect, useRef, useState } from "react";

import { download } from "@/api/download.ts";
import type { Params } from "@/api/http.ts";
import { Icon } from "@/components/icons.tsx";
import { useErrorText } from "@/components/states.tsx";
import { useFormats, useMessages } from "@/components/view.ts";

import styles from "./usage.module.css";

type State =
  | { is: "idle" }
  | { is: "running"; bytes: number }
  | { is: "done"; bytes: number }
  | { is: "failed"; why: string };

export function Export({ params, fileName }: { params: Params; fileName: string }) {
  const { usage: u, common: c } = useMessages();
  const { show } = useFormats();
  const errorText = useErrorText();
  const [state, setState] = useState<State>({ is: "idle" });
  const stop = useRef<AbortController>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const isRunning = state.is === "running";
  const save = async (format: "csv" | "json") => {
    const { signal } = (stop.current = new AbortController());
    setState({ is: "running", bytes: 0 });
    try {
      const bytes = await download({
        path: "/api/usage/export",
        params: { ...params, format },
        fileName: `${fileName}.${format}`,
        signal,
        onProgress: (sofar) => { setState({ is: "running", bytes: sofar }); },
      });
      setState(bytes === null ? { is: "idle" } : { is: "done", bytes });
    } catch (error) {
      if (signal.aborted) setState({ is: "idle" });
      else setState({ is: "failed", why: error instanceof Error ? errorText(error) : "" });
    }
  };
  return (
    <div className={styles.export}>
      <span role="status" className={state.is === "failed" ? styles.failed : styles.progress}>
        {state.is === "running" && u.exporting(show(state.bytes, "bytes"))}
        {state.is === "done" && u.exportDone(show(state.bytes, "bytes"))}
        {state.is === "failed" && u.exportFailed(state.why)}
      </span>
      {isRunning && (
        <Button variant="default" size="xs" onClick={() => stop.current?.abort()}>
          {c.cancel}
        </Button>
      )}
      {(["csv", "json"] as const).map((format) => (
        <Button
          key={format}
          variant="default"
          size="xs"
          disabled={isRunning}
          leftSection={<Icon name="download" size={15} />}
          aria-label={u.exportAs(format.toUpperCase())}
          onClick={() => void save(format)}
        >
          {format === "csv" ? u.exportCsv : u.exportJson}
        </Button>
      ))}
    </div>
  );
}
