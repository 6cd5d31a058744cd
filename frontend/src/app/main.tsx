// Starts the page.
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { newClient } from "@/api/client.ts";

import { router } from "./router.tsx";

const root = document.getElementById("root");
if (root === null) throw new Error("no element to draw into");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={newClient()}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
