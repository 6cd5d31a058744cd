// The browser: the system's, which asks nobody anything by itself.

export const CHROMIUM_PATH = process.env.PAGE_TEST_CHROMIUM ?? "/usr/bin/chromium";

export const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
