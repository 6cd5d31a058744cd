// Draws a heat map on a canvas: cells, bounds of the rows, and times of the columns.
import { cellAt, mix, ticksOf, type Cell, type Rgb } from "@/lib/heat.ts";

import { read } from "./chart/palette.ts";

/** Room around the cells for texts, pixels. */
export const PAD = { left: 62, right: 10, top: 12, bottom: 28 } as const;

// One hue that only gets darker (lighter in the dark), so that it needs no sense of colours. The
// first shade can be told from none, and the last is far from the first.
const LIGHT: readonly Rgb[] = [
  [197, 218, 248], [140, 182, 238], [84, 139, 222], [47, 102, 208], [29, 66, 146], [15, 34, 84],
];
const DARK: readonly Rgb[] = [
  [38, 58, 98], [44, 84, 150], [62, 116, 208], [106, 155, 255], [164, 196, 255], [228, 238, 255],
];
export const RAMPS = { light: LIGHT, dark: DARK } as const;

export interface Drawing {
  /** For each column its rows from the lowest up, 0 to 1. */
  shades: number[][];
  hasCount: (cell: Cell) => boolean;
  /** The upper bound of a row. */
  rowText: (row: number) => string;
  columnText: (column: number) => string;
  ramp: readonly Rgb[];
}

export interface Size {
  width: number;
  height: number;
}

export function draw(canvas: HTMLCanvasElement, drawing: Drawing, { width, height }: Size) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, height);
  const inner = { width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
  const columns = drawing.shades.length;
  const rows = drawing.shades[0]?.length ?? 0;
  const [wide, high] = [inner.width / columns, inner.height / rows];

  context.fillStyle = read(canvas, "--gm-grid");
  context.fillRect(PAD.left, PAD.top, inner.width, inner.height);
  // A line of ground between cells, where they are wide enough for one.
  const gap = wide >= 5 ? 1 : 0;
  drawing.shades.forEach((column, x) => {
    column.forEach((shade, row) => {
      if (!drawing.hasCount({ column: x, row })) return;
      context.fillStyle = mix(drawing.ramp, shade);
      const top = PAD.top + high * (rows - 1 - row);
      context.fillRect(PAD.left + wide * x, top, Math.max(wide - gap, 1), Math.max(high - 1, 1));
    });
  });

  context.fillStyle = read(canvas, "--gm-soft");
  context.font = `12px ${read(canvas, "font-family") || "sans-serif"}`;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const row of ticksOf(rows, inner.height, 18)) {
    const top = PAD.top + high * (rows - 1 - row);
    // The top edge of a row is its upper bound.
    context.fillText(drawing.rowText(row), PAD.left - 7, top);
  }
  context.textBaseline = "top";
  context.textAlign = "left";
  for (const column of ticksOf(columns, inner.width, 84)) {
    const left = PAD.left + wide * column;
    const text = drawing.columnText(column);
    if (left + context.measureText(text).width > width) continue;
    context.fillText(text, left, height - PAD.bottom + 8);
  }
}

/** The cell under a pointer. */
export function pointOf(
  event: { clientX: number; clientY: number },
  element: Element,
  size: Size,
  columns: number,
  rows: number,
): Cell | null {
  const box = element.getBoundingClientRect();
  const inner = {
    width: size.width - PAD.left - PAD.right,
    height: size.height - PAD.top - PAD.bottom,
  };
  const x = event.clientX - box.left - PAD.left;
  const y = event.clientY - box.top - PAD.top;
  return rows === 0 ? null : cellAt(x, y, inner, columns, rows);
}
