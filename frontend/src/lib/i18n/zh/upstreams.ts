import type { Messages } from "@/lib/i18n.ts";

export const upstreams: Messages["upstreams"] = {
  title: "上游与模型",
};
