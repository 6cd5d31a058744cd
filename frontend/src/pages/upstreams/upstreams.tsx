// How each upstream and each model does: requests, errors, tokens, and how long they take.
import { useUsage } from "@/api/queries.ts";
import { Covered } from "@/components/covered.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { EmptyState, Freshness } from "@/components/states.tsx";
import { RangePicker, ZonePicker } from "@/components/toolbar.tsx";
import { useAddress, useView } from "@/components/view.ts";

import { askOf, filtersOf, SIZE } from "./ask.ts";
import { Errors } from "./errors.tsx";
import { Filters } from "./filters.tsx";
import { Latency } from "./latency.tsx";
import { Sides } from "./sides.tsx";

export default function Upstreams() {
  const { t, when } = useView();
  const u = t.upstreams;
  const [address] = useAddress();
  const ask = askOf(address);
  const params = { ...filtersOf(ask), size: SIZE, order: "-requests" };
  const upstreams = useUsage(when, { ...params, group_by: "upstream" });
  const models = useUsage(when, { ...params, group_by: "model" });
  const data = upstreams.data?.data;
  const isUnknown = upstreams.error?.status === 404;
  return (
    <Page>
      <PageHead
        title={u.title}
        windowTitle={u.title}
        note={data && <Covered range={data.range} asOf={data.as_of} page="upstreams" />}
        tools={<><RangePicker /><ZonePicker /></>}
      />
      <Freshness result={upstreams} time={data?.as_of.time} />
      <Filters ask={ask} />
      {isUnknown ? (
        <div role="alert">
          <EmptyState title={u.noSuchNamespace} />
        </div>
      ) : (
        <>
          <Sides ask={ask} side="upstream" result={upstreams} />
          <Sides ask={ask} side="model" result={models} />
          <Latency ask={ask} />
          <Errors ask={ask} />
        </>
      )}
    </Page>
  );
}
