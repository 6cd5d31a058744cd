// Every page, by its address. With those of views that look different.

export interface Place {
  name: string;
  path: string;
  params?: Record<string, string>;
}

export const PAGES: readonly Place[] = [
  { name: "overview", path: "/" },
  { name: "usage", path: "/usage" },
  { name: "namespace", path: "/namespaces/search" },
  { name: "upstreams", path: "/upstreams" },
  { name: "pipeline", path: "/pipeline" },
  { name: "namespaces", path: "/namespaces" },
];
