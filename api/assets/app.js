// The built-in page: asks the API for one dashboard every two seconds and shows what it says, so
// that all numbers are of one version of the ledger. One question is under way at a time, so that a
// slow server is never asked more often than it answers; ranges of many rows, which change little
// in a moment, are asked about every ten seconds. The address holds range, namespace and language.

import { drawBars } from "/assets/chart.js";

const REFRESH_MS = 2000;
const LONG_REFRESH_MS = 10000;
const LONG_RANGES = ["week", "month", "all"];
const TIMEOUT_MS = 10000;
const KEY = "gatemeter.key";

const TEXTS = {
  en: {
    range: "Range", today: "Today", yesterday: "Yesterday", week: "This week", month: "This month",
    figures: "At a glance", all: "All", namespace: "Namespace", open: "Open", requests: "Requests",
    success: "Success rate", errors: "Errors",
    key: "Admin key (in the file admin.key of the data folder)", input: "Input tokens",
    output: "Output tokens", qps: "QPS, last minute, all namespaces",
    latency: "Mean response time", connections: "Open connections, all namespaces",
    trend: "Requests over time", tokens: "Tokens over time", byNamespace: "Requests by namespace",
    estimated: "of these estimated",
    empty: "No events yet. Send one to ingest and it is here two seconds later.",
    unreachable: "The server cannot be reached; the numbers are those of before.",
    wrongKey: "This key is not the right one.", total: "Total",
    accounting: "Events", version: "ledger version",
  },
  zh: {
    range: "时间范围", today: "今天", yesterday: "昨天", week: "本周", month: "本月", all: "全部",
    namespace: "命名空间", open: "打开", requests: "总请求数", success: "成功率", errors: "错误数",
    figures: "概览", key: "管理密钥（位于数据目录的 admin.key 文件中）", input: "输入 token", output: "输出 token",
    qps: "QPS（最近一分钟，全部命名空间）", latency: "平均响应时间",
    connections: "活跃连接（全部命名空间）", trend: "请求趋势", tokens: "token 趋势",
    estimated: "其中估算",
    byNamespace: "各命名空间请求数", empty: "还没有事件。向 ingest 发送一个，两秒后即可在此看到。",
    unreachable: "无法连接服务器，当前显示的是之前的数据。", wrongKey: "密钥不正确。", total: "合计",
    accounting: "事件", version: "账本版本",
  },
};

const byId = (id) => document.getElementById(id);
const address = new URLSearchParams(location.search);
let language = address.get("lang") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!(language in TEXTS)) language = "en";
let timer = 0;
let round = 0;
let shown = { question: "", at: 0 };

const text = (name) => TEXTS[language][name];
const whole = (number) => new Intl.NumberFormat(language).format(number);
const percent = (share) => `${(share * 100).toFixed(2)} %`;
const time = (ms) => {
  if (ms === null) return "–";
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
};

class Refused extends Error {}

async function ask(path, params) {
  const url = `${path}?${new URLSearchParams(params)}`;
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.status === 401) throw new Refused();
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message);
  return body.data;
}

function notice(message) {
  byId("notice").hidden = !message;
  byId("notice").textContent = message || "";
}

function showFigures(stats, system) {
  byId("requests").textContent = whole(stats.totalRequests);
  byId("errors").textContent = whole(stats.errors);
  byId("success").textContent = stats.successRate === null ? "–" : percent(stats.successRate);
  byId("input").textContent = whole(stats.tokens.input);
  byId("output").textContent = whole(stats.tokens.output);
  const estimated = stats.tokens.estimated;
  byId("estimated").textContent = estimated ? `${text("estimated")}: ${whole(estimated)}` : "";
  byId("qps").textContent = system.qps.toFixed(1);
  byId("latency").textContent = time(stats.avgResponseTime);
  byId("p95").textContent = time(stats.quantiles.p95);
  byId("connections").textContent = whole(system.activeConnections);
  byId("empty").hidden = system.events.total > 0;
  const parts = Object.entries(system.events).map(([name, n]) => `${name} ${whole(n)}`);
  byId("accounting").textContent = `${text("accounting")}: ${parts.join(" · ")}`;
  const asOf = system.as_of;
  const at = asOf.time ? ` · ${asOf.time}` : "";
  byId("as-of").textContent = `${text("version")} ${whole(asOf.version)}${at}`;
}

function showTrend(trend) {
  byId("trend-total").textContent = whole(trend.total);
  drawBars(byId("trend"), trend.labels, trend.datasets, trend.step, whole);
}

function showTokens(tokens) {
  const sets = tokens.datasets.map(({ label, data }) => ({ label: text(label), data }));
  const totals = [tokens.totals.input, tokens.totals.output];
  const parts = sets.map(({ label }, idx) => `${label} ${whole(totals[idx])}`);
  byId("tokens-total").textContent = parts.join(" · ");
  drawBars(byId("tokens"), tokens.labels, sets, tokens.step, whole);
}

function row(cells, tag) {
  const line = document.createElement("tr");
  cells.forEach((content, idx) => {
    const cell = document.createElement(idx === 0 ? "th" : tag);
    cell.textContent = content;
    line.append(cell);
  });
  return line;
}

function showNamespaces(distribution) {
  const head = [text("namespace"), text("total"), ...distribution.labels];
  const rows = distribution.datasets
    .map(({ label, data }) => ({ label, data, total: data.reduce((sum, n) => sum + n, 0) }))
    .sort((a, b) => b.total - a.total || a.label.localeCompare(b.label));
  byId("namespaces").tHead.replaceChildren(row(head, "th"));
  byId("namespaces").tBodies[0].replaceChildren(
    ...rows.map(({ label, data, total }) => row([label, whole(total), ...data.map(whole)], "td")),
  );
  const select = byId("namespace");
  const known = new Set([...select.options].map((option) => option.value));
  for (const { label } of distribution.datasets) {
    if (!known.has(label)) select.append(new Option(label, label));
  }
}

async function refresh() {
  const mine = ++round;
  clearTimeout(timer);
  const timeRange = byId("range").value;
  const tz = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const namespace = byId("namespace").value;
  const question = JSON.stringify([namespace, timeRange, tz, language]);
  const patience = LONG_RANGES.includes(timeRange) ? LONG_REFRESH_MS : 0;
  if (shown.question !== question || Date.now() - shown.at >= patience) {
    try {
      const board = await ask("/api/metrics/dashboard", { namespace, timeRange, tz });
      if (mine !== round) return;
      showFigures(board.stats, board.system);
      showTrend(board.requestTrend);
      showTokens(board.tokens);
      showNamespaces(board.statusDistribution);
      shown = { question, at: Date.now() };
      notice("");
      byId("login").hidden = true;
      document.body.dataset.version = board.system.as_of.version;
    } catch (error) {
      if (mine !== round) return;
      if (error instanceof Refused) {
        if (sessionStorage.getItem(KEY)) notice(text("wrongKey"));
        byId("login").hidden = false;
        return;
      }
      const isUnreachable = error instanceof TypeError || error.name === "TimeoutError";
      notice(isUnreachable ? text("unreachable") : error.message);
    }
  }
  timer = setTimeout(refresh, REFRESH_MS);
}

// The address shows what the page shows, so that it can be kept and sent to others.
function remember() {
  const state = { range: byId("range").value, namespace: byId("namespace").value, lang: language };
  history.replaceState(null, "", `?${new URLSearchParams(state)}`);
}

function recall() {
  const range = address.get("range");
  if ([...byId("range").options].some((option) => option.value === range)) {
    byId("range").value = range;
  }
  const namespace = address.get("namespace");
  if (namespace && namespace !== "all") {
    byId("namespace").append(new Option(namespace, namespace));
    byId("namespace").value = namespace;
  }
}

function speak() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  byId("language").textContent = language === "en" ? "中文" : "English";
  byId("language").lang = language === "en" ? "zh" : "en";
}

byId("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  speak();
  remember();
  refresh();
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  byId("key").value = "";
  refresh();
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["range", "namespace"]) {
  byId(id).addEventListener("change", () => {
    remember();
    refresh();
  });
}
recall();
speak();
refresh();
