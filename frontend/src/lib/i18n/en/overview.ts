export const overview = {
  title: "Overview",
  figures: "At a glance",
  qps: "QPS",
  qpsHint: "Requests per second in the last full minute, current whatever the range",
  connections: "Active connections",
  connectionsHint: "Open connections that gateways report, current whatever the range",
  now: "right now",
  start: "Get started",
  emptyTitle: "No events yet",
  emptyText: "Send one to ingest, and it appears here about two seconds later.",
};
