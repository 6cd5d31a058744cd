// Names in the document what every page is made of, so that the browser fetches it while it still
// reads the first script, which would ask for it only then.
import type { Plugin, Rolldown } from "vite";

type Chunk = Rolldown.OutputChunk;

/** Module that every page needs; the page itself is chosen by the address. */
const FRAME = "/src/app/main.tsx";

export function preload(): Plugin {
  return {
    name: "gatemeter:preload",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(_, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((file): file is Chunk => file.type === "chunk");
        const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
        const frame = chunks.find((chunk) => chunk.facadeModuleId?.endsWith(FRAME));
        if (frame === undefined) throw new Error(`no chunk of ${FRAME}`);
        // A set goes on with what is added while it is walked through.
        const names = new Set([frame.fileName]);
        for (const name of names) {
          for (const imported of byName.get(name)?.imports ?? []) names.add(imported);
        }
        return [...names]
          .filter((name) => byName.get(name)?.isEntry === false)
          .sort()
          .map((name) => ({
            tag: "link",
            attrs: { rel: "modulepreload", crossorigin: true, href: `/${name}` },
            injectTo: "head" as const,
          }));
      },
    },
  };
}
