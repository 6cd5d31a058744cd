// The columns of the list of dead letters.
import type { Letter } from "@/api/letters.ts";
import { Figure } from "@/components/figure.tsx";
import { Name } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import { StatePill } from "@/components/state-pill.tsx";
import type { Column } from "@/components/table.tsx";
import type { Formats } from "@/components/view.ts";
import type { Messages } from "@/lib/i18n.ts";

import { keyOf, placeOf } from "./letter.ts";
import styles from "./pipeline.module.css";

export interface ColumnsOptions {
  t: Messages;
  /** Whether letters can be sent from here at all. */
  canSend: boolean;
  formats: Formats;
  sent: ReadonlySet<string>;
  isSendable: (letter: Letter) => boolean;
  isChosen: (letter: Letter) => boolean;
  onToggle: (letter: Letter) => void;
  onShow: (letter: Letter) => void;
  onSend: (letter: Letter) => void;
}

export function columnsOf(options: ColumnsOptions): Column<Letter>[] {
  const { t, formats, canSend, sent, isSendable, isChosen, onToggle, onShow, onSend } = options;
  const p = t.pipeline;
  const timeOf = (letter: Letter) => formats.moment(letter.stored_at, "second");
  const stored: Column<Letter> = {
    key: "stored",
    header: p.stored,
    cell: (letter) => (
      <span className={styles.stored}>
        {canSend && letter.replayable && (
          <input
            type="checkbox"
            aria-label={p.select(timeOf(letter), placeOf(letter))}
            checked={isChosen(letter)}
            disabled={!isSendable(letter)}
            onChange={() => { onToggle(letter); }}
          />
        )}
        <button
          type="button"
          className={styles.only}
          title={letter.stored_at}
          aria-label={p.detailsOf(timeOf(letter), placeOf(letter))}
          onClick={() => { onShow(letter); }}
        >
          {timeOf(letter)}
        </button>
      </span>
    ),
  };
  const action: Column<Letter> = {
    key: "action",
    header: p.action,
    cell: (letter) => {
      if (sent.has(keyOf(letter))) return <StatePill mood="good">{p.sent}</StatePill>;
      if (!isSendable(letter)) return null;
      return (
        <button
          type="button"
          className={styles.act}
          aria-label={p.sendOf(timeOf(letter), placeOf(letter))}
          onClick={() => { onSend(letter); }}
        >
          {p.send}
        </button>
      );
    },
  };
  return [
    stored,
    {
      key: "class",
      header: p.class,
      cell: ({ class: kind }) => <Name>{p.classes[kind] ?? kind}</Name>,
    },
    { key: "reason", header: p.reason, cell: ({ reason }) => <Name>{reason}</Name> },
    ...(canSend ? [action] : []),
    {
      key: "events",
      header: p.events,
      isNumber: true,
      cell: (letter) => (
        <Figure name="pipeline.letters.events" of={keyOf(letter)} value={letter.events} />
      ),
    },
    { key: "source", header: p.source, cell: (letter) => sourceOf(letter, t) },
    {
      key: "place",
      header: p.place,
      hint: p.placeHint,
      cell: (letter) => <span className={styles.mono}>{placeOf(letter)}</span>,
    },
    {
      key: "namespace",
      header: t.common.namespace,
      cell: ({ namespace }) =>
        namespace === null ? (
          <Name missing={p.unknown}>{null}</Name>
        ) : (
          <PageLink to={namespacePath(namespace)}>
            <Name>{namespace}</Name>
          </PageLink>
        ),
    },
    {
      key: "time",
      header: p.eventTime,
      cell: ({ time }) =>
        time === null ? (
          <Name missing={p.unknown}>{null}</Name>
        ) : (
          <time dateTime={time} title={time}>{formats.moment(time, "full")}</time>
        ),
    },
    {
      key: "size",
      header: p.size,
      isNumber: true,
      cell: (letter) => (
        <Figure name="pipeline.letters.bytes" of={keyOf(letter)} value={letter.bytes}
          kind="bytes" />
      ),
    },
  ];
}

function sourceOf({ source, message }: Letter, t: Messages) {
  if (message === null) return t.pipeline.sources[source];
  return <Name>{message.topic}</Name>;
}
