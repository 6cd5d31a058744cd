// The texts of the page, in each language. One file for each page and language; those of Chinese
// have the form of the English ones, so that none can be missing.
import { common as enCommon } from "./i18n/en/common.ts";
import { namespace as enNamespace } from "./i18n/en/namespace.ts";
import { namespaces as enNamespaces } from "./i18n/en/namespaces.ts";
import { overview as enOverview } from "./i18n/en/overview.ts";
import { pipeline as enPipeline } from "./i18n/en/pipeline.ts";
import { upstreams as enUpstreams } from "./i18n/en/upstreams.ts";
import { usage as enUsage } from "./i18n/en/usage.ts";
import { common as zhCommon } from "./i18n/zh/common.ts";
import { namespace as zhNamespace } from "./i18n/zh/namespace.ts";
import { namespaces as zhNamespaces } from "./i18n/zh/namespaces.ts";
import { overview as zhOverview } from "./i18n/zh/overview.ts";
import { pipeline as zhPipeline } from "./i18n/zh/pipeline.ts";
import { upstreams as zhUpstreams } from "./i18n/zh/upstreams.ts";
import { usage as zhUsage } from "./i18n/zh/usage.ts";
import type { Language } from "./format.ts";

const en = {
  common: enCommon,
  overview: enOverview,
  usage: enUsage,
  namespace: enNamespace,
  upstreams: enUpstreams,
  pipeline: enPipeline,
  namespaces: enNamespaces,
};

export type Messages = typeof en;

const zh: Messages = {
  common: zhCommon,
  overview: zhOverview,
  usage: zhUsage,
  namespace: zhNamespace,
  upstreams: zhUpstreams,
  pipeline: zhPipeline,
  namespaces: zhNamespaces,
};

export const MESSAGES: Record<Language, Messages> = { en, zh };

/** The language of the browser, if nothing else is said. */
export function ownLanguage(): Language {
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}
