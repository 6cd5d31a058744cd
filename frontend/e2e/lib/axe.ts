// axe on a page, as it is.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { Page } from "@playwright/test";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RUN = `axe.run({ resultTypes: ["violations"] })`;
const SERIOUS = ["serious", "critical"];
/** Elements that are named of each rule. */
const NAMED_MAX = 5;

interface Violation {
  id: string;
  impact: string;
  help: string;
  nodes: { html: string; target: string[] }[];
}

/** What is seriously wrong on a page, one line for each element. */
export async function violations(page: Page): Promise<string[]> {
  // By the protocol of the debugger, which no policy of the page holds back.
  await page.evaluate(AXE);
  const { violations: found } = await page.evaluate<{ violations: Violation[] }>(RUN);
  return found
    .filter(({ impact }) => SERIOUS.includes(impact))
    .flatMap(({ id, help, nodes }) =>
      nodes
        .slice(0, NAMED_MAX)
        .map(({ html, target }) => `${id}: ${help}: ${target.join(" ")} ${html}`),
    );
}
