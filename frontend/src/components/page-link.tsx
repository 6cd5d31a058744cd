// A link to another page that takes range, zone, language and theme along.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { KEPT } from "@/lib/search.ts";

import type { Patch } from "./view.ts";

export interface PageLinkProps {
  /** A path of this site, such as /namespaces/wechat; parts of names must be encoded. */
  to: string;
  /** Further fields of the address. */
  search?: Patch;
  className?: string | undefined;
  /** Marks the link to the page that is shown. */
  isExact?: boolean;
  title?: string;
  children: ReactNode;
}

export function PageLink({ to, search = {}, isExact = true, ...rest }: PageLinkProps) {
  const next = (old: Record<string, unknown>) => {
    const kept = KEPT.filter((name) => old[name] !== undefined).map((name) => [name, old[name]]);
    return { ...Object.fromEntries(kept), ...search } as Record<string, unknown>;
  };
  const props = {
    ...rest,
    to,
    search: next,
    activeOptions: { exact: isExact, includeSearch: false },
    activeProps: { "aria-current": "page" },
  };
  return <Link {...(props as unknown as Parameters<typeof Link>[0])} />;
}

/** The path of a namespace's page. */
export function namespacePath(code: string): string {
  return `/namespaces/${encodeURIComponent(code)}`;
}
