import type { Messages } from "@/lib/i18n.ts";

export const usage: Messages["usage"] = {
  title: "用量",
};
