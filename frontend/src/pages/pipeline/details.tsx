// All that is known of one dead letter.
import { Button } from "@mantine/core";
import { useState, type ReactNode } from "react";

import type { Letter } from "@/api/letters.ts";
import { Dialog } from "@/components/dialog.tsx";
import { Name } from "@/components/name.tsx";
import { useAddress, useFormats, useMessages } from "@/components/view.ts";

import styles from "./pipeline.module.css";

export interface DetailsProps {
  letter: Letter | null;
  canSend: boolean;
  onClose: () => void;
  onSend: (letter: Letter) => void;
}

export function Details({ letter, canSend, onClose, onSend }: DetailsProps) {
  const t = useMessages();
  const p = t.pipeline;
  const [, change] = useAddress();
  // What the dialog says stays while it fades out.
  const [last, setLast] = useState(letter);
  if (letter !== null && letter !== last) setLast(letter);
  return (
    <Dialog title={p.details} isOpen={letter !== null} onClose={onClose}>
      {last !== null && (
        <>
          <Facts letter={last} />
          <div className={styles.buttons}>
            <Button
              variant="default"
              onClick={() => {
                onClose();
                change({ reason: last.reason, class: last.class, source: last.source,
                  page: undefined });
              }}
            >
              {p.onlyThis}
            </Button>
            {canSend && <Button onClick={() => { onSend(last); }}>{p.send}</Button>}
          </div>
        </>
      )}
    </Dialog>
  );
}

function Facts({ letter }: { letter: Letter }) {
  const t = useMessages();
  const p = t.pipeline;
  const { exact, moment } = useFormats();
  const { message, letter: address } = letter;
  const name = (text: string | null) => <Name wraps missing={p.unknown}>{text}</Name>;
  const time = (text: string | null) =>
    text === null ? name(null) : <time dateTime={text}>{moment(text, "second")} ({text})</time>;
  const facts: [string, ReactNode][] = [
    [p.source, p.sources[letter.source]],
    [p.class, name(p.classes[letter.class] ?? letter.class)],
    [p.reason, name(letter.reason)],
    [p.stored, time(letter.stored_at)],
    [p.eventTime, time(letter.time)],
    [t.common.namespace, name(letter.namespace)],
    [p.eventId, name(letter.event_id)],
    [p.events, exact(letter.events, "count")],
    [p.content, letter.bytes === null ? p.notKept : exact(letter.bytes, "bytes")],
    [p.canSend, letter.replayable ? p.yes : p.no],
  ];
  if (address !== null) facts.push([p.generation, address.generation]);
  if (message !== null) {
    facts.push([p.topic, name(message.topic)], [p.topicId, name(message.topic_id)],
      [p.field, <Name wraps missing={p.wholeEvent}>{message.field}</Name>]);
  }
  const place = address ?? message;
  if (place !== null) {
    facts.push([p.partition, place.partition], [p.offset, place.offset], [p.index, place.index]);
  }
  if (message !== null) facts.push([p.until, message.until]);
  return (
    <>
      <dl className={styles.facts}>
        {facts.map(([title, value]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {letter.bytes !== null && <p className={styles.small}>{p.contentText}</p>}
    </>
  );
}
