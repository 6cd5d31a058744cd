// The table of namespaces, with a button in each row that enables or disables it.
import { Button } from "@mantine/core";
import { useMemo, useState } from "react";

import type { Result } from "@/api/result.ts";
import { useSetStatus } from "@/api/namespaces.ts";
import type { Schema } from "@/api/types.ts";
import { Confirm } from "@/components/dialog.tsx";
import { Name, visible } from "@/components/name.tsx";
import { namespacePath, PageLink } from "@/components/page-link.tsx";
import { Pager } from "@/components/pager.tsx";
import { StatePill } from "@/components/state-pill.tsx";
import { EmptyState, Loaded } from "@/components/states.tsx";
import { DataTable, type Column } from "@/components/table.tsx";
import { useAddress, useFormats, useMessages, type Formats } from "@/components/view.ts";
import type { Messages } from "@/lib/i18n.ts";

import type { Ask } from "./ask.ts";
import styles from "./namespaces.module.css";

type Item = Schema<"Namespace">;

export interface ListProps {
  ask: Ask;
  result: Result<Schema<"NamespacePage">>;
  /** Opens the form for a new one. */
  onCreate: () => void;
  onChanged: (item: Item) => void;
}

export function List({ ask, result, onCreate, onChanged }: ListProps) {
  const t = useMessages();
  const formats = useFormats();
  const [, change] = useAddress();
  const [asked, setAsked] = useState<Item | null>(null);
  // A long table draws a row anew only if its columns are new.
  const columns = useMemo(() => columnsOf(t, formats, setAsked), [t, formats]);
  return (
    <>
      <Loaded result={result} height={420}>
        {(data) => {
          if (data.items.length === 0) {
            return <Nothing ask={ask} total={Number(data.total)} onCreate={onCreate} />;
          }
          const [page, pages] = [Number(data.page), Number(data.pages)];
          const [size, total] = [Number(data.size), Number(data.total)];
          return (
            <>
              <DataTable
                label={t.namespaces.list}
                columns={columns}
                rows={data.items}
                keyOf={codeOf}
                isBusy={result.isPlaceholderData}
                offset={(page - 1) * size}
                total={total}
              />
              <Pager {...{ page, pages, size, total }}
                onPage={(next) => { change({ page: next }); }} />
            </>
          );
        }}
      </Loaded>
      <Status asked={asked} onClose={() => { setAsked(null); }} onChanged={onChanged} />
    </>
  );
}

function codeOf({ code }: Item): string {
  return code;
}

function columnsOf(t: Messages, { moment }: Formats, onAsk: (item: Item) => void): Column<Item>[] {
  const n = t.namespaces;
  return [
    {
      key: "name",
      header: n.name,
      cell: ({ code, name }) => (
        <PageLink to={namespacePath(code)}>
          <Name>{name}</Name>
        </PageLink>
      ),
    },
    {
      key: "status",
      header: n.status,
      cell: ({ status }) => (
        <StatePill mood={status === "enabled" ? "good" : "quiet"}>{n.statuses[status]}</StatePill>
      ),
    },
    {
      key: "code",
      header: n.code,
      cell: ({ code }) => (
        <span className={styles.code}>
          <Name>{code}</Name>
        </span>
      ),
    },
    {
      key: "created",
      header: n.created,
      cell: ({ created_at: at }) => <time dateTime={at} title={at}>{moment(at, "full")}</time>,
    },
    {
      key: "updated",
      header: n.updated,
      cell: ({ updated_at: at }) => <time dateTime={at} title={at}>{moment(at, "full")}</time>,
    },
    {
      key: "action",
      header: n.action,
      cell: (item) => {
        const isEnabled = item.status === "enabled";
        const name = visible(item.name);
        return (
          <button
            type="button"
            className={styles.act}
            aria-label={isEnabled ? n.disableOf(name) : n.enableOf(name)}
            onClick={() => { onAsk(item); }}
          >
            {isEnabled ? n.disable : n.enable}
          </button>
        );
      },
    },
  ];
}

interface StatusProps {
  asked: Item | null;
  onClose: () => void;
  onChanged: (item: Item) => void;
}

/** Asks before a namespace is enabled or disabled. */
function Status({ asked, onClose, onChanged }: StatusProps) {
  const n = useMessages().namespaces;
  const set = useSetStatus();
  // What the dialog says stays while it fades out.
  const [last, setLast] = useState(asked);
  if (asked !== null && asked !== last) setLast(asked);
  const isEnabled = last?.status === "enabled";
  const close = () => {
    set.reset();
    onClose();
  };
  const confirm = () => {
    if (asked === null || set.isPending) return;
    const change = { code: asked.code, status: isEnabled ? "disabled" : "enabled" } as const;
    set.mutate(change, {
      onSuccess: ({ data }) => {
        onChanged(data);
        close();
      },
    });
  };
  return (
    <Confirm
      title={isEnabled ? n.disableTitle : n.enableTitle}
      action={isEnabled ? n.disable : n.enable}
      isOpen={asked !== null}
      isBusy={set.isPending}
      error={set.error}
      onClose={close}
      onConfirm={confirm}
    >
      <p className={styles.who}>
        <Name wraps>{last?.name}</Name>
        {last?.name !== last?.code && (
          <> <span className={styles.code}>(<Name wraps>{last?.code}</Name>)</span></>
        )}
      </p>
      <p>{isEnabled ? n.disableText : n.enableText}</p>
    </Confirm>
  );
}

interface NothingProps {
  ask: Ask;
  total: number;
  onCreate: () => void;
}

/** Why there is no row: no namespace at all, none that matches, or a page past the last one. */
function Nothing({ ask, total, onCreate }: NothingProps) {
  const n = useMessages().namespaces;
  const [, change] = useAddress();
  if (total > 0) {
    const first = (
      <Button variant="default" size="xs" onClick={() => { change({ page: undefined }); }}>
        {n.firstPage}
      </Button>
    );
    return <EmptyState title={n.pastEnd} action={first} />;
  }
  if (ask.keyword !== "" || ask.status !== undefined) {
    const clear = (
      <Button
        variant="default"
        size="xs"
        onClick={() => { change({ keyword: undefined, status: undefined, page: undefined }); }}
      >
        {n.clear}
      </Button>
    );
    return <EmptyState title={n.none} text={n.noneText} action={clear} />;
  }
  const create = <Button size="xs" onClick={onCreate}>{n.create}</Button>;
  return <EmptyState title={n.empty} text={n.emptyText} action={create} />;
}
