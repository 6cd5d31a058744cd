// Names for what the API answers, from its own description. Numbers are read without losing a
// digit, which the description cannot know: Wire says so.
import type { Wire } from "@/lib/json.ts";

import type { components } from "./schema.d.ts";

type Schemas = components["schemas"];

export type Schema<Name extends keyof Schemas> = Wire<Schemas[Name]>;
