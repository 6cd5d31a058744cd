// How the walk is run: the system's Chromium, no download, nothing tried twice. It looks at
// processes that scripts/page-test.sh starts, and names in the environment.
import { defineConfig } from "@playwright/test";

import { CHROMIUM_ARGS, CHROMIUM_PATH } from "./lib/browser.ts";

export default defineConfig({
  testDir: ".",
  globalSetup: "./fill.ts",
  outputDir: process.env.PAGE_TEST_OUTPUT ?? "/tmp/gatemeter-page-test",
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    viewport: { width: 1440, height: 1000 },
    timezoneId: "UTC",
    locale: "en-US",
    serviceWorkers: "block",
    launchOptions: { executablePath: CHROMIUM_PATH, args: CHROMIUM_ARGS },
  },
  projects: [
    { name: "walk", testMatch: "*.spec.ts" },
    // Only by option: they measure or draw, and assert nothing.
    { name: "frames", testMatch: "frames.ts" },
    { name: "shots", testMatch: "shots.ts" },
  ],
});
