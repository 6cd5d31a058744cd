// A link to another page that takes range, zone, language and theme along. It is an ordinary link,
// so that thousands of them cost little; a plain click changes the page without loading it anew.
import { useRouter } from "@tanstack/react-router";
import type { MouseEvent, ReactNode } from "react";

import { stringifySearch } from "@/lib/search.ts";

import { useView, type Patch } from "./view.ts";

export interface PageLinkProps {
  /** A path of this site, such as /namespaces/wechat; parts of names must be encoded. */
  to: string;
  /** Further fields of the address. */
  search?: Patch;
  className?: string | undefined;
  /** Whether it leads to the page that is shown. */
  isCurrent?: boolean;
  title?: string;
  children: ReactNode;
}

export function PageLink({ to, search, isCurrent = false, ...rest }: PageLinkProps) {
  const { history } = useRouter() as unknown as { history: { push: (href: string) => void } };
  const { kept } = useView();
  const href = to + stringifySearch({ ...kept, ...search });
  const follow = (event: MouseEvent) => {
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (!isPlain || event.altKey || event.defaultPrevented) return;
    event.preventDefault();
    history.push(href);
  };
  return <a {...rest} href={href} aria-current={isCurrent ? "page" : undefined} onClick={follow} />;
}

/** The path of a namespace's page. */
export function namespacePath(code: string): string {
  return `/namespaces/${encodeURIComponent(code)}`;
}
