// The rules of the front end. Layers: lib -> api -> components -> pages -> app; a file imports
// from its own folder with "./" and from layers below with "@/layer/..".
import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

const LAYERS = ["lib", "api", "components", "pages", "app"];

const upward = {
  regex: "^\\.\\./",
  message: "Import what is outside of this folder as @/layer/..",
};
const uplot = {
  regex: "^uplot",
  message: "Only components/chart knows uPlot.",
};

/** Forbids the imports that a layer must not have. */
function layer(name) {
  const above = LAYERS.slice(LAYERS.indexOf(name) + 1);
  const patterns = [upward, uplot];
  if (above.length > 0) {
    patterns.push({
      regex: `^@/(${above.join("|")})/`,
      message: `${name} is below ${above.join(", ")}.`,
    });
  }
  if (name === "pages") {
    patterns.push({ regex: "^@/pages/", message: "A page knows no other page." });
  }
  return {
    files: [`src/${name}/**/*.{ts,tsx}`],
    rules: { "@typescript-eslint/no-restricted-imports": ["error", { patterns }] },
  };
}

const requests = ["fetch", "EventSource", "XMLHttpRequest", "WebSocket"].map((name) => ({
  name,
  message: "Only api/http.ts sends requests.",
}));
const memory = ["localStorage", "sessionStorage"].map((name) => ({
  name,
  message: "Only lib/storage.ts remembers, and never a key.",
}));
const requestsOf = ["fetch", "EventSource", "XMLHttpRequest"].flatMap((property) =>
  ["window", "globalThis"].map((object) => ({
    object,
    property,
    message: "Only api/http.ts sends requests.",
  })),
);
const memoryOf = ["localStorage", "sessionStorage"].flatMap((property) =>
  ["window", "globalThis"].map((object) => ({
    object,
    property,
    message: "Only lib/storage.ts remembers, and never a key.",
  })),
);

export default tseslint.config(
  { ignores: ["dist", "src/api/schema.d.ts", "public"] },
  js.configs.recommended,
  {
    files: ["src/**/*.{ts,tsx}", "vite.config.ts", "licenses.ts", "preload.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { "react-hooks": hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      "no-restricted-globals": ["error", ...requests, ...memory],
      "no-restricted-properties": ["error", ...requestsOf, ...memoryOf],
      "@typescript-eslint/consistent-type-definitions": ["error", "interface"],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/only-throw-error": "off",
      "max-lines": ["error", 500],
      "max-len": ["error", { code: 100 }],
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "Text from the API is shown as text.",
        },
      ],
    },
  },
  {
    files: ["e2e/**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/consistent-type-definitions": ["error", "interface"],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // Fixtures and steps of a walk are awaited where it is read, and typed where they are made.
      "@typescript-eslint/no-dynamic-delete": "off",
      "max-lines": ["error", 500],
      "max-len": ["error", { code: 100 }],
    },
  },
  {
    files: ["e2e/*.mjs"],
    languageOptions: { globals: { console: "readonly", process: "readonly" } },
  },
  ...LAYERS.map(layer),
  {
    files: ["src/components/chart/**"],
    rules: {
      "@typescript-eslint/no-restricted-imports": [
        "error",
        { patterns: [upward, { regex: "^@/(pages|app)/", message: "Above components." }] },
      ],
    },
  },
  {
    files: ["src/api/http.ts"],
    rules: {
      "no-restricted-globals": ["error", ...requests.slice(1), ...memory],
      "no-restricted-properties": ["error", ...memoryOf],
    },
  },
  {
    files: ["src/lib/storage.ts"],
    rules: {
      "no-restricted-globals": ["error", ...requests],
      "no-restricted-properties": ["error", ...requestsOf],
    },
  },
);
