// Build and development server. The built files are committed and compiled into the api, so they
// must not depend on the machine: no absolute paths, no times, no environment.
import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

import { licenses } from "./licenses.ts";
import { preload } from "./preload.ts";

// Where the development server sends what is not its own.
const api = process.env.GATEMETER_API ?? "http://127.0.0.1:8001";

// The policy that the api sends with the page (api/src/asset.rs), so that a breach shows here too.
const POLICY =
  "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
  "object-src 'none'";

export default defineConfig({
  plugins: [react(), licenses(), preload()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
    // The policy of the page allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rolldownOptions: {
      output: {
        // The libraries change less often than the pages.
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: "tanstack", test: /node_modules\/@tanstack\/(?!react-virtual|virtual)/ },
          ],
        },
      },
    },
  },
  server: { proxy: { "/api": api, "/openapi.json": api, "/docs": api } },
  preview: {
    proxy: { "/api": api, "/openapi.json": api, "/docs": api },
    headers: { "Content-Security-Policy": POLICY },
  },
  test: { include: ["src/**/*.test.ts"] },
});
