// Which time an answer covers, and which version of the ledger it is from.
import type { Num } from "@/lib/json.ts";

import { Figure } from "./figure.tsx";
import { useFormats, useMessages } from "./view.ts";

export interface CoveredProps {
  range: { from: string | null; to: string | null; timezone: string };
  asOf: { version: Num; time: string | null };
  /** Page, for the name of the figure. */
  page: string;
}

export function Covered({ range, asOf, page }: CoveredProps) {
  const t = useMessages();
  const { moment } = useFormats();
  const time = (text: string | null) => (text === null ? "…" : moment(text, "full"));
  const isBounded = range.from !== null || range.to !== null;
  return (
    <span>
      {isBounded ? `${time(range.from)} – ${time(range.to)}` : t.common.ranges.all}
      {" · "}
      <bdi>{range.timezone}</bdi>
      {" · "}
      {t.common.asOf} <Figure name={`${page}.version`} value={asOf.version} />
      {asOf.time !== null && ` (${t.common.asOfTime(moment(asOf.time, "second"))})`}
    </span>
  );
}
