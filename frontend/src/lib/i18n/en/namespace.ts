export const namespace = {
  title: "Namespace",
  allNamespaces: "All namespaces",
  figures: "At a glance",
  enabled: "Enabled",
  disabled: "Disabled",
  latencyTrend: "Response time over time",
  seeUsage: "Usage in detail",
  notFound: "There is no such namespace",
  notFoundText: "It has not been created, and no event has named it.",
};
