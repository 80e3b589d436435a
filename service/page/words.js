/** Numbers, tokens and moments in words; members as letters and colours. All that models wrote is made visible. */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const NUM_COLOURS = 8;
const LONGEST_PROMPT = 300; // characters
export const MASK = "·";
export const END = "∎";

/** The text with control and formatting characters as symbols that do nothing. */
export function visible(text) {
  return String(text).replace(UNSAFE, (character) => {
    if (character === "\n") return "↵";
    if (character === "\x7f") return "␡";
    const code = character.codePointAt(0);
    return code < 0x20 ? String.fromCodePoint(0x2400 + code) : "\ufffd";
  });
}

/** A prompt where it need not be read to its end. */
export function shortened(prompt) {
  const characters = [...prompt];
  return characters.length > LONGEST_PROMPT ? `${characters.slice(0, LONGEST_PROMPT).join("")} …` : prompt;
}

export function tokenText(cell) {
  if (cell === null) return MASK;
  return cell.text === "" ? END : visible(cell.text).replaceAll(" ", "␣");
}

export function number(value, digits = 2) {
  return typeof value === "number" && Number.isFinite(value) ? (value + 0).toFixed(digits) : "—";
}

export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A to Z, then A1 to Z1, and so on. */
export function letterOf(state, name) {
  const index = indexOf(state, name);
  return String.fromCharCode(65 + (index % 26)) + (Math.floor(index / 26) || "");
}

/** The class of a member's colour and pattern; of nobody's where the writer is not known. */
export function colourOf(state, name) {
  const index = indexOf(state, name);
  return index === null ? "by-nobody" : `by-${index % NUM_COLOURS}`;
}

/** `A zoo-llada`: how a member is named wherever its colour stands. */
export function nameOf(state, name) {
  return indexOf(state, name) === null ? visible(name) : `${letterOf(state, name)} ${visible(name)}`;
}

/** In the ensemble: the same whoever else is asked. */
function indexOf(state, name) {
  return state.models.find((model) => model.id === name)?.index ?? null;
}

/** Where the run is, in one line. `completed` is what it came to, null where that is not known. */
export function momentText(state, completed) {
  const { moment } = state;
  if (state.phase === "idle") return "nothing has run yet";
  if (moment === null) return state.phase === "queued" ? queueText(state) : "the first step is under way";
  if (moment.type === "step")
    return placed(`step ${moment.step} of ${nameOf(state, moment.model)}`, moment.round, completed);
  if (moment.type === "snapshot") return placed("several steps at once", moment.round, completed);
  if (moment.type === "round") return roundText(state.rounds.at(-1), state);
  if (state.phase === "stopped") return "the run was stopped";
  return state.phase === "completed" ? "the answer is there" : "the run ended without an answer";
}

export function roundText(round, state) {
  const relays = round.relayed.map((one) => `${nameOf(state, one.to)} ${visible(one.result)}`).join(", ");
  const switched = round.switched ? ", a switch" : "";
  return `round ${round.round}: ${nameOf(state, round.leader)} leads${switched}${relays ? `; relayed: ${relays}` : ""}`;
}

/** Whose answer is the final one, and why. */
export function reasonText({ completed, models }) {
  const { tie } = completed;
  const othersEqual = (values) =>
    Object.keys(values).filter((name) => name !== tie.final_model && values[name] === values[tie.final_model]);
  const listed = (values, digits) =>
    Object.entries(values)
      .map(([name, value]) => `${visible(name)} ${value === null ? "no evidence" : number(value, digits)}`)
      .join(", ");
  if (tie.partial) return "it led last, and then the deadline came";
  if (models.length === 1) return "it was the only one asked";
  if (Object.keys(tie.candidates).length === 1) return "it is the only one that was there to the end";
  if (tie.final_rule === "best_model") return "it is named as the best model";
  if (tie.final_rule === "most_selected") {
    const names = Object.keys(tie.wins).filter((name) => Object.hasOwn(tie.candidates, name));
    const wins = Object.fromEntries(names.map((name) => [name, tie.wins[name]]));
    const among = names.length < Object.keys(tie.wins).length ? "of those that were there to the end, " : "";
    const others = othersEqual(wins);
    const least = others.length ? "; of these it wavered least" : "";
    return `${among}${itAnd(others)} led the most rounds (${listed(wins, 0)})${least}`;
  }
  const counts = `(token change count: ${listed(tie.scores, 3)})`;
  const others = othersEqual(tie.scores);
  if (others.length === 0) return `it wavered least about it in the whole run ${counts}`;
  const surest = others.length === 1 ? "of the two it was the surer" : "of these it was the surest";
  const chosen = `${surest}, or the first of equals`;
  if (tie.scores[tie.final_model] === null) return `nobody's wavering could be counted ${counts}; ${chosen}`;
  return `${itAnd(others)} wavered least in the whole run ${counts}; ${chosen}`;
}

/** `it`, `it and b`, or `it, b and c`. */
function itAnd(others) {
  const names = ["it", ...others.map(visible)];
  const last = names.pop();
  return names.length ? `${names.join(", ")} and ${last}` : last;
}

/** Behind the last relay members finish alone. That is no round, which is known when the run is over. */
function placed(words, round, completed) {
  const isInRound = !completed || completed.tie.partial || round <= completed.tie.rounds;
  if (isInRound) return `round ${round}, ${words}`;
  return completed.tie.rounds ? `after round ${completed.tie.rounds}: ${words}` : words;
}

function queueText(state) {
  return state.queuePosition
    ? `queued: ${counted(state.queuePosition, "request")} before this one`
    : "queued: it is next";
}
