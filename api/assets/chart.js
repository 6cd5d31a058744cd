// Draws one or more sets of numbers per bucket of time as stacked bars. No library: a few
// rectangles and labels in SVG.

const WIDTH = 960;
const HEIGHT = 240;
const PAD = { top: 12, right: 8, bottom: 24, left: 88 };
const NS = "http://www.w3.org/2000/svg";

function make(name, attributes, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The smallest of 1, 2, 5, 10, 20, .. that is not below a number.
function ceiling(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= number);
}

// The part of an RFC 3339 label that tells the buckets of a step apart.
function short(label, step) {
  if (!label.includes("T")) return label;
  if (step === "month") return label.slice(0, 7);
  if (step === "day") return label.slice(5, 10);
  return label.slice(11, 16);
}

export function drawBars(target, labels, sets, step, format) {
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const sums = labels.map((_, idx) => sets.reduce((sum, { data }) => sum + data[idx], 0));
  const top = ceiling(Math.max(...sums, 1));
  const width = WIDTH - PAD.left - PAD.right;
  const height = HEIGHT - PAD.top - PAD.bottom;
  const y = (value) => PAD.top + height * (1 - value / top);
  for (const value of [0, top / 2, top]) {
    const at = y(value);
    const ends = { x1: PAD.left, x2: WIDTH - PAD.right, y1: at, y2: at };
    svg.append(make("line", { ...ends, class: "grid" }));
    if (Number.isInteger(value)) {
      svg.append(make("text", { x: PAD.left - 6, y: at + 4, class: "y" }, format(value)));
    }
  }
  const slot = width / labels.length;
  const every = Math.ceil(labels.length / 10);
  labels.forEach((label, idx) => {
    const x = PAD.left + idx * slot;
    const values = sets.map(({ label: name, data }) => `${name} ${format(data[idx])}`);
    let below = 0;
    sets.forEach(({ data }, set) => {
      const bar = make("rect", {
        x: x + slot * 0.1,
        y: y(below + data[idx]),
        width: Math.max(slot * 0.8, 0.5),
        height: y(below) - y(below + data[idx]),
        class: `set-${set}`,
      });
      bar.append(make("title", {}, `${label}: ${values.join(", ")}`));
      svg.append(bar);
      below += data[idx];
    });
    if (idx % every === 0) {
      const place = { x: x + slot / 2, y: HEIGHT - 6, class: "x" };
      svg.append(make("text", place, short(label, step)));
    }
  });
  target.replaceChildren(svg);
}
