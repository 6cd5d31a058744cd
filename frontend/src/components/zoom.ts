// Zooming: a part of a chart becomes the range of the page. Charts show it at once, on the numbers
// that they have, until those of the new range are there.
import { createContext, useCallback, useContext, useMemo, useState } from "react";

import { isoOf, secondsOf, type Range } from "@/lib/range.ts";

import { isSame, wholeOf, type Buckets, type Span } from "./chart/buckets.ts";
import { useAddress, useView } from "./view.ts";

/** Whether the answer that is shown is that of the query before. */
export const StandInContext = createContext(false);

/** Takes milliseconds since the epoch; the address keeps the range to go back to. */
export function useZoom(): (from: number, to: number) => void {
  const [, change] = useAddress();
  return useCallback(
    (from, to) => { change({ from: isoOf(from), to: isoOf(to), page: undefined }); },
    [change],
  );
}

/** A part that somebody chose, of these buckets and while the page had this range. */
interface Chosen {
  span: Span;
  buckets: Buckets;
  range: Range;
}

/**
 * The span that a chart has to show other than the whole of its buckets; null if that is right. It
 * is what was just chosen, which the address has a little later, and then what the address says,
 * until the answer for it is there.
 */
export function useShownSpan(buckets: Buckets): [Span | null, (span: Span) => void] {
  const { range } = useView();
  const isStandIn = useContext(StandInContext);
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const asked = useMemo(() => (isStandIn ? secondsOf(range) : null), [isStandIn, range]);
  const isHere = chosen !== null && chosen.buckets === buckets && chosen.range === range;
  const span = asked ?? (isHere ? chosen.span : null);
  const choose = (next: Span) => {
    // What is shown already may be what the address says already, so that nothing would follow.
    if (!isSame(next, span ?? wholeOf(buckets))) setChosen({ span: next, buckets, range });
  };
  return [span, choose];
}
