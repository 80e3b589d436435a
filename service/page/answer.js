/** The answer: what the leader would say as long as members decode, then the final one; and who wrote what of it. */

import { REGIONS } from "./canvas.js";
import { element, setText } from "./elements.js";
import { indexOfModel } from "./reduce.js";
import { chip } from "./rounds.js";
import { classesOf } from "./tokens.js";
import { counted, nameOf, number, reasonText, shortened, tokenText, visible } from "./words.js";

const ENDS = {
  stop: "the text ends before the canvas does",
  length: "the text fills the canvas",
  deadline: "ended at the deadline",
};

export class Answer {
  #answer;
  #written;
  #completed = null;

  constructor(answer, written) {
    this.#answer = answer;
    this.#written = written;
  }

  /** `request` is the body that was sent; null where nobody told it. */
  draw(state, request) {
    const { completed } = state;
    const prompt = promptOf(request);
    setText(part(this.#answer, "prompt"), prompt === null ? "" : visible(shortened(prompt)));
    part(this.#answer, "asked").hidden = prompt === null;
    part(this.#answer, "untold").hidden = prompt !== null;
    const [text, reason] = completed ? finalWords(state) : wordsSoFar(state);
    setText(part(this.#answer, "text"), text);
    setText(part(this.#answer, "reason"), reason);
    part(this.#answer, "text").classList.toggle("open", !completed);
    if (completed === this.#completed) return;
    this.#completed = completed;
    this.#written.hidden = completed === null;
    if (completed !== null) this.#fill(state);
  }

  #fill(state) {
    const { completed } = state;
    const { canvas } = state.views[indexOfModel(state, completed.tie.final_model)];
    part(this.#written, "tokens").replaceChildren(...writtenTokens(canvas, state));
    part(this.#written, "members").replaceChildren(...state.models.map((model) => memberRow(model.id, canvas, state)));
    setText(part(this.#written, "facts"), factsOf(completed));
  }
}

function part(section, name) {
  return section.querySelector(`[data-part="${name}"]`);
}

function finalWords(state) {
  const { completed } = state;
  const name = nameOf(state, completed.tie.final_model);
  return [visible(completed.answer || completed.text), `${name} gives the answer: ${reasonText(state)}.`];
}

/** The question that a run answers: of a conversation, the last. A file may hold anything in its place. */
function promptOf(request) {
  if (typeof request?.prompt === "string") return request.prompt;
  const messages = Array.isArray(request?.messages) ? request.messages : [];
  const content = messages.findLast((message) => message?.role === "user")?.content;
  return typeof content === "string" ? content : null;
}

function wordsSoFar(state) {
  if (state.phase === "stopped") return ["—", "The run was stopped before its answer."];
  if (state.phase === "failed") return ["—", "The run ended without an answer."];
  const round = state.rounds.at(-1);
  if (!round) return ["…", "No round has ended yet: each member's own guess stands below its canvas."];
  const { probe } = state.views[indexOfModel(state, round.leader)];
  return [visible(probe.text), `What ${nameOf(state, round.leader)}, who leads, would answer now.`];
}

function writtenTokens(canvas, state) {
  const [reasoning, answer] = REGIONS.map((name) =>
    withText(canvas, name).map((cell) => element("span", { class: classesOf(cell, state).join(" ") }, tokenText(cell))),
  );
  return [
    ...reasoning,
    element("span", { class: "suffix" }, ` ${visible(state.options.suffix ?? "").trim()} `),
    ...answer,
  ];
}

/** Characters, not tokens: a relay between tokenizers tells the text of a canvas, and how its receiver cut that. */
function memberRow(name, canvas, state) {
  const { tie } = state.completed;
  const own = (values) => (Object.hasOwn(values, name) ? values[name] : null);
  const cells = REGIONS.flatMap((region) => withText(canvas, region));
  const lengthOf = (some) => some.reduce((sum, cell) => sum + [...cell.text].length, 0);
  const [written, all] = [lengthOf(cells.filter((cell) => cell.writer === name)), lengthOf(cells)];
  const spent = own(tie.nfe);
  const columns = [
    `${written} of ${all}${all ? ` (${Math.round((100 * written) / all)} %)` : ""}`,
    String(own(tie.wins) ?? 0),
    own(tie.scores) === null ? "no evidence" : number(own(tie.scores), 3),
    spent ? `${spent.decode}${spent.score ? ` + ${spent.score}` : ""}` : "—",
    visible(own(tie.candidates) ?? "was lost"),
  ];
  const head = element("th", { scope: "row" }, chip(state, name), ` ${visible(name)}`);
  return element("tr", {}, head, ...columns.map((text) => element("td", {}, text)));
}

/** What stands behind an end is no text. */
function withText(canvas, region) {
  return canvas[region].cells.filter((cell) => cell !== null && cell.text !== "");
}

function factsOf({ tie, timings, finish_reason: reason }) {
  const facts = [
    counted(tie.rounds, "round"),
    `${tie.switches} switched`,
    `chosen by ${tie.final_rule}`,
    Object.hasOwn(ENDS, reason) ? ENDS[reason] : `ended by ${reason}`,
    `${number(timings.total_ms / 1000)} s`,
    tie.approximations.length ? `approximated: ${tie.approximations.join(", ")}` : "no approximation",
  ];
  const losses = (tie.lost ?? []).map((one) => `${one.model} in round ${one.round} (${one.reason})`);
  return visible(facts.join(" · ") + (losses.length ? ` · degraded, lost: ${losses.join(", ")}` : ""));
}
