// What flows right now: rates of the last second. Never spoken by itself, as it never stands still.
import { useLive } from "@/api/live.ts";

import { Figure } from "./figure.tsx";
import styles from "./live-strip.module.css";
import { useMessages } from "./view.ts";

export function LiveStrip({ namespace, page }: { namespace: string; page: string }) {
  const t = useMessages();
  const { tick, state } = useLive(namespace);
  const rates = state === "live" ? tick?.rates : null;
  const { live } = t.common;
  const figures = [
    { name: "requests", label: live.requests, value: rates?.requests },
    { name: "errors", label: live.errors, value: rates?.errors },
    { name: "input", label: live.input, value: rates?.inputTokens },
    { name: "output", label: live.output, value: rates?.outputTokens },
  ];
  return (
    <section className={styles.strip} aria-label={live.title} aria-live="off">
      <span className={styles.state} data-state={state}>
        <i className={styles.dot} />
        {live.states[state]}
      </span>
      {figures.map(({ name, label, value }) => (
        <span key={name} className={styles.figure}>
          <b>
            <Figure name={`${page}.live.${name}`} value={value} kind="rate" />
          </b>{" "}
          {label}
        </span>
      ))}
    </section>
  );
}
