// Pickers of the range of time and of the zone. Both are in the address, and nowhere else.
import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useId, useState, type SyntheticEvent } from "react";

import { isoOf, NAMED_RANGES, type NamedRange } from "@/lib/range.ts";
import { remember } from "@/lib/storage.ts";
import { instantOf, wallOf, zones } from "@/lib/zone.ts";

import styles from "./toolbar.module.css";
import { useAddress, useView } from "./view.ts";

const CUSTOM = "custom";

export interface RangePickerProps {
  /** Ranges that are not offered here. */
  without?: readonly NamedRange[];
}

export function RangePicker({ without = [] }: RangePickerProps) {
  const { range, t } = useView();
  const [, change] = useAddress();
  const [isOpen, setIsOpen] = useState(false);
  const isBetween = !("name" in range);
  const options = NAMED_RANGES.filter((name) => !without.includes(name)).map((name) => ({
    value: name,
    label: t.common.ranges[name],
  }));
  const choose = (value: string) => {
    if (value === CUSTOM) {
      setIsOpen(true);
      return;
    }
    setIsOpen(false);
    change({ range: value, from: undefined, to: undefined, page: undefined });
  };
  return (
    <div className={styles.range}>
      <NativeSelect
        label={t.common.range}
        size="sm"
        value={isBetween || isOpen ? CUSTOM : range.name}
        data={[...options, { value: CUSTOM, label: `${t.common.custom}…` }]}
        onChange={(event) => { choose(event.currentTarget.value); }}
      />
      {(isOpen || isBetween) && (
        <Between
          key={JSON.stringify(range)}
          onDone={() => { setIsOpen(false); }}
        />
      )}
    </div>
  );
}

/** Two points in time, as walls in the zone show them. */
function Between({ onDone }: { onDone: () => void }) {
  const { range, zone, t } = useView();
  const [, change] = useAddress();
  const hint = useId();
  const isBetween = !("name" in range);
  const start = () => {
    if (!isBetween) return [wallOf(Date.now() - 3_600_000, zone), wallOf(Date.now(), zone)];
    return [range.from, range.to].map((time) => {
      const ms = Date.parse(time);
      return Number.isNaN(ms) ? "" : wallOf(ms, zone);
    });
  };
  const [[from = "", to = ""], setWalls] = useState(start);
  const [fromMs, toMs] = [instantOf(from, zone), instantOf(to, zone)];
  const isRight = fromMs < toMs;
  const apply = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!isRight) return;
    onDone();
    change({ from: isoOf(fromMs), to: isoOf(toMs), page: undefined });
  };
  const reset = () => {
    onDone();
    change({ from: undefined, to: undefined, page: undefined });
  };
  return (
    <form className={styles.between} onSubmit={apply}>
      <TextInput
        type="datetime-local"
        label={t.common.from}
        value={from}
        required
        withAsterisk={false}
        onChange={(event) => { setWalls([event.currentTarget.value, to]); }}
      />
      <TextInput
        type="datetime-local"
        label={t.common.to}
        value={to}
        required
        withAsterisk={false}
        error={!isRight}
        aria-describedby={isRight ? undefined : hint}
        onChange={(event) => { setWalls([from, event.currentTarget.value]); }}
      />
      <Button type="submit" disabled={!isRight}>
        {t.common.apply}
      </Button>
      <Button variant="default" onClick={reset}>
        {isBetween ? t.common.resetZoom : t.common.cancel}
      </Button>
      {!isRight && (
        <p id={hint} className={styles.wrong} role="alert">
          {t.common.endFirst}
        </p>
      )}
    </form>
  );
}

/** A select of all zones that this browser knows; the rest of the list comes when it is opened. */
export function ZonePicker() {
  const { tz, t } = useView();
  const [, change] = useAddress();
  const [isFull, setIsFull] = useState(false);
  const known = isFull ? zones() : [];
  const options = known.includes(tz) ? known : [tz, ...known];
  const fill = () => { setIsFull(true); };
  return (
    <NativeSelect
      label={t.common.zone}
      size="sm"
      className={styles.zone ?? ""}
      value={tz}
      data={options}
      onPointerDown={fill}
      onFocus={fill}
      onChange={(event) => {
        const zone = event.currentTarget.value;
        remember("tz", zone);
        change({ tz: zone, page: undefined });
      }}
    />
  );
}
