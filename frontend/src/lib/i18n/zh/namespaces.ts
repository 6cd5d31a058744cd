import type { Messages } from "@/lib/i18n.ts";

export const namespaces: Messages["namespaces"] = {
  title: "命名空间",
};
