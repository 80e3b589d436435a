/** A panel for each member: its canvas, what it would answer now, how sure it is, what the last round was for it. */

import { committed } from "./canvas.js";
import { LineChart, greatest } from "./charts.js";
import { element, setText } from "./elements.js";
import { TokenGrid } from "./tokens.js";
import { MASK, colourOf, letterOf, nameOf, visible } from "./words.js";

export class Members {
  #box;
  #panels = [];
  #models = null;

  constructor(box) {
    this.#box = box;
  }

  /** `isSettled`: nothing is streaming, so what screen readers hear may be brought up to date. */
  draw(state, isSettled) {
    if (state.models !== this.#models) {
      this.#models = state.models;
      this.#panels = state.models.map((model, index) => new MemberPanel(state, model, index));
      this.#box.replaceChildren(...this.#panels.map((panel) => panel.box));
    }
    const most = greatest(state.views.map((view) => view.most));
    this.#panels.forEach((panel, index) => panel.draw(state.views[index], state, most, isSettled));
  }
}

class MemberPanel {
  #view = null;
  #most = null;
  #isSettled = null;
  #badge = element("span", { class: "badge" });
  #guess = element("output", { class: "guess" });
  #facts = element("p", { class: "facts" });
  #spoken = element("p", { class: "spoken" });

  constructor(state, model, index) {
    const colour = colourOf(state, model.id);
    const title = `member-${index}`;
    this.tokens = new TokenGrid(state, model.id);
    this.charts = [
      new LineChart("confidence", (point) => point.confidence, colour),
      new LineChart("round's TCC", (point) => point.tcc, colour),
    ];
    this.box = element(
      "article",
      { class: `member ${colour}`, "aria-labelledby": title },
      element(
        "h3",
        { id: title },
        element("span", { class: `letter ${colour}` }, letterOf(state, model.id)),
        element("span", { class: "name" }, ` ${visible(model.id)} `),
        element("small", {}, visible(model.family)),
        this.#badge,
      ),
      this.tokens.grid,
      this.tokens.note,
      this.#spoken,
      element("p", { class: "probe" }, "would answer ", this.#guess),
      this.#facts,
      element("div", { class: "charts" }, ...this.charts.map((chart) => chart.box)),
    );
  }

  draw(view, state, most, isSettled) {
    this.tokens.draw(view.canvas, state);
    const [confidence, tcc] = this.charts;
    confidence.draw(view.history, 1);
    tcc.draw(view.history, most);
    if (view !== this.#view) {
      this.#drawBadge(view.badge, state);
      this.#drawGuess(view.guesses);
      setText(this.#facts, factsOf(view));
    }
    const isNews = view !== this.#view || !this.#isSettled || most !== this.#most;
    if (isSettled && isNews) this.#speak(view, state.options.suffix);
    [this.#view, this.#most, this.#isSettled] = [view, most, isSettled];
  }

  #drawBadge(badge, state) {
    setText(this.#badge, badge ? badgeText(badge, state) : "");
    this.#badge.className = `badge ${badge?.kind ?? ""}`;
    this.box.classList.toggle("marked", badge?.kind === "leads" || badge?.kind === "answers");
  }

  /** Characters that changed since the last step are what the token change count counts. */
  #drawGuess([before, now]) {
    const pieces = [];
    let run = { text: "", isChanged: false };
    for (let index = 0; index < now.length; index += 1) {
      const isChanged = before !== "" && before[index] !== now[index];
      if (isChanged !== run.isChanged && run.text) pieces.push(run);
      if (isChanged !== run.isChanged) run = { text: "", isChanged };
      run.text += now[index];
    }
    pieces.push(run);
    this.#guess.replaceChildren(
      ...pieces.map(({ text, isChanged }) => (isChanged ? element("mark", {}, visible(text)) : visible(text))),
    );
  }

  #speak(view, suffix) {
    const [reasoning, answer] = [view.canvas.reasoning, view.canvas.answer].map(({ cells }) =>
      cells.map((cell) => (cell === null ? MASK : visible(cell.text))).join(""),
    );
    const text = `${reasoning}${visible(suffix ?? "")}${answer}`;
    setText(this.#spoken, `canvas text: ${text.replaceAll(/·{4,}/g, (masks) => ` ${masks.length} masked `)}`);
    for (const chart of this.charts) chart.describe();
  }
}

function badgeText(badge, state) {
  const lost = badge.reason ? `lost to this round: ${visible(badge.reason)}; ` : "";
  const words = {
    leads: () => `leads round ${badge.round}`,
    answers: () => "gives the answer",
    overflow: () => "keeps its own: no room",
    lost: () => lost.replace("; ", ""),
  };
  return (words[badge.kind] ?? (() => `${lost}⇐ ${nameOf(state, badge.from)} (${visible(badge.kind)})`))();
}

function factsOf({ canvas, isFinished }) {
  if (isFinished && canvas.maskedLeft) return "complete: its last tokens were not told";
  return canvas.maskedLeft ? `${canvas.maskedLeft} masked` : `complete: ${committed(canvas).length} tokens`;
}
