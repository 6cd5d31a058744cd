// Asks before letters are sent again, sends them, and says what became of each.
import { Button } from "@mantine/core";
import { useState } from "react";

import { useSendAgain, type Letter } from "@/api/letters.ts";
import { Confirm, Dialog } from "@/components/dialog.tsx";
import { Figure } from "@/components/figure.tsx";
import { Name } from "@/components/name.tsx";
import { useFormats, useMessages } from "@/components/view.ts";

import { keyOf, outcomeOf, placeOf } from "./letter.ts";
import styles from "./pipeline.module.css";

export interface SendAgainProps {
  /** Null: the dialog is closed. */
  letters: Letter[] | null;
  onClose: () => void;
  /** Called with those that are in the log again. */
  onSent: (letters: Letter[]) => void;
}

type Outcome = ReturnType<typeof outcomeOf>;

export function SendAgain({ letters, onClose, onSent }: SendAgainProps) {
  const p = useMessages().pipeline;
  const { count } = useFormats();
  const send = useSendAgain();
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  // What the dialog says stays while it fades out.
  const [last, setLast] = useState(letters);
  if (letters !== null && letters !== last) {
    setLast(letters);
    setOutcome(null);
  }
  const n = last?.length ?? 0;
  const close = () => {
    if (send.isPending) return;
    send.reset();
    onClose();
  };
  const confirm = () => {
    if (letters === null || send.isPending) return;
    const addresses = letters.flatMap(({ letter }) => (letter === null ? [] : [letter]));
    send.mutate(addresses, {
      onSuccess: ({ data }) => {
        const next = outcomeOf(letters, data);
        setOutcome(next);
        onSent(next.accepted);
      },
    });
  };
  if (outcome !== null) {
    return (
      <Dialog title={p.resultTitle} isOpen={letters !== null} onClose={close}>
        <Result outcome={outcome} onClose={close} />
      </Dialog>
    );
  }
  return (
    <Confirm
      title={p.sendTitle(n === 1, count(n))}
      action={p.send}
      isOpen={letters !== null}
      isBusy={send.isPending}
      error={send.error}
      onClose={close}
      onConfirm={confirm}
    >
      <p>{p.sendText}</p>
      {send.error !== null && <p>{p.notSent}</p>}
    </Confirm>
  );
}

function Result({ outcome, onClose }: { outcome: Outcome; onClose: () => void }) {
  const t = useMessages();
  const p = t.pipeline;
  const { accepted, rejected } = outcome;
  return (
    <div className={styles.result} role="status">
      <p>
        <Figure name="pipeline.replay.accepted" value={accepted.length} />{" "}
        {p.accepted(accepted.length === 1)}
        {accepted.length > 0 && <> {p.resultText}</>}
      </p>
      {rejected.length > 0 && (
        <>
          <p>
            <Figure name="pipeline.replay.rejected" value={rejected.length} />{" "}
            {p.refused(rejected.length === 1)}
          </p>
          <ul className={styles.refused} tabIndex={0} aria-label={p.refused(false)}>
            {rejected.map(({ letter, reason }) => (
              <li key={keyOf(letter)}>
                <span className={styles.mono}>{placeOf(letter)}</span>{" "}
                <Name wraps>{reason}</Name>
              </li>
            ))}
          </ul>
        </>
      )}
      <div className={styles.buttons}>
        <Button onClick={onClose} data-autofocus>
          {t.common.close}
        </Button>
      </div>
    </div>
  );
}
