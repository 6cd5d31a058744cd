// How smooth 1,000 namespaces with 48 hours of rows are: a trace of the browser while a table is
// scrolled and a chart is zoomed. Printed, and asserted nowhere: it depends on the machine.
import { main } from "./lib/places.ts";
import { expect, open, settled, test, type Page } from "./lib/walk.ts";

const HOUR_MS = 3_600_000;

interface TraceEvent {
  name: string;
  ts: number;
}

/** Times of the frames that the browser drew while `act` ran, in ms. */
async function traced(page: Page, act: () => Promise<void>): Promise<number[]> {
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on("Tracing.dataCollected", ({ value }) => {
    events.push(...(value as unknown as TraceEvent[]));
  });
  const done = new Promise((resolve) => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: ["disabled-by-default-devtools.timeline.frame"] },
  });
  await act();
  await session.send("Tracing.end");
  await done;
  await session.detach();
  return events.filter(({ name }) => name === "DrawFrame").map(({ ts }) => ts / 1_000).sort(
    (one, other) => one - other,
  );
}

/** Frames a second and the longest wait for one, over the time in which frames were drawn. */
function report(what: string, frames: number[]) {
  const [first = 0, last = 0] = [frames[0], frames.at(-1)];
  const waits = frames.slice(1).map((at, idx) => at - (frames[idx] ?? at));
  const rate = ((frames.length - 1) * 1_000) / (last - first);
  const late = waits.filter((wait) => wait > 20).length;
  console.log(
    `${what}: ${rate.toFixed(1)} frames/s, ${frames.length} frames, ` +
      `${late} later than 20 ms, longest wait ${Math.max(...waits).toFixed(0)} ms`,
  );
}

/** Moves the wheel over an element, once for each frame, down and up again. */
async function scroll(page: Page, selector: string) {
  await page.locator(selector).hover();
  await page.locator(selector).evaluate(
    (box) =>
      new Promise<void>((done) => {
        let n = 0;
        const step = () => {
          n += 1;
          // 90 px a frame: a hand that is in a hurry.
          box.scrollTop += n < 200 ? 90 : -90;
          if (n < 400) requestAnimationFrame(step);
          else done();
        };
        requestAnimationFrame(step);
      }),
  );
}

function last48h() {
  const to = Math.ceil(Date.now() / HOUR_MS) * HOUR_MS;
  const iso = (ms: number) => new Date(ms).toISOString().replace(".000", "");
  return { from: iso(to - 48 * HOUR_MS), to: iso(to) };
}

const LISTS = [
  { what: "usage of 1,000 namespaces over 48 h", path: "/usage", params: { size: "1000" } },
  { what: "list of 1,000 namespaces", path: "/namespaces", params: { size: "1000" } },
];

for (const { what, path, params } of LISTS) {
  test(`scrolling: ${what}`, async ({ page }) => {
    await open(page, main(), path, { ...last48h(), ...params });
    const box = "[role='region']:has(> table[aria-rowcount])";
    await expect(page.locator(`${box} > table`)).toHaveAttribute("aria-rowcount", "1001");
    report(`scrolling, ${what}`, await traced(page, () => scroll(page, box)));
  });
}

test("zooming a chart of 48 h", async ({ page }) => {
  await open(page, main(), "/", last48h());
  const frames = await traced(page, async () => {
    for (let n = 0; n < 5; n += 1) {
      const box = await page.locator(".u-over").first().boundingBox();
      if (box === null) throw new Error("no chart");
      const y = box.y + box.height / 2;
      await page.mouse.move(box.x + box.width * 0.1, y);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.9, y, { steps: 60 });
      await page.mouse.up();
      await settled(page);
    }
  });
  report("zooming a chart of 48 h five times", frames);
});
