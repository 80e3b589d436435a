/** A line over a member's steps, as SVG: at most 160 points, each the last of the steps that it stands for. */

import { element, setText, svg } from "./elements.js";
import { number } from "./words.js";

const MAX_POINTS = 160;
const [WIDTH, HEIGHT] = [320, 48];

export class LineChart {
  #line = svg("polyline", { class: "line" });
  #rounds = svg("path", { class: "rounds" });
  #value = element("output");
  #history = null;
  #most = null;

  /** `read` gives a step's value; `name` is the caption. */
  constructor(name, read, colour) {
    this.name = name;
    this.read = read;
    this.drawing = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: colour },
      this.#rounds,
      this.#line,
    );
    this.box = element("figure", { class: "chart" }, element("figcaption", {}, `${name} `, this.#value), this.drawing);
  }

  /** `most` is the value at the top edge. */
  draw(history, most) {
    if (history === this.#history && most === this.#most) return;
    this.#history = history;
    this.#most = most;
    const points = thinned(history);
    const x = (index) => ((index / Math.max(points.length - 1, 1)) * WIDTH).toFixed(1);
    const y = (value) => (HEIGHT - 2 - (Math.min(Math.max(value, 0) / (most || 1), 1) || 0) * (HEIGHT - 4)).toFixed(1);
    this.#line.setAttribute("points", points.map((point, index) => `${x(index)},${y(this.read(point))}`).join(" "));
    const starts = points.flatMap((point, index) =>
      index > 0 && point.round !== points[index - 1].round ? [x(index)] : [],
    );
    this.#rounds.setAttribute("d", starts.map((start) => `M${start} 0V${HEIGHT}`).join(""));
    setText(this.#value, history.length ? number(this.read(history.at(-1))) : "—");
  }

  /** What the line says, for those who do not see it. */
  describe() {
    const values = (this.#history ?? []).map(this.read).filter(Number.isFinite);
    const range = values.length
      ? `from ${number(least(values))} to ${number(greatest(values))}, last ${number(values.at(-1))}`
      : "nothing yet";
    this.drawing.setAttribute("aria-label", `${this.name} over ${values.length} steps: ${range}`);
  }
}

export function greatest(values) {
  return values.reduce((one, other) => Math.max(one, other), 0);
}

function least(values) {
  return values.reduce((one, other) => Math.min(one, other), Infinity);
}

function thinned(history) {
  if (history.length <= MAX_POINTS) return history;
  return Array.from(
    { length: MAX_POINTS },
    (_, index) => history[Math.floor(((index + 1) * history.length) / MAX_POINTS) - 1],
  );
}
