import { Page, PageHead } from "@/components/frame.tsx";
import { useMessages } from "@/components/view.ts";

export default function Upstreams() {
  const t = useMessages();
  return (
    <Page>
      <PageHead title={t.upstreams.title} windowTitle={t.upstreams.title} />
    </Page>
  );
}
