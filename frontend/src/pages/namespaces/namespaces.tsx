// All namespaces: found by code, name and status, created, enabled and disabled.
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";

import { useNamespaces } from "@/api/queries.ts";
import { useDraft } from "@/components/draft.ts";
import { Figure } from "@/components/figure.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { Icon } from "@/components/icons.tsx";
import { Name } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import { Banner, useErrorText } from "@/components/states.tsx";
import { Toggles } from "@/components/toggles.tsx";
import { ZonePicker } from "@/components/toolbar.tsx";
import { useAddress, useMessages } from "@/components/view.ts";

import { askOf, paramsOf, SIZES, type Ask } from "./ask.ts";
import { Create } from "./create.tsx";
import { List } from "./list.tsx";
import styles from "./namespaces.module.css";

const REFRESH_MS = 30_000;
const BOTH = "all";

/** What was done, for the line above the list. */
interface Done {
  text: string;
  code: string;
  name: string;
}

export default function Namespaces() {
  const t = useMessages();
  const n = t.namespaces;
  const textOf = useErrorText();
  const [address] = useAddress();
  const ask = askOf(address);
  const result = useNamespaces(paramsOf(ask), { keeps: true, every: REFRESH_MS });
  const [isCreating, setIsCreating] = useState(false);
  const [done, setDone] = useState<Done | null>(null);
  const { data, error } = result;
  const open = () => { setIsCreating(true); };
  return (
    <Page>
      <PageHead
        title={n.title}
        windowTitle={n.title}
        note={data && (
          <>
            <Figure name="namespaces.total" value={data.data.total} />{" "}
            {n.count(Number(data.data.total) === 1)}
          </>
        )}
        tools={
          <>
            <ZonePicker />
            <Button
              classNames={{ section: styles.plus }}
              leftSection={<Icon name="plus" size={16} />}
              onClick={open}
            >
              {n.create}
            </Button>
          </>
        }
      />
      {data?.isStale === true && <Banner>{n.stale}</Banner>}
      {data !== undefined && error !== null && (
        <Banner>{t.common.outdated(textOf(error))}</Banner>
      )}
      <div>
        <Notice done={done} onDismiss={() => { setDone(null); }} />
        <Filters ask={ask} />
      </div>
      <List
        ask={ask}
        result={result}
        onCreate={open}
        onChanged={({ code, name, status }) => {
          setDone({ text: n.changed[status], code, name });
        }}
      />
      <Create
        isOpen={isCreating}
        onClose={() => { setIsCreating(false); }}
        onCreated={(code, name) => { setDone({ text: n.created1, code, name }); }}
      />
    </Page>
  );
}

/** Always there, so that a screen reader hears when it gets a text. */
function Notice({ done, onDismiss }: { done: Done | null; onDismiss: () => void }) {
  const t = useMessages();
  return (
    <div role="status">
      {done !== null && (
        <div className={styles.notice}>
          {done.text}
          <PageLink to={namespacePath(done.code)}>
            <Name>{done.name}</Name>
          </PageLink>
          <button
            type="button"
            className={styles.dismiss}
            aria-label={t.common.close}
            onClick={onDismiss}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      )}
    </div>
  );
}

function Filters({ ask }: { ask: Ask }) {
  const n = useMessages().namespaces;
  const [, change] = useAddress();
  const [keyword, setKeyword] = useDraft(ask.keyword, (text) => {
    change({ keyword: text, page: undefined }, true);
  });
  const statuses = [BOTH, "enabled", "disabled"] as const;
  return (
    <div className={styles.filters} role="search" aria-label={n.filters}>
      <TextInput
        className={styles.keyword ?? ""}
        type="search"
        label={n.keyword}
        placeholder={n.keywordHint}
        leftSection={<Icon name="search" size={16} />}
        value={keyword}
        onChange={(event) => { setKeyword(event.currentTarget.value); }}
      />
      <div className={styles.status}>
        <span className={styles.label} aria-hidden>{n.status}</span>
        <Toggles
          label={n.status}
          options={statuses.map((value) => ({ value, label: n.statuses[value] }))}
          chosen={[ask.status ?? BOTH]}
          onToggle={(value) => {
            change({ status: value === BOTH ? undefined : value, page: undefined });
          }}
        />
      </div>
      <NativeSelect
        className={styles.rows ?? ""}
        label={n.rows}
        value={ask.size}
        data={[...SIZES]}
        onChange={(event) => { change({ size: event.currentTarget.value, page: undefined }); }}
      />
    </div>
  );
}
