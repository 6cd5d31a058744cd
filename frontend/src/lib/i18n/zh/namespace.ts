import type { Messages } from "@/lib/i18n.ts";

export const namespace: Messages["namespace"] = {
  title: "命名空间",
  allNamespaces: "全部命名空间",
  figures: "关键指标",
  enabled: "已启用",
  disabled: "已停用",
  latencyTrend: "响应时间趋势",
  seeUsage: "查看详细用量",
  notFound: "没有这个命名空间",
  notFoundText: "它尚未创建，也没有事件使用过它。",
};
