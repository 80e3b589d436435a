/** What a request's events come to: all that is drawn is drawn from this state.
 *
 * Pure: `reduce(state, event)` gives the next state and changes nothing, so going back is replaying. Knows no page and
 * no network. Types and fields of events that it does not know are ignored.
 */

import { adopted, blankCanvas, kept, reconciled, replaced, stepped, withoutMarks } from "./canvas.js";

const MAX_POSITIONS = 65_536;
const MAX_MODELS = 64;

export const START = Object.freeze({
  phase: "idle", // queued, running, completed, stopped, failed
  numEvents: 0,
  seq: 0,
  numSkipped: 0, // that the server merged into what came after them
  id: null,
  ensemble: null,
  models: [],
  shape: null,
  options: {},
  queuePosition: 0,
  views: [], // one for each model, in their order
  rounds: [],
  kept: new Map(), // the relayed canvas: text by the leader's position
  moment: null, // the last event that moved something, for people
  completed: null,
  error: null,
});

const FOLDS = new Map([
  ["tie.created", create],
  ["tie.started", (state) => ({ ...state, phase: "running" })],
  ["tie.step", step],
  ["tie.snapshot", snapshot],
  ["tie.round", relay],
  ["tie.completed", complete],
  ["tie.error", fail],
]);

/** Throws a TypeError or a RangeError where a known event is not what the API says. */
export function reduce(state, event) {
  const fold = FOLDS.get(event.type);
  const next = fold ? fold(state, event) : state;
  return {
    ...next,
    numEvents: state.numEvents + 1,
    seq: event.seq ?? state.seq,
    numSkipped: state.numSkipped + (event.skipped ?? 0),
  };
}

export function indexOfModel(state, name) {
  const index = state.models.findIndex((model) => model.id === name);
  if (index < 0) throw new RangeError("an event names a model that the run does not have");
  return index;
}

function create(state, event) {
  const { canvas, models } = event;
  const sizes = [canvas.reasoning, canvas.suffix, canvas.answer, canvas.block_size];
  if (!sizes.every((size) => Number.isInteger(size) && size >= 0 && size <= MAX_POSITIONS) || canvas.block_size < 1)
    throw new RangeError("the canvas has an impossible size");
  if (models.length > MAX_MODELS) throw new RangeError("there are too many models");
  const indices = indicesOf(models);
  return {
    ...state,
    phase: "queued",
    id: event.id,
    ensemble: event.ensemble,
    models: models.map(({ id, family, tokenizer }, index) => ({
      id: String(id),
      family: String(family),
      tokenizer,
      index: indices[index],
    })),
    shape: canvas,
    options: event.options ?? {},
    queuePosition: event.queue_position,
    views: models.map(() => ({
      canvas: blankCanvas(canvas),
      probe: null,
      guesses: ["", ""], // the texts of the last two answer probes
      settled: new Map(), // the canvas after the last round: text by position
      isFinished: false, // its canvas is complete, whatever of it was told
      badge: null, // what the last round was for this member
      history: [], // {round, confidence, tcc}, one for each step
      most: 0, // the largest token change count in it
    })),
  };
}

/** The members' indices in the ensemble; in the run, where a file does not tell them all. */
function indicesOf(models) {
  const told = models.map(({ index }) => index);
  const areSound = told.every((index) => Number.isInteger(index) && index >= 0 && index < MAX_MODELS);
  return areSound && new Set(told).size === told.length ? told : [...told.keys()];
}

/** A mean of 0 is one over nothing: no position that counts is masked any more, and what was seen last stands. */
function seen(history, confidence) {
  return confidence || (history.at(-1)?.confidence ?? 0);
}

function step(state, event) {
  const index = indexOfModel(state, event.model);
  const view = state.views[index];
  const probe = event.answer_probe;
  const next = {
    ...view,
    canvas: stepped(view.canvas, event.model, event.set, event.masked_left),
    probe,
    guesses: [view.guesses[1], String(probe.text)],
    history: [...view.history, { round: event.round, confidence: seen(view.history, probe.top1), tcc: probe.tcc }],
    most: Math.max(view.most, probe.tcc),
  };
  return {
    ...state,
    phase: "running",
    views: state.views.with(index, next),
    moment: { type: "step", round: event.round, step: event.step, model: event.model },
  };
}

function snapshot(state, event) {
  const views = state.views.map((view, index) => {
    const name = state.models[index].id;
    const told = Object.hasOwn(event.models, name) ? event.models[name].tokens : null;
    return told ? { ...view, canvas: replaced(view.canvas, told) } : view;
  });
  return { ...state, phase: "running", views, moment: { type: "snapshot", round: event.round } };
}

function relay(state, event) {
  const leader = indexOfModel(state, event.leader);
  const kept = changed(state.kept, event);
  const leading = reconciled(state.views[leader].canvas, event.leader, kept, event.set);
  const views = state.views.map((view, index) => ({
    ...view,
    ...handed(view, state.models[index].id, event, leading),
    ...assessed(view, event, state.models[index].id),
  }));
  const probe = event.answer_probe;
  const guesses = [views[leader].guesses[1], String(probe.text)];
  views[leader] = { ...views[leader], canvas: leading, settled: kept, probe, guesses };
  return {
    ...state,
    phase: "running",
    views,
    kept,
    rounds: [...state.rounds, { ...event, at: state.numEvents + 1 }],
    moment: { type: "round", round: event.round },
  };
}

/** What the relay made of one member's canvas, and what to say of it. */
function handed(view, name, event, leading) {
  const canvas = withoutMarks(view.canvas);
  if (name === event.leader) return { canvas, badge: { kind: "leads", round: event.round } };
  const loss = (event.lost ?? []).find((lost) => lost.model === name);
  const relayed = event.relayed.find((one) => one.to === name);
  if (!relayed) return { canvas, badge: loss ? { kind: "lost", reason: loss.reason } : null };
  const badge = { kind: relayed.result, from: event.leader, reason: loss?.reason };
  const settled = changed(view.settled, relayed);
  if (relayed.result === "overflow") return { canvas, settled, badge };
  return { canvas: adopted(view.canvas, leading, settled, relayed.result), settled, badge };
}

/** Texts by position, after a round. */
function changed(texts, { set, unset }) {
  const left = new Map(texts);
  for (const position of unset) left.delete(position);
  for (const [position, text] of set) left.set(position, String(text));
  return left;
}

/** Where nobody told the steps, the round's score is the one point that there is. */
function assessed({ history, most }, event, name) {
  const score = Object.hasOwn(event.scores, name) ? event.scores[name] : null;
  if (!score || history.at(-1)?.round === event.round) return {};
  const point = { round: event.round, confidence: seen(history, score.top1), tcc: score.tcc };
  return { history: [...history, point], most: Math.max(most, score.tcc) };
}

function complete(state, event) {
  const final = indexOfModel(state, event.tie.final_model);
  const views = state.views.map((view, index) => ({
    ...view,
    ...answered(state.models[index].id, event.tie),
    canvas: index === final ? kept(view.canvas) : withoutMarks(view.canvas),
    badge: index === final ? { kind: "answers" } : null,
  }));
  return { ...state, phase: "completed", views, completed: event, moment: { type: "end" } };
}

/** A member's own answer. What it wrote after the last step that was told is not told cell by cell. */
function answered(name, { candidates, partial }) {
  if (!candidates || !Object.hasOwn(candidates, name)) return {};
  const text = String(candidates[name]);
  return { guesses: [text, text], isFinished: !partial };
}

function fail(state, { error }) {
  return { ...state, phase: error.code === "cancelled" ? "stopped" : "failed", error, moment: { type: "end" } };
}
