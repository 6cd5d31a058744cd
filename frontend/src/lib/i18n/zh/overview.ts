import type { Messages } from "@/lib/i18n.ts";

export const overview: Messages["overview"] = {
  title: "概览",
  figures: "关键指标",
  qps: "QPS",
  qpsHint: "最近一个完整分钟内的每秒请求数，与所选时间范围无关",
  connections: "活跃连接",
  connectionsHint: "各网关上报的当前连接数，与所选时间范围无关",
  now: "当前值",
  start: "开始使用",
  emptyTitle: "还没有事件",
  emptyText: "向 ingest 发送一个事件，大约两秒后即可在此看到。",
};
