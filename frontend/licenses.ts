// Writes the licences of all packages that the built files contain parts of, with their texts, as
// the packages ask for. The build fails if a text is missing or a licence is not one of the list.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Plugin } from "vite";

const FILE = "assets/licenses.txt";
const ALLOWED = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"];
/** Texts of packages that are published without one, from their repositories. */
const TEXTS = join(import.meta.dirname, "licenses");
/** The bundler's own helpers, which end up in the built files, and whose they are. */
const HELPERS: Record<string, string> = {
  "\0rolldown/runtime.js": "rolldown",
  "\0vite/preload-helper.js": "vite",
};

/** Folder of the package that a module belongs to; null if it is our own. */
function folderOf(module: string): string | null {
  const helper = HELPERS[module];
  if (helper !== undefined) return join(import.meta.dirname, "node_modules", helper);
  const [path = ""] = module.split("?");
  const found = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path.replaceAll("\\", "/"));
  return found === null ? null : found[0];
}

function textOf(folder: string, name: string): string {
  const own = readdirSync(folder).sort().find((file) => /^(licen[cs]e|copying)\b/i.test(file));
  const kept = join(TEXTS, `${name.replace("/", "-")}.txt`);
  if (own === undefined && !existsSync(kept)) throw new Error(`put the licence text into ${kept}`);
  const text = readFileSync(own === undefined ? kept : join(folder, own), "utf8");
  // Vite's goes on with what the build tool contains, which the built files do not.
  const [ours = ""] = text.split("# Licenses of bundled dependencies");
  return ours.replaceAll("\r\n", "\n").trim();
}

function entryOf(folder: string): string {
  const read = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as unknown;
  const { name, version, license } = read as Record<"name" | "version" | "license", string>;
  if (!ALLOWED.includes(license)) throw new Error(`${name} ${version}: ${license} is not allowed`);
  const title = `${name} ${version} (${license})`;
  return `${title}\n${"-".repeat(title.length)}\n\n${textOf(folder, name)}\n`;
}

export function licenses(): Plugin {
  return {
    name: "gatemeter:licenses",
    apply: "build",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === "asset") continue;
        for (const module of chunk.moduleIds) {
          const folder = folderOf(module);
          if (folder !== null) folders.add(folder);
        }
      }
      const head = "The page of Gatemeter contains parts of these packages.\n";
      // By code points: the same order in every locale.
      const entries = [...new Set([...folders].map(entryOf))].sort();
      this.emitFile({ type: "asset", fileName: FILE, source: [head, ...entries].join("\n\n") });
    },
  };
}
