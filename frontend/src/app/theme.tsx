// Gives the components of Mantine the theme. Its variables are in a file of styles, as the policy
// of the page allows no styles that a script writes.
import { Button, createTheme, MantineProvider } from "@mantine/core";
import type { ReactNode } from "react";

import { useView } from "@/components/view.ts";

const theme = createTheme({
  fontFamily: "var(--gm-font)",
  defaultRadius: "md",
  respectReducedMotion: true,
  components: {
    // Mantine would write in white, which nobody can read on the light accent of the dark theme.
    Button: Button.extend({
      vars: (_, { variant }) => ({
        root: variant === undefined ? { "--button-color": "var(--gm-on-accent)" } : {},
      }),
    }),
  },
});

export function Theme({ children }: { children: ReactNode }) {
  const view = useView();
  return (
    <MantineProvider
      theme={theme}
      forceColorScheme={view.theme}
      withCssVariables={false}
      withGlobalClasses={false}
      deduplicateCssVariables={false}
    >
      {children}
    </MantineProvider>
  );
}
