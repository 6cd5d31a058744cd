import type { Messages } from "@/lib/i18n.ts";

export const pipeline: Messages["pipeline"] = {
  title: "处理管线",
};
