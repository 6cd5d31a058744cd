import { Page, PageHead } from "@/components/frame.tsx";
import { useMessages } from "@/components/view.ts";

export default function Pipeline() {
  const t = useMessages();
  return (
    <Page>
      <PageHead title={t.pipeline.title} windowTitle={t.pipeline.title} />
    </Page>
  );
}
