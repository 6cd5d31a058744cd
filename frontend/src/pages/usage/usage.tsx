import { Page, PageHead } from "@/components/frame.tsx";
import { useMessages } from "@/components/view.ts";

export default function Usage() {
  const t = useMessages();
  return (
    <Page>
      <PageHead title={t.usage.title} windowTitle={t.usage.title} />
    </Page>
  );
}
