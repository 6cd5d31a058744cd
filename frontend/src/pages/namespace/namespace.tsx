import { Page, PageHead } from "@/components/frame.tsx";
import { useMessages } from "@/components/view.ts";

export default function NamespacePage() {
  const t = useMessages();
  return (
    <Page>
      <PageHead title={t.namespace.title} windowTitle={t.namespace.title} />
    </Page>
  );
}
