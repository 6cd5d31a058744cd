// The frame of every page: navigation, language and theme, and the form for the key.
import { useQueryClient } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import { useEffect, useRef, useSyncExternalStore, type ReactNode } from "react";

import { onSession, sessionNow } from "@/api/session.ts";
import { remember } from "@/lib/storage.ts";

import styles from "./frame.module.css";
import { Icon, type IconName } from "./icons.tsx";
import { KeyForm } from "./key-form.tsx";
import { PageLink } from "./page-link.tsx";
import { Progress } from "./progress.tsx";
import { useAddress, useView } from "./view.ts";

const PAGES = [
  { name: "overview", to: "/" },
  { name: "usage", to: "/usage" },
  { name: "namespaces", to: "/namespaces" },
  { name: "upstreams", to: "/upstreams" },
  { name: "pipeline", to: "/pipeline" },
] as const;

/** Whether a page, or one below it, is shown. */
function isAt(path: string, to: string): boolean {
  return path === to || (to !== "/" && path.startsWith(`${to}/`));
}

export function Frame({ children }: { children: ReactNode }) {
  const { t, tz, language, theme, isComplete } = useView();
  const [, change] = useAddress();
  const session = useSyncExternalStore(onSession, sessionNow);
  const client = useQueryClient();

  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }, [language]);
  // A view must be a link, so what this browser would choose by itself goes into the address.
  useEffect(() => {
    if (!isComplete) change({ tz, lang: language }, true);
  }, [isComplete, change, tz, language]);

  // Who does not see the page change must be told: the new one has the focus.
  const path = useLocation({ select: ({ pathname }) => pathname });
  const shown = useRef(path);
  useEffect(() => {
    if (shown.current === path) return;
    shown.current = path;
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [path]);

  // On a phone the pages stand in a row that is wider than the screen.
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    const current = nav.current?.querySelector("[aria-current]");
    current?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [path, language]);

  const isLocked = session !== "open";
  return (
    <div className={styles.frame}>
      <a className={styles.skip} href="#main">
        {t.common.skip}
      </a>
      <header className={styles.side}>
        <PageLink to="/" className={styles.brand}>
          <img src="/assets/favicon.svg" alt="" width={24} height={24} />
          {t.common.product}
        </PageLink>
        <nav ref={nav} className={styles.nav} aria-label={t.common.navigation}>
          {PAGES.map(({ name, to }) => (
            <PageLink key={name} to={to} isCurrent={isAt(path, to)} className={styles.link}>
              <Icon name={name satisfies IconName} />
              {t.common.nav[name]}
            </PageLink>
          ))}
        </nav>
        <div className={styles.foot}>
          <a className={styles.link} href="/docs" aria-label={t.common.apiDocs}>
            <Icon name="book" />
            <span className={styles.wide}>{t.common.apiDocs}</span>
            <span className={styles.small}>API</span>
          </a>
          <Switches {...{ language, theme }} />
        </div>
      </header>
      <div className={styles.body}>
        <main id="main" className={styles.main} tabIndex={-1}>
          <Progress />
          {isLocked ? (
            <KeyForm
              isRefused={session === "refused"}
              onGiven={() => void client.resetQueries()}
            />
          ) : (
            children
          )}
        </main>
        <footer className={styles.end}>
          <a href="/assets/licenses.txt">{t.common.licences}</a>
        </footer>
      </div>
    </div>
  );
}

function Switches({ language, theme }: { language: "en" | "zh"; theme: "light" | "dark" }) {
  const { t } = useView();
  const [, change] = useAddress();
  const other = language === "en" ? "zh" : "en";
  const otherTheme = theme === "light" ? "dark" : "light";
  return (
    <div className={styles.switches}>
      <button
        type="button"
        className={styles.switch}
        lang={other === "zh" ? "zh-CN" : "en"}
        onClick={() => {
          remember("lang", other);
          change({ lang: other }, true);
        }}
      >
        {other === "zh" ? "中文" : "English"}
      </button>
      <button
        type="button"
        className={styles.switch}
        aria-label={theme === "light" ? t.common.toDark : t.common.toLight}
        title={theme === "light" ? t.common.toDark : t.common.toLight}
        onClick={() => {
          remember("theme", otherTheme);
          change({ theme: otherTheme }, true);
        }}
      >
        <Icon name={theme === "light" ? "moon" : "sun"} />
      </button>
    </div>
  );
}

export interface PageHeadProps {
  title: ReactNode;
  /** Title of the window. */
  windowTitle: string;
  note?: ReactNode;
  /** Pickers. */
  tools?: ReactNode;
}

/** Heading of a page, with its pickers. */
export function PageHead({ title, windowTitle, note, tools }: PageHeadProps) {
  return (
    <div className={styles.head}>
      <title>{`${windowTitle} · Gatemeter`}</title>
      <div className={styles.heading}>
        <h1 className={styles.title}>{title}</h1>
        <div className={styles.note}>{note}</div>
      </div>
      {tools !== undefined && <div className={styles.tools}>{tools}</div>}
    </div>
  );
}

/** The parts of a page below each other. */
export function Page({ children }: { children: ReactNode }) {
  return <div className={styles.page}>{children}</div>;
}
