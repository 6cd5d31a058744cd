// Begins: the frame and the page that the address names are loaded at the same time. Colours come
// with the document, so that a dark page is never white before it is drawn.
import "@/components/mantine.css";
import "@/components/theme.css";

import { pageAt } from "./pages.ts";

pageAt(location.pathname)?.().catch(() => {
  // The router asks for it again and shows what went wrong.
});
void import("./main.tsx");
