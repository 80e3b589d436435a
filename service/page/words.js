/** Numbers, tokens and moments in words; members as letters and colours. All that models wrote is made visible. */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
const NUM_COLOURS = 8;
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

/** Where the run is, in one line. */
export function momentText(state) {
  const { moment } = state;
  if (state.phase === "idle") return "nothing has run yet";
  if (moment === null) return state.phase === "queued" ? queueText(state) : "the first step is under way";
  if (moment.type === "step") return `round ${moment.round}, step ${moment.step} of ${nameOf(state, moment.model)}`;
  if (moment.type === "snapshot") return `round ${moment.round}, several steps at once`;
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
  const equals = (values) => Object.keys(values).filter((name) => values[name] === values[tie.final_model]);
  const listed = (values, digits) =>
    Object.entries(values)
      .map(([name, value]) => `${visible(name)} ${value === null ? "no evidence" : number(value, digits)}`)
      .join(", ");
  if (tie.partial) return "it led last, and then the deadline came";
  if (models.length === 1) return "it was the only one asked";
  if (Object.keys(tie.candidates).length === 1) return "it is the only one that was there to the end";
  if (tie.final_rule === "best_model") return "it is named as the best model";
  if (tie.final_rule === "most_selected") {
    const least = equals(tie.wins).length > 1 ? ", and of those wavered least" : "";
    return `it led as many rounds as anybody (${listed(tie.wins, 0)})${least}`;
  }
  const counts = `(token change count: ${listed(tie.scores, 3)})`;
  const others = equals(tie.scores).filter((name) => name !== tie.final_model);
  if (others.length === 0) return `it wavered least about it in the whole run ${counts}`;
  const chosen = "of these it was the surer, or comes first";
  if (tie.scores[tie.final_model] === null) return `nobody's wavering could be counted ${counts}; ${chosen}`;
  return `it and ${others.map(visible).join(" and ")} wavered least in the whole run ${counts}; ${chosen}`;
}

function queueText(state) {
  return state.queuePosition
    ? `queued: ${counted(state.queuePosition, "request")} before this one`
    : "queued: it is next";
}
