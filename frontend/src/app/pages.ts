// The pages by path, each loaded when it is wanted.
import type { JSX } from "react";

export type Load = () => Promise<{ default: () => JSX.Element }>;

const namespace: Load = () => import("@/pages/namespace/namespace.tsx");

/** In the router's way of writing: $code is a part of the path. */
export const PAGES = {
  "/": () => import("@/pages/overview/overview.tsx"),
  "/usage": () => import("@/pages/usage/usage.tsx"),
  "/namespaces": () => import("@/pages/namespaces/namespaces.tsx"),
  "/namespaces/$code": namespace,
  "/upstreams": () => import("@/pages/upstreams/upstreams.tsx"),
  "/pipeline": () => import("@/pages/pipeline/pipeline.tsx"),
} satisfies Record<string, Load>;

/** The page at a path of the address; undefined if there is none. */
export function pageAt(path: string): Load | undefined {
  const exact = (PAGES as Record<string, Load | undefined>)[path];
  return exact ?? (path.startsWith("/namespaces/") ? namespace : undefined);
}
