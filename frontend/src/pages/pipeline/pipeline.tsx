// What became of every event, how far counting has come, and what was not counted and why.
import { useSystem } from "@/api/queries.ts";
import type { Schema } from "@/api/types.ts";
import { FigureCard, FigureCards } from "@/components/card.tsx";
import { Page, PageHead } from "@/components/frame.tsx";
import { Name } from "@/components/name.tsx";
import { Columns, Panel } from "@/components/panel.tsx";
import { EmptyState, Freshness, Loaded } from "@/components/states.tsx";
import { ZonePicker } from "@/components/toolbar.tsx";
import { useFormats, useMessages } from "@/components/view.ts";

import { Equation } from "./equation.tsx";
import { Groups } from "./groups.tsx";
import { Letters } from "./letters.tsx";
import { Dependencies, Partitions } from "./progress.tsx";

export default function Pipeline() {
  const p = useMessages().pipeline;
  const system = useSystem(null);
  const data = system.data?.data;
  return (
    <Page>
      <PageHead
        title={p.title}
        windowTitle={p.title}
        note={data && <>{p.note} <Name>{p.program(data.version)}</Name></>}
        tools={<ZonePicker />}
      />
      <Freshness result={system} time={data?.as_of.time} />
      <Loaded result={system} height={112}>{(answer) => <Now system={answer} />}</Loaded>
      <Panel title={p.equation}>
        <Loaded result={system} height={150}>
          {({ events }) => <Equation events={events} />}
        </Loaded>
      </Panel>
      <Columns>
        <Panel title={p.partitions}>
          <Loaded result={system} height={160}>
            {({ lag }) => <Partitions partitions={lag.partitions} />}
          </Loaded>
        </Panel>
        <Panel title={p.dependencies}>
          <Loaded result={system} height={160}>
            {({ dependencies }) => <Dependencies dependencies={dependencies} />}
          </Loaded>
        </Panel>
      </Columns>
      <Groups />
      <Letters />
      <Panel title={p.producers}>
        <EmptyState title={p.producersTitle} text={p.producersText} />
      </Panel>
    </Page>
  );
}

function Now({ system }: { system: Schema<"System"> }) {
  const p = useMessages().pipeline;
  const t = useMessages();
  const { moment } = useFormats();
  const { lag, as_of: asOf } = system;
  return (
    <FigureCards label={p.now}>
      <FigureCard title={p.frames} name="pipeline.lag.frames" value={lag.frames}
        hint={p.framesHint} />
      <FigureCard title={p.commitAge} name="pipeline.lag.commitAge" kind="ms"
        value={lag.commit_age_ms} hint={p.commitAgeHint} />
      <FigureCard title={p.ledger} name="pipeline.version" kind="count" value={asOf.version}>
        {asOf.time === null ? p.noCommit : t.common.asOfTime(moment(asOf.time, "second"))}
      </FigureCard>
      <FigureCard title={p.qps} name="pipeline.qps" kind="rate" value={system.qps}
        hint={p.qpsHint} />
    </FigureCards>
  );
}
