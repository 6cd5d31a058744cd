// Zooming: a part of a chart becomes the range of the page.
import { useCallback } from "react";

import { isoOf } from "@/lib/range.ts";

import { useAddress } from "./view.ts";

/** Takes milliseconds since the epoch; the address keeps the range to go back to. */
export function useZoom(): (from: number, to: number) => void {
  const [, change] = useAddress();
  return useCallback(
    (from, to) => { change({ from: isoOf(from), to: isoOf(to), page: undefined }); },
    [change],
  );
}
