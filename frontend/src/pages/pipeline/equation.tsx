// Received = counted + duplicate + .., with a check that it adds up to the last event.
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { StatePill } from "@/components/state-pill.tsx";
import { useFormats, useMessages } from "@/components/view.ts";
import type { Num } from "@/lib/json.ts";

import { balanceOf, PARTS, VERDICTS } from "./letter.ts";
import styles from "./pipeline.module.css";

export function Equation({ events }: { events: Schema<"Events"> }) {
  const p = useMessages().pipeline;
  const { count } = useFormats();
  const { addsUp, missing } = balanceOf(events);
  return (
    <>
      <dl className={styles.equation}>
        <Term name="total" title={p.received} text={p.receivedText} value={events.total} />
        {PARTS.map((part, idx) => (
          <Term
            key={part}
            name={part}
            sign={idx === 0 ? "=" : "+"}
            title={p.parts[part]}
            text={p.partTexts[part]}
            value={events[part]}
          />
        ))}
      </dl>
      <div className={styles.checks}>
        <span role={addsUp ? "status" : "alert"}>
          <StatePill mood={addsUp ? "good" : "bad"}>
            {addsUp ? p.addsUp : p.offBy(count(missing))}
          </StatePill>
        </span>
        <Aside name="conflicts" title={p.conflicts} text={p.conflictsText}
          value={events.conflicts} />
        <Aside name="lost_frames" title={p.lost} text={p.lostText} value={events.lost_frames} />
      </div>
      <div className={styles.checks}>
        <span className={styles.aside}>{p.secondPass}</span>
        {VERDICTS.map((verdict) => (
          <Aside key={verdict} name={verdict} title={p.verdicts[verdict]}
            text={p.verdictTexts[verdict]} value={events[verdict]}
            isCalm={verdict !== "late_expired"} />
        ))}
      </div>
    </>
  );
}

interface TermProps {
  name: string;
  /** In front of it. */
  sign?: string;
  title: string;
  text: string;
  value: Num;
}

interface AsideProps extends Omit<TermProps, "sign"> {
  isCalm?: boolean;
}

function Term({ name, sign, title, text, value }: TermProps) {
  return (
    <div className={styles.term} data-sign={sign}>
      <dt>
        {sign !== undefined && <span className={styles.sign}>{sign}</span>}
        {title}
      </dt>
      <dd className={styles.amount}>
        <Figure name={`pipeline.events.${name}`} value={value} />
      </dd>
      <dd className={styles.why}>{text}</dd>
    </div>
  );
}

/** A figure beside the equation: nothing to worry about while it is zero, or calm. */
function Aside({ name, title, text, value, isCalm }: AsideProps) {
  const isBad = isCalm !== true && Number(value) > 0;
  return (
    <span className={isBad ? styles.worry : styles.aside} title={text}>
      {title}: <Figure name={`pipeline.events.${name}`} value={value} />
      {isBad && ` (${text})`}
    </span>
  );
}
