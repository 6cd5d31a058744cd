// The list of dead letters: filtered, page by page, and sent again one by one or several at once.
import { Button } from "@mantine/core";
import { useState } from "react";

import { useLetters, useReplay, type Letter } from "@/api/letters.ts";
import type { Schema } from "@/api/types.ts";
import { Figure } from "@/components/figure.tsx";
import { Pager } from "@/components/pager.tsx";
import { Panel } from "@/components/panel.tsx";
import { EmptyState, Freshness, Loaded } from "@/components/states.tsx";
import { DataTable } from "@/components/table.tsx";
import { useAddress, useFormats, useMessages } from "@/components/view.ts";

import { askOf, isFiltered, NO_FILTERS, paramsOf, type Ask } from "./ask.ts";
import { columnsOf } from "./columns.tsx";
import { Details } from "./details.tsx";
import { Filters } from "./filters.tsx";
import { keyOf } from "./letter.ts";
import { Selection } from "./selection.tsx";
import { SendAgain } from "./send-again.tsx";
import styles from "./pipeline.module.css";

type Chosen = ReadonlyMap<string, Letter>;

export function Letters() {
  const t = useMessages();
  const p = t.pipeline;
  const [address] = useAddress();
  const ask = askOf(address);
  const result = useLetters(paramsOf(ask));
  const replay = useReplay().data?.data;
  const [chosen, setChosen] = useState<Chosen>(new Map());
  const [sent, setSent] = useState<ReadonlySet<string>>(new Set());
  const [sending, setSending] = useState<Letter[] | null>(null);
  const [shown, setShown] = useState<Letter | null>(null);
  const data = result.data?.data;
  const canSend = replay?.available === true;
  const onSent = (letters: Letter[]) => {
    const keys = letters.map(keyOf);
    setSent(new Set([...sent, ...keys]));
    setChosen(new Map([...chosen].filter(([key]) => !keys.includes(key))));
  };
  const isSendable = (letter: Letter) =>
    canSend && letter.replayable && letter.letter !== null && !sent.has(keyOf(letter));
  return (
    <Panel
      title={p.letters}
      isBusy={result.isPlaceholderData}
      note={data && (
        <>
          {p.lettersCount} <Figure name="pipeline.letters.total" value={data.total} />
          {" · "}
          {p.events} <Figure name="pipeline.letters.total.events" value={data.events} />
        </>
      )}
    >
      <div className={styles.letters}>
        <Freshness result={result} time={data?.as_of.time} />
        <Filters ask={ask} />
        {replay?.available === false && <Unavailable reason={replay.reason} />}
        <Loaded result={result} height={420}>
          {(page) => (
            <List
              ask={ask}
              data={page}
              isBusy={result.isPlaceholderData}
              chosen={chosen}
              sent={sent}
              limit={canSend ? Number(replay.letters_max) : 0}
              isSendable={isSendable}
              onChoose={setChosen}
              onSend={setSending}
              onShow={setShown}
            />
          )}
        </Loaded>
      </div>
      <Details
        letter={shown}
        canSend={shown !== null && isSendable(shown)}
        onClose={() => { setShown(null); }}
        onSend={(letter) => {
          setShown(null);
          setSending([letter]);
        }}
      />
      <SendAgain letters={sending} onClose={() => { setSending(null); }} onSent={onSent} />
    </Panel>
  );
}

function Unavailable({ reason }: { reason: string | null }) {
  const p = useMessages().pipeline;
  return (
    <p className={styles.unavailable}>
      {p.unavailable} <bdi>{reason}</bdi>
    </p>
  );
}

interface ListProps {
  ask: Ask;
  data: Schema<"DeadLetterPage">;
  isBusy: boolean;
  chosen: Chosen;
  sent: ReadonlySet<string>;
  /** Letters that can be sent at a time; 0 if none can. */
  limit: number;
  isSendable: (letter: Letter) => boolean;
  onChoose: (chosen: Chosen) => void;
  onSend: (letters: Letter[]) => void;
  onShow: (letter: Letter) => void;
}

function List(props: ListProps) {
  const { ask, data, chosen, sent, limit, isSendable, onChoose, onSend, onShow } = props;
  const t = useMessages();
  const formats = useFormats();
  const [, change] = useAddress();
  if (data.items.length === 0) return <Nothing ask={ask} total={Number(data.total)} />;
  const toggle = (letter: Letter) => {
    const next = new Map(chosen);
    if (!next.delete(keyOf(letter))) next.set(keyOf(letter), letter);
    onChoose(next);
  };
  const columns = columnsOf({
    t, formats, canSend: limit > 0, sent, isSendable, onShow,
    isChosen: (letter) => chosen.has(keyOf(letter)),
    onToggle: toggle,
    onSend: (letter) => { onSend([letter]); },
  });
  const [page, pages] = [Number(data.page), Number(data.pages)];
  const [size, total] = [Number(data.size), Number(data.total)];
  return (
    <>
      {limit > 0 && (
        <Selection
          letters={data.items.filter(isSendable)}
          limit={limit}
          {...{ chosen, onChoose, onSend }}
        />
      )}
      <DataTable
        label={t.pipeline.lettersTable}
        columns={columns}
        rows={data.items}
        keyOf={keyOf}
        isBusy={props.isBusy}
        offset={(page - 1) * size}
        total={total}
      />
      <Pager {...{ page, pages, size, total }} onPage={(next) => { change({ page: next }); }} />
    </>
  );
}

/** Why there is no row. */
function Nothing({ ask, total }: { ask: Ask; total: number }) {
  const p = useMessages().pipeline;
  const [, change] = useAddress();
  if (total > 0) {
    const first = (
      <Button variant="default" size="xs" onClick={() => { change({ page: undefined }); }}>
        {p.firstPage}
      </Button>
    );
    return <EmptyState title={p.pastEnd} action={first} />;
  }
  if (!isFiltered(ask)) return <EmptyState title={p.empty} text={p.emptyText} />;
  const clear = (
    <Button variant="default" size="xs" onClick={() => { change({ ...NO_FILTERS }); }}>
      {p.clear}
    </Button>
  );
  return <EmptyState title={p.none} action={clear} />;
}
