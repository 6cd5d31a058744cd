import { Page, PageHead } from "@/components/frame.tsx";
import { useMessages } from "@/components/view.ts";

export default function Namespaces() {
  const t = useMessages();
  return (
    <Page>
      <PageHead title={t.namespaces.title} windowTitle={t.namespaces.title} />
    </Page>
  );
}
