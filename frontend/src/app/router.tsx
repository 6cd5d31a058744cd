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

import { Frame } from "@/components/frame.tsx";
import { PageLink } from "@/components/page-link.tsx";
import { EmptyState } from "@/components/states.tsx";
import { useMessages, useViewOfAddress, ViewContext } from "@/components/view.ts";
import { parseSearch, stringifySearch } from "@/lib/search.ts";

import { PAGES } from "./pages.ts";
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

function page(path: keyof typeof PAGES) {
  return createRoute({
    getParentRoute: () => root,
    path,
    component: lazyRouteComponent(PAGES[path]),
    errorComponent: Crashed,
  });
}

const paths = Object.keys(PAGES) as (keyof typeof PAGES)[];
const tree = root.addChildren(paths.map(page));

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
