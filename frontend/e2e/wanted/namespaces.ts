// What the list of namespaces must show: how many there are. Its other cells are texts.
import { ask, digits } from "../lib/api.ts";
import type { Wanted } from "../lib/figures.ts";
import type { When } from "./overview.ts";

export async function namespaces(place: string, filters: When = {}): Promise<Wanted[]> {
  const page = await ask(place, "/api/namespaces", filters);
  return [{ figure: "namespaces.total", value: digits(page, "total"), kind: "count" }];
}
