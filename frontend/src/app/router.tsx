// The pages and their addresses. Each page comes when it is first shown.
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  type ErrorComponentProps,
} from "@tanstack/react-router";
import { Button } from "@mantine/core";
import type { JSX } from "react";

import { Frame } from "@/components/frame.tsx";
import { PageLink } from "@/components/page-link.tsx";
import { EmptyState } from "@/components/states.tsx";
import { useMessages, useViewOfAddress, ViewContext } from "@/components/view.ts";
import { parseSearch, stringifySearch } from "@/lib/search.ts";

import { Theme } from "./theme.tsx";

const root = createRootRoute({
  component: Root,
  notFoundComponent: NotFound,
});

function Root() {
  const view = useViewOfAddress();
  return (
    <ViewContext value={view}>
      <Theme>
        <Frame>
          <Outlet />
        </Frame>
      </Theme>
    </ViewContext>
  );
}

type Load = () => Promise<{ default: () => JSX.Element }>;

function page<const Path extends string>(path: Path, load: Load) {
  return createRoute({
    getParentRoute: () => root,
    path,
    component: lazyRouteComponent(load),
    errorComponent: Crashed,
  });
}

const tree = root.addChildren([
  page("/", () => import("@/pages/overview/overview.tsx")),
  page("/usage", () => import("@/pages/usage/usage.tsx")),
  page("/namespaces", () => import("@/pages/namespaces/namespaces.tsx")),
  page("/namespaces/$code", () => import("@/pages/namespace/namespace.tsx")),
  page("/upstreams", () => import("@/pages/upstreams/upstreams.tsx")),
  page("/pipeline", () => import("@/pages/pipeline/pipeline.tsx")),
]);

export const router = createRouter({
  routeTree: tree,
  parseSearch,
  stringifySearch,
  scrollRestoration: true,
});

function NotFound() {
  const t = useMessages();
  const home = <PageLink to="/">{t.common.goOverview}</PageLink>;
  return <EmptyState title={t.common.notFound} text={t.common.notFoundText} action={home} />;
}

function Crashed({ error }: ErrorComponentProps) {
  const t = useMessages();
  console.error(error);
  const reload = (
    <Button variant="default" onClick={() => { location.reload(); }}>
      {t.common.reload}
    </Button>
  );
  return <EmptyState title={t.common.crashed} text={t.common.crashedText} action={reload} />;
}
