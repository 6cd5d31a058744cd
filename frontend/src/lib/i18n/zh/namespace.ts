import type { Messages } from "@/lib/i18n.ts";

export const namespace: Messages["namespace"] = {
  title: "命名空间",
};
