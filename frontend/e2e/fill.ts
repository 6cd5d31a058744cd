// Before the walk: sends what replays do not, waits until all of it is counted, and has a recount
// of the log agree with the API. After the walk, which must have changed nothing, the same again.
import { execFileSync } from "node:child_process";

import { ask, text, whole } from "./lib/api.ts";
import { CONSUMERS, NAMESPACES } from "./lib/hostile.ts";

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: scripts/page-test.sh sets it`);
  return value;
}

async function send(url: string, body: unknown, good: number[]): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!good.includes(response.status)) {
    throw new Error(`${url}: ${response.status} ${await response.text()}`);
  }
}

function events() {
  const now = Date.now() / 1_000;
  return CONSUMERS.flatMap((consumer, idx) =>
    NAMESPACES.map(([namespace], place) => ({
      id: `page-test-${idx}-${place}`,
      time: now,
      namespace,
      consumer,
      upstream: "openai",
      model: "gpt-4o",
      method: "POST",
      endpoint: "/v1/chat/completions",
      status: idx === 3 ? 500 : 200,
      duration_ms: 800.5 + idx,
      usage: { input_tokens: 1_500 + idx, output_tokens: 300 + place },
    })),
  );
}

function recount() {
  execFileSync(
    given("PAGE_TEST_PROGRAM"),
    ["recount", "--data", given("PAGE_TEST_DATA"), "--metrics", given("PAGE_TEST_METRICS"),
      "--api", given("PAGE_TEST_MAIN")],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
}

export default async function fill() {
  // A measurement has no log to recount.
  if (process.env.PAGE_TEST_DATA === undefined) return undefined;
  const main = given("PAGE_TEST_MAIN");
  const ingest = `${given("PAGE_TEST_INGEST")}/v1/events`;
  for (const [code, name] of NAMESPACES) {
    await send(`${main}/api/namespaces`, { code, name }, [201, 409]);
  }
  const sent = events();
  await send(ingest, sent, [200]);
  const time = Date.now() / 1_000;
  const connections = { kind: "connections", namespace: "hostile", gateway: "gw", active: 7, time };
  await send(ingest, connections, [200]);
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await ask(main, "/api/metrics/namespaces/hostile/stats", { timeRange: "all" });
    const { length } = CONSUMERS;
    if (whole(found, "totalRequests") === BigInt(length)) break;
    if (Date.now() > end) throw new Error(`not counted: ${text(found, "range", "timezone")}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  recount();
  return recount;
}
