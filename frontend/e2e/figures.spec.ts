// Every figure of every page is the API's, in both languages and both themes.
import { compare } from "./lib/figures.ts";
import { LANGUAGES, THEMES } from "./lib/format.ts";
import { main } from "./lib/places.ts";
import { open, test } from "./lib/walk.ts";
import { namespace } from "./wanted/namespace.ts";
import { namespaces } from "./wanted/namespaces.ts";
import { overview } from "./wanted/overview.ts";
import { pipeline } from "./wanted/pipeline.ts";
import { upstreams } from "./wanted/upstreams.ts";
import { usage } from "./wanted/usage.ts";

const RANGE = "24h";
const MEASURES = {
  en: [["duration", "upstream", "outcome"], ["tpot", "model", "status"]],
  zh: [["ttft", "model", "outcome"]],
} as const;

const GROUPED = ["namespace", "consumer", "model,upstream,status,outcome", "namespace,hour"];

for (const [idx, language] of LANGUAGES.entries()) {
  // Each language in one theme here; that a theme changes no number is seen where both are drawn.
  const theme = THEMES[idx] ?? "light";
  const view = { language, theme, range: RANGE };
  const when = { timeRange: RANGE, tz: "UTC" };

  test(`overview, ${language}`, async ({ page }) => {
    await open(page, main(), "/", view);
    await compare(page, language, () => overview(main(), when));
  });

  test(`namespace, ${language}`, async ({ page }) => {
    await open(page, main(), "/namespaces/search", view);
    await compare(page, language, () => namespace(main(), "search", when));
  });

  test(`pipeline, ${language}`, async ({ page }) => {
    await open(page, main(), "/pipeline", view);
    await compare(page, language, () => pipeline(main()));
    await open(page, main(), "/pipeline", { ...view, class: "future" });
    await compare(page, language, () => pipeline(main(), { class: "future" }));
  });

  test(`namespaces, ${language}`, async ({ page }) => {
    await open(page, main(), "/namespaces", { ...view, keyword: "o" });
    await compare(page, language, () => namespaces(main(), { keyword: "o" }));
  });

  // The three measures and both sides of errors, over both languages.
  for (const [metric, side, cause] of MEASURES[language]) {
    test(`upstreams, ${metric}, errors by ${side} and ${cause}, ${language}`, async ({ page }) => {
      await open(page, main(), "/upstreams", { ...view, metric, errors: side, cause });
      await compare(page, language, () => upstreams(main(), when, metric, side, cause));
    });
  }

  for (const group of GROUPED) {
    test(`usage by ${group}, ${language}`, async ({ page }) => {
      await open(page, main(), "/usage", { ...view, group });
      await compare(page, language, () => usage(main(), when, { group_by: group }));
    });
  }

  test(`usage compared with the period before, ${language}`, async ({ page }) => {
    await open(page, main(), "/usage", { ...view, range: "1h", compare: "previous" });
    const params = { group_by: "namespace", compare: "previous" };
    await compare(page, language, () => usage(main(), { timeRange: "1h", tz: "UTC" }, params));
  });
}
