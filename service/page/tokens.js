/** A canvas as a grid of tokens. Only cells that changed are touched.
 *
 * Text and lines say what colours say: a mask is a dot, a tentative token is dashed and slanted, a kept one has its
 * writer's line below it. The grid is a slider over its tokens, so that arrows and screen readers can read each one.
 */

import { REGIONS, activeBlock } from "./canvas.js";
import { element, setText } from "./elements.js";
import { colourOf, nameOf, number, tokenText, visible } from "./words.js";

const DENSE = 256; // positions, from which on cells are small
const WIDTHS = { wide: 3, wider: 5 }; // a token of more characters needs such a cell
const LEVELS = [0.5, 0.7, 0.9]; // of confidence: the shades' limits

export class TokenGrid {
  #regions = {};
  #active = null;
  #looked = 0; // the position that the reader looks at
  #canvas = null;
  #state = null;

  constructor(state, model) {
    const { shape } = state;
    for (const name of REGIONS) this.#regions[name] = new RegionCells(shape[name], shape.block_size);
    const suffix = element("div", { class: "suffix", "aria-hidden": "true" });
    setText(suffix, visible(state.options.suffix ?? "").trim());
    suffix.hidden = shape.suffix === 0;
    this.length = shape.reasoning + shape.answer;
    this.grid = element(
      "div",
      {
        class: `grid${this.length > DENSE ? " dense" : ""}`,
        role: "slider",
        tabindex: "0",
        "aria-label": `tokens of ${nameOf(state, model)}`,
        "aria-valuemin": "1",
        "aria-valuemax": String(Math.max(this.length, 1)),
      },
      this.#regions.reasoning.box,
      suffix,
      this.#regions.answer.box,
    );
    this.note = element("p", { class: "note" }, "Point at a token, or use the arrow keys here, to read it.");
    this.#listen();
  }

  draw(canvas, state) {
    this.#state = state;
    if (canvas === this.#canvas) return;
    this.#canvas = canvas;
    const fresh = new Set(canvas.fresh);
    for (const name of REGIONS) this.#regions[name].draw(canvas[name], fresh, state);
    this.#markActive(activeBlock(canvas));
    this.#tell();
  }

  #markActive(block) {
    const old = this.#active;
    if (block?.name === old?.name && block?.start === old?.start && block?.stop === old?.stop) return;
    if (old) this.#regions[old.name].mark(old, false);
    this.#active = block;
    if (!block) return;
    const first = this.#regions[block.name].mark(block, true);
    if (this.length > DENSE) requestAnimationFrame(() => this.#bringIntoSight(first));
  }

  /** Inside the grid alone. A frame late, when nothing waits to be laid out: asking where it is then costs little. */
  #bringIntoSight(node) {
    this.grid.scrollTop = node.offsetTop - this.grid.clientHeight / 2;
  }

  #listen() {
    this.grid.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 16, PageUp: -16 };
      const ends = { Home: 0, End: this.length - 1 };
      if (event.key in steps) this.#look(this.#looked + steps[event.key]);
      else if (event.key in ends) this.#look(ends[event.key]);
      else return;
      event.preventDefault();
    });
    this.grid.addEventListener("pointerover", ({ target }) => this.#lookAt(target));
    this.grid.addEventListener("click", ({ target }) => this.#lookAt(target));
  }

  #lookAt(target) {
    const { reasoning, answer } = this.#regions;
    const inReasoning = reasoning.nodes.indexOf(target);
    const inAnswer = answer.nodes.indexOf(target);
    if (inReasoning >= 0) this.#look(inReasoning);
    if (inAnswer >= 0) this.#look(reasoning.nodes.length + inAnswer);
  }

  #look(position) {
    this.#nodeAt(this.#looked)?.classList.remove("looked");
    this.#looked = Math.min(Math.max(position, 0), Math.max(this.length - 1, 0));
    this.#nodeAt(this.#looked)?.classList.add("looked");
    this.#tell();
  }

  #tell() {
    if (!this.#canvas || this.#nodeAt(this.#looked)?.classList.contains("looked") !== true) return;
    const inAnswer = this.#looked - this.#canvas.reasoning.cells.length;
    const [name, offset] = inAnswer < 0 ? ["reasoning", this.#looked] : ["answer", inAnswer];
    const words = `${name} ${offset + 1}: ${this.#describe(this.#canvas[name].cells[offset])}`;
    setText(this.note, words);
    this.grid.setAttribute("aria-valuenow", String(this.#looked + 1));
    this.grid.setAttribute("aria-valuetext", words);
  }

  #describe(cell) {
    if (!cell) return "masked";
    const text = cell.text === "" ? "end of text" : `“${visible(cell.text)}”`;
    const by = cell.writer === null ? "writer unknown" : `by ${nameOf(this.#state, cell.writer)}`;
    return `${text}, ${cell.isKept ? "kept" : "tentative"}, ${by}, confidence ${number(cell.confidence)}`;
  }

  #nodeAt(position) {
    const { reasoning, answer } = this.#regions;
    return reasoning.nodes[position] ?? answer.nodes[position - reasoning.nodes.length];
  }
}

/** The cells of one region, and what each of them shows. */
class RegionCells {
  #shown;
  #origin = -1;
  #blockSize;

  constructor(length, blockSize) {
    this.#blockSize = blockSize;
    this.#shown = new Array(length).fill(undefined);
    this.nodes = Array.from({ length }, () => element("span"));
    this.box = element("div", { class: "tokens", "aria-hidden": "true" }, ...this.nodes);
    this.box.hidden = length === 0;
  }

  draw({ cells, origin }, fresh, state) {
    for (let index = 0; index < this.nodes.length; index += 1) {
      const cell = cells[index];
      const isFresh = cell !== null && fresh.has(cell);
      const shown = this.#shown[index];
      if (shown !== undefined && shown.cell === cell && shown.isFresh === isFresh) continue;
      this.#shown[index] = { cell, isFresh };
      this.#write(this.nodes[index], cell, isFresh, state);
    }
    if (origin !== this.#origin) this.#markBlocks(origin);
  }

  /** Gives the block's first node. */
  mark({ start, stop }, isActive) {
    for (const node of this.nodes.slice(start, stop)) node.classList.toggle("active", isActive);
    return this.nodes[start];
  }

  #write(node, cell, isFresh, state) {
    const text = tokenText(cell);
    for (const [name, limit] of Object.entries(WIDTHS)) if (text.length > limit) this.box.classList.add(name);
    setText(node, text);
    const carried = ["active", "block", "looked"].filter((name) => node.classList.contains(name));
    const shown = [...classesOf(cell, state), ...(isFresh ? ["fresh"] : []), ...carried].join(" ");
    if (node.className !== shown) node.className = shown;
  }

  #markBlocks(origin) {
    this.#origin = origin;
    this.nodes.forEach((node, index) => {
      const base = index < origin ? 0 : origin;
      node.classList.toggle("block", (index - base) % this.#blockSize === 0);
    });
  }
}

/** The classes that show a cell: its state, its writer, and the shade of its confidence. */
export function classesOf(cell, state) {
  if (cell === null) return ["masked"];
  const level = LEVELS.filter((limit) => cell.confidence === null || cell.confidence >= limit).length;
  return [cell.isKept ? "kept" : "tentative", colourOf(state, cell.writer), `sure-${level}`];
}
