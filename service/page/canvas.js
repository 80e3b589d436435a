/** One member's canvas as far as its events tell it: values that are never changed, only replaced.
 *
 * A cell is a committed token: `{text, confidence, writer, isKept}`, null where masked. `writer` is the member that
 * wrote it (null: nobody knows, since events were merged); `isKept` says that a relay handed it on.
 */

export const REGIONS = ["reasoning", "answer"];
const HALF_CHARACTER = "\ufffd"; // what a token is told as that holds a part of a character

export function blankCanvas(shape) {
  return {
    reasoning: region(shape.reasoning),
    answer: region(shape.answer),
    answerStart: shape.reasoning + shape.suffix,
    blockSize: shape.block_size,
    maskedLeft: shape.reasoning + shape.answer,
    fresh: [], // the cells that the last event wrote
  };
}

/** The canvas after a denoising step of its own member. */
export function stepped(canvas, model, set, maskedLeft) {
  const fresh = set.map(([, text, confidence]) => cell(text, confidence, model, false));
  const positions = set.map(([position]) => position);
  return { ...placed(canvas, positions, fresh), maskedLeft, fresh };
}

/** The leader's canvas by what its round says: right even where steps are missing. `texts` are by position. */
export function reconciled(canvas, model, texts, set) {
  return written(canvas, canvas, texts, { writer: model, isKept: true, set });
}

/** The canvas of a member that the leader's was handed to: its own tokens, with the writers of the leader's text. In a
 * transcoded one blocks are counted from the first mask.
 */
export function adopted(canvas, leading, texts, result) {
  const next = written(canvas, leading, texts, { writer: null, isKept: true });
  for (const name of REGIONS) {
    const first = next[name].cells.indexOf(null);
    if (result === "transcoded") next[name].origin = first < 0 ? next[name].cells.length : first;
    if (result === "copied") next[name].origin = leading[name].origin;
  }
  return { ...next, fresh: REGIONS.flatMap((name) => differing(next[name], canvas[name])) };
}

/** The canvas that a snapshot tells: `tokens` by position, null for a mask. */
export function replaced(canvas, tokens) {
  const texts = new Map([...tokens.entries()].filter(([, text]) => text !== null));
  return written(canvas, canvas, texts, { writer: null, isKept: false });
}

/** The canvas with everything on it kept: the final answer's. */
export function kept(canvas) {
  const keep = (one) => (one === null || one.isKept ? one : { ...one, isKept: true });
  const [reasoning, answer] = REGIONS.map((name) => ({ ...canvas[name], cells: canvas[name].cells.map(keep) }));
  return { ...canvas, reasoning, answer, fresh: [] };
}

export function withoutMarks(canvas) {
  return canvas.fresh.length ? { ...canvas, fresh: [] } : canvas;
}

/** Where decoding is: `{name, start, stop}` of the block that holds the first mask; null when nothing is masked. */
export function activeBlock(canvas) {
  for (const name of REGIONS) {
    const { cells, origin } = canvas[name];
    const first = cells.indexOf(null);
    if (first < 0) continue;
    const base = first < origin ? 0 : origin;
    const start = base + Math.floor((first - base) / canvas.blockSize) * canvas.blockSize;
    const limit = first < origin ? origin : cells.length;
    return { name, start, stop: Math.min(start + canvas.blockSize, limit) };
  }
  return null;
}

export function committed(canvas) {
  return REGIONS.flatMap((name) => canvas[name].cells.filter((one) => one !== null));
}

function region(length) {
  return { cells: new Array(length).fill(null), origin: 0 };
}

function cell(text, confidence, writer, isKept) {
  return { text: String(text), confidence, writer, isKept };
}

function masked(one) {
  return { ...one, cells: new Array(one.cells.length).fill(null) };
}

/** These tokens and no others. Who wrote one is looked up in the source's text; it is `writer` if not found there. */
function written(canvas, source, texts, { writer, isKept, set = [] }) {
  const confidences = new Map(set.map(([position, , confidence]) => [position, confidence]));
  const walks = { reasoning: walk(source.reasoning), answer: walk(source.answer) };
  const positions = [...texts.keys()].sort((one, other) => one - other).filter((position) => isCell(canvas, position));
  const cells = positions.map((position) => {
    const text = String(texts.get(position));
    const old = walks[position < canvas.reasoning.cells.length ? "reasoning" : "answer"](text);
    const confidence = confidences.get(position) ?? old?.confidence ?? null;
    const isSame = old?.text === text && old.confidence === confidence && (old.isKept || !isKept);
    return isSame ? old : cell(text, confidence, old ? old.writer : writer, isKept);
  });
  const blank = { ...canvas, reasoning: masked(canvas.reasoning), answer: masked(canvas.answer) };
  const next = placed(blank, positions, cells);
  const maskedLeft = [...next.reasoning.cells, ...next.answer.cells].filter((one) => one === null).length;
  return { ...next, maskedLeft, fresh: [] };
}

function isCell(canvas, position) {
  return position < canvas.reasoning.cells.length || position >= canvas.answerStart;
}

/** Positions are offsets in the generated part; what lies in the suffix or beyond the canvas is nobody's cell. */
function placed(canvas, positions, cells) {
  const reasoning = [...canvas.reasoning.cells];
  const answer = [...canvas.answer.cells];
  positions.forEach((position, index) => {
    if (position >= 0 && position < reasoning.length) reasoning[position] = cells[index];
    const offset = position - canvas.answerStart;
    if (offset >= 0 && offset < answer.length) answer[offset] = cells[index];
  });
  return {
    ...canvas,
    reasoning: { ...canvas.reasoning, cells: reasoning },
    answer: { ...canvas.answer, cells: answer },
  };
}

/** A function that is asked for the texts of a region in order, and gives the cell that wrote each one's beginning. The
 * tokens of one member tell half characters where another's tell whole ones: who comes next is found behind them.
 */
function walk({ cells }) {
  const old = cells.filter((one) => one !== null);
  const all = old.map((one) => one.text).join("");
  let [index, start, offset] = [0, 0, 0]; // the old cell, where its text begins, and where the next text does
  let isLost = false;
  return (text) => {
    if (isLost && text !== "" && !text.includes(HALF_CHARACTER)) {
      const found = all.indexOf(text, offset);
      if (found >= 0) [offset, isLost] = [found, false];
    }
    const isBehind = (one) => start + Math.max(one.text.length, 1) <= offset || (one.text === "" && text !== "");
    while (index < old.length && isBehind(old[index])) {
      start += old[index].text.length;
      index += 1;
    }
    const found = index < old.length && start <= offset ? old[index] : null;
    const told = all.slice(offset, offset + Math.max(text.length, 1));
    if (told !== text && (told + text).includes(HALF_CHARACTER)) {
      isLost = true;
      return found;
    }
    const at = offset - start;
    offset += text.length;
    return found && found.text.slice(at, at + 1) === text.slice(0, 1) ? found : null;
  };
}

/** The cells whose text is not at the same place of the other region's text. */
function differing({ cells }, other) {
  const text = other.cells.map((one) => (one === null ? "" : one.text)).join("");
  let start = 0;
  return cells.filter((one) => {
    if (one === null) return false;
    const isThere = text.startsWith(one.text, start);
    start += one.text.length;
    return !isThere;
  });
}
