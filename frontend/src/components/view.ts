// The view that the address describes, and how to change it.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { createContext, useCallback, useContext, useMemo } from "react";

import type { When } from "@/api/queries.ts";
import { exact, moment, show, type Kind, type Language } from "@/lib/format.ts";
import { MESSAGES, ownLanguage, type Messages } from "@/lib/i18n.ts";
import type { Num } from "@/lib/json.ts";
import { rangeOf, type Range } from "@/lib/range.ts";
import { KEPT, oneOf, validateView, type Theme } from "@/lib/search.ts";
import { recall } from "@/lib/storage.ts";
import { isZone, ownZone } from "@/lib/zone.ts";

/** A change of the address. Undefined takes a part away. */
export type Patch = Record<string, string | number | undefined>;

/** The address as fields, and how to change some of them. */
export function useAddress(): [Record<string, string>, (patch: Patch, replaces?: boolean) => void] {
  const search = useSearch({ strict: false }) as unknown as Record<string, string>;
  const navigate = useNavigate();
  const change = useCallback(
    (patch: Patch, replaces = false) => {
      const next = (old: Record<string, unknown>) => ({ ...old, ...patch });
      const to = { to: ".", search: next, replace: replaces, resetScroll: false };
      void navigate(to as unknown as Parameters<typeof navigate>[0]);
    },
    [navigate],
  );
  return [search, change];
}

export interface View {
  range: Range;
  /** Zone as it is asked for; `zone` is one that this browser knows. */
  tz: string;
  zone: string;
  language: Language;
  theme: Theme;
  t: Messages;
  /** What queries of this view ask with. */
  when: When;
  formats: Formats;
  /** Parts of the address that a link to another page takes along. */
  kept: Record<string, string | undefined>;
  /** Whether the address says zone and language, or they are this browser's. */
  isComplete: boolean;
}

function ownTheme(): Theme {
  return document.documentElement.dataset.mantineColorScheme === "dark" ? "dark" : "light";
}

/** Reads the view from the address: once for a page, since each number needs it. */
export function useViewOfAddress(): View {
  const [search] = useAddress();
  return useMemo(() => {
    const view = validateView(search);
    const range = rangeOf(view);
    const remembered = oneOf(recall("lang"), ["en", "zh"] as const);
    const language = view.lang ?? remembered ?? ownLanguage();
    const tz = view.tz ?? recall("tz") ?? ownZone();
    return {
      range,
      tz,
      zone: isZone(tz) ? tz : "UTC",
      language,
      theme: view.theme ?? oneOf(recall("theme"), ["light", "dark"] as const) ?? ownTheme(),
      t: MESSAGES[language],
      when: { range, tz },
      isComplete: view.tz !== undefined && view.lang !== undefined,
      kept: Object.fromEntries(KEPT.map((name) => [name, search[name]])),
      formats: formatsOf(language, isZone(tz) ? tz : "UTC"),
    };
  }, [search]);
}

/** The view of the page that is shown. */
export const ViewContext = createContext<View | null>(null);

/** What every page has in its address, with this browser's own where it says nothing. */
export function useView(): View {
  const view = useContext(ViewContext);
  if (view === null) throw new Error("no view around this component");
  return view;
}

/** Texts of the language that the address names. */
export function useMessages(): Messages {
  return useView().t;
}

export interface Formats {
  show: (value: Num | null | undefined, kind: Kind) => string;
  exact: (value: Num | null | undefined, kind: Kind) => string;
  count: (value: Num | null | undefined) => string;
  moment: (time: string | number, detail?: Parameters<typeof moment>[3]) => string;
}

function formatsOf(language: Language, zone: string): Formats {
  return {
    show: (value, kind) => show(value, kind, language),
    exact: (value, kind) => exact(value, kind, language),
    count: (value) => show(value, "count", language),
    moment: (time, detail) => moment(time, zone, language, detail),
  };
}

/** How numbers and times are written in this view. */
export function useFormats(): Formats {
  return useView().formats;
}
