// What the address says about the list, and what the API is asked with.
import type { Params } from "@/api/http.ts";
import { oneOf, pageOf } from "@/lib/search.ts";

export const STATUSES = ["enabled", "disabled"] as const;
export type Status = (typeof STATUSES)[number];

export const SIZES = ["50", "100", "250", "1000"] as const;
const SIZE = "100";

export interface Ask {
  keyword: string;
  /** Undefined: both. */
  status: Status | undefined;
  page: number;
  size: string;
}

/** Reads the address; what is not understood is as if it were not there. */
export function askOf(address: Record<string, string | undefined>): Ask {
  return {
    keyword: address.keyword ?? "",
    status: oneOf(address.status, STATUSES),
    page: pageOf(address.page) ?? 1,
    size: oneOf(address.size, SIZES) ?? SIZE,
  };
}

export function paramsOf({ keyword, status, page, size }: Ask): Params {
  return { keyword, status, page, size };
}

/** Which field of the form a refusal is about, by the API's own words. */
export function fieldOf(message: string): "code" | "name" | "form" {
  const first = message.split(" ", 1)[0];
  return first === "code" || first === "name" ? first : "form";
}
