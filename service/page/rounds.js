/** The timeline: a strip of leaders, and under it a table of rounds with scores, switches and relays. */

import { element } from "./elements.js";
import { colourOf, letterOf, nameOf, number, roundText, visible } from "./words.js";

export class Rounds {
  #strip;
  #table;
  #goTo;
  #drawn = [];
  #models = null;

  /** `goTo(count)` shows the state after so many events. */
  constructor(strip, table, goTo) {
    this.#strip = strip;
    this.#table = table;
    this.#goTo = goTo;
  }

  draw(state) {
    if (state.models !== this.#models) this.#begin(state);
    const isAsDrawn = (round, index) => round === state.rounds[index];
    while (!this.#drawn.every(isAsDrawn)) this.#removeLast();
    for (const round of state.rounds.slice(this.#drawn.length)) this.#add(round, state);
  }

  #begin(state) {
    this.#models = state.models;
    this.#drawn = [];
    this.#strip.replaceChildren();
    const heads = state.models.map((model) =>
      element("th", { scope: "col" }, chip(state, model.id), ` ${visible(model.id)}`),
    );
    const head = element(
      "tr",
      {},
      element("th", { scope: "col" }, "round"),
      ...heads,
      element("th", { scope: "col" }, "leader and relays"),
    );
    this.#table.tHead.replaceChildren(head);
    this.#table.tBodies[0].replaceChildren();
  }

  #removeLast() {
    this.#drawn.pop();
    this.#strip.lastElementChild.remove();
    this.#table.tBodies[0].lastElementChild.remove();
  }

  #add(round, state) {
    this.#drawn.push(round);
    const label = roundText(round, state);
    const button = element("button", {
      type: "button",
      class: `letter ${colourOf(state, round.leader)}`,
      title: label,
      "aria-label": label,
    });
    button.textContent = letterOf(state, round.leader);
    button.addEventListener("click", () => this.#goTo(round.at));
    this.#strip.append(element("li", { class: round.switched ? "switched" : "" }, button));
    const digits = confidenceDigits(round);
    const scores = state.models.map((model) => element("td", {}, scoreText(round, model.id, digits)));
    const row = element(
      "tr",
      {},
      element("th", { scope: "row" }, String(round.round)),
      ...scores,
      element("td", {}, ...detailsOf(round, state)),
    );
    this.#table.tBodies[0].append(row);
  }
}

export function chip(state, name) {
  return element("span", { class: `letter ${colourOf(state, name)}`, "aria-hidden": "true" }, letterOf(state, name));
}

/** As many as tell the leader's confidence from that of its equals, where that decided. */
function confidenceDigits({ tie_break: tieBreak, scores, leader }) {
  const best = scores[leader];
  if (tieBreak !== "top1" || !best) return 2;
  const equals = Object.values(scores).filter((score) => score && score.value === best.value);
  const isTold = (digits) =>
    equals.filter(({ top1 }) => number(top1, digits) === number(best.top1, digits)).length === 1;
  return [3, 4, 5].find(isTold) ?? 6;
}

function scoreText(round, name, digits) {
  const loss = (round.lost ?? []).find((one) => one.model === name);
  if (loss) return `lost: ${visible(loss.reason)}`;
  const score = Object.hasOwn(round.scores, name) ? round.scores[name] : null;
  if (!score) return "—";
  const value = score.value === null ? "no evidence" : number(score.value, 3);
  return `${name === round.leader ? "★ " : ""}${value} (${number(score.top1, digits)})`;
}

function detailsOf(round, state) {
  const relays = round.relayed.map(
    (one) => `${nameOf(state, one.to)} ${visible(one.result)}${one.remasked ? `, ${one.remasked} masked again` : ""}`,
  );
  const tie = round.tie_break ? [` by ${visible(round.tie_break)}`] : [];
  const switched = round.switched ? [" ", element("strong", { class: "switch" }, "⇄ switch")] : [];
  return [nameOf(state, round.leader), ...tie, ...switched, relays.length ? ` ⇒ ${relays.join(", ")}` : ""];
}
