/** One member's canvas as far as its events tell it: values that are never changed, only replaced.
 *
 * A cell is a committed token: `{text, confidence, writer, tokensOf, isKept}`, null where masked. `writer` is the
 * member that wrote it (null: nobody knows, since events were merged), `tokensOf` the one whose token it is; `isKept`
 * says that a relay handed it on. A transcoded canvas is known in the leader's tokens until the receiver's next step.
 */

export const REGIONS = ["reasoning", "answer"];
const END_CELL = Object.freeze({ text: "", confidence: null, writer: null, tokensOf: null, isKept: true });

export function blankCanvas(shape) {
  return {
    reasoning: region(shape.reasoning),
    answer: region(shape.answer),
    answerStart: shape.reasoning + shape.suffix,
    blockSize: shape.block_size,
    maskedLeft: shape.reasoning + shape.answer,
    isTranscoded: false,
    fresh: [], // the cells that the last event wrote
  };
}

/** The canvas after a denoising step of its own member. */
export function stepped(canvas, model, set, maskedLeft) {
  const before = canvas.isTranscoded ? settled(canvas, maskedLeft + set.length) : canvas;
  const fresh = set.map(([, text, confidence]) => cell(text, confidence, model, model, false));
  const positions = set.map(([position]) => position);
  return { ...placed(before, positions, fresh), maskedLeft, fresh };
}

/** The leader's canvas by what its round says: right even where steps are missing. `kept` maps positions to texts. */
export function reconciled(canvas, model, kept, set, maskedLeft) {
  const confidences = new Map(set.map(([position, , confidence]) => [position, confidence]));
  const writers = { reasoning: walk(canvas.reasoning), answer: walk(canvas.answer) };
  const positions = [...kept.keys()].sort((one, other) => one - other);
  const cells = positions.map((position) => {
    const text = kept.get(position);
    const name = position < canvas.reasoning.cells.length ? "reasoning" : "answer";
    const old = writers[name](text);
    const confidence = confidences.get(position) ?? old?.confidence ?? null;
    const isSame = old && old.isKept && old.text === text && old.confidence === confidence && old.tokensOf === model;
    return isSame ? old : cell(text, confidence, old ? old.writer : model, model, true);
  });
  const blank = { ...canvas, reasoning: masked(canvas.reasoning), answer: masked(canvas.answer) };
  return { ...placed(blank, positions, cells), maskedLeft, isTranscoded: false, fresh: [] };
}

/** The leader's canvas as another member has it now. Cells keep their writers. */
export function adopted(canvas, leading, result) {
  const fresh = REGIONS.flatMap((name) => differing(leading[name], canvas[name]));
  return {
    ...canvas,
    reasoning: leading.reasoning,
    answer: leading.answer,
    maskedLeft: leading.maskedLeft,
    isTranscoded: result === "transcoded",
    fresh,
  };
}

/** The canvas that a snapshot tells: exact texts, and the writers of those cells whose text is where it was. */
export function replaced(canvas, model, tokens) {
  const next = { ...canvas, isTranscoded: false, fresh: [], maskedLeft: 0 };
  const starts = { reasoning: 0, answer: canvas.answerStart };
  for (const name of REGIONS) {
    const old = walk(canvas[name]);
    const length = canvas[name].cells.length;
    const cells = Array.from({ length }, (_, index) => {
      const text = tokens[starts[name] + index] ?? null;
      if (text === null) return null;
      const known = old(text);
      return known && known.text === text
        ? known
        : cell(text, known?.confidence ?? null, known?.writer ?? null, model, false);
    });
    next[name] = { ...canvas[name], cells };
    next.maskedLeft += cells.filter((one) => one === null).length;
  }
  return next;
}

/** The canvas with everything on it kept: the final answer's. */
export function kept(canvas) {
  const keep = (one) => (one === null || one.isKept ? one : { ...one, isKept: true });
  const [reasoning, answer] = REGIONS.map((name) => ({ ...canvas[name], cells: canvas[name].cells.map(keep) }));
  return { ...canvas, reasoning, answer, fresh: [] };
}

/** The canvas of a member that completed with this answer: if it says as much, what is still masked holds ends. An answer
 * that was committed early leaves masks before it.
 */
export function finished(canvas, answer) {
  const scored = canvas.answer.cells.length ? "answer" : "reasoning";
  const isBehindMasks = scored === "answer" && canvas.reasoning.cells.includes(null);
  if (isBehindMasks || textOf(canvas[scored]) !== answer) return canvas;
  const cut = canvas.isTranscoded ? settled(canvas, 0) : canvas;
  const cells = cut[scored].cells.map((one) => one ?? END_CELL);
  return { ...cut, [scored]: { ...cut[scored], cells }, maskedLeft: 0 };
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

/** Up to the first end or mask, without space around it. */
function textOf({ cells }) {
  const end = cells.findIndex((one) => one === null || one.text === "");
  const texts = cells.slice(0, end < 0 ? cells.length : end).map((one) => one.text);
  return texts.join("").trim();
}

function region(length) {
  return { cells: new Array(length).fill(null), origin: 0 };
}

function cell(text, confidence, writer, tokensOf, isKept) {
  return { text: String(text), confidence, writer, tokensOf, isKept };
}

function masked(one) {
  return { ...one, cells: new Array(one.cells.length).fill(null) };
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

/** A function that is asked for the texts of a region in order, and gives the cell that wrote each one's beginning. */
function walk({ cells }) {
  const old = cells.filter((one) => one !== null);
  let [index, start, offset] = [0, 0, 0]; // the old cell, where its text begins, and where the next text does
  return (text) => {
    const isBehind = (one) => start + Math.max(one.text.length, 1) <= offset || (one.text === "" && text !== "");
    while (index < old.length && isBehind(old[index])) {
      start += old[index].text.length;
      index += 1;
    }
    const found = index < old.length && start <= offset ? old[index] : null;
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

/** What a transcoded relay brought, cut into as many tokens as the member says it has. */
function settled(canvas, numMasked) {
  const numReasoning = canvas.reasoning.cells.length;
  const numCommitted = numReasoning + canvas.answer.cells.length - numMasked;
  const inReasoning = Math.min(numCommitted, numReasoning);
  return {
    ...canvas,
    reasoning: fitted(canvas.reasoning, inReasoning),
    answer: fitted(canvas.answer, numCommitted - inReasoning),
    isTranscoded: false,
  };
}

/** The committed prefix of a region as `length` cells of the same text, as few of them without any as can be. Its blocks
 * begin anew behind it.
 */
function fitted({ cells }, length) {
  const prefix = cells.filter((one) => one !== null);
  const cut = prefix.length === length ? prefix : fittedText(prefix.filter((one) => one.text !== ""), length);
  const all = [...cut, ...new Array(cells.length).fill(null)].slice(0, cells.length);
  const first = all.indexOf(null);
  return { cells: all, origin: first < 0 ? all.length : first };
}

function fittedText(cells, length) {
  return cells.length > length ? joined(cells, length) : split(cells, length);
}

/** Neighbours as one cell, pair by pair from the left, until `length` are left. */
function joined(prefix, length) {
  let cells = prefix;
  while (cells.length > Math.max(length, 1)) {
    const numPairs = Math.min(cells.length - length, Math.floor(cells.length / 2));
    const pairs = Array.from({ length: numPairs }, (_, index) => {
      const [left, right] = cells.slice(2 * index, 2 * index + 2);
      return { ...left, text: left.text + right.text };
    });
    cells = [...pairs, ...cells.slice(2 * numPairs)];
  }
  return cells.slice(0, length);
}

/** Long cells from the left as single characters, then cells without text, until there are `length`. */
function split(prefix, length) {
  let surplus = length - prefix.length;
  const cells = prefix.flatMap((one) => {
    const characters = [...one.text];
    const numCuts = Math.min(surplus, Math.max(characters.length - 1, 0));
    surplus -= numCuts;
    const pieces = [...characters.slice(0, numCuts), characters.slice(numCuts).join("")];
    return pieces.length > 1 ? pieces.map((text) => ({ ...one, text })) : [one];
  });
  return [...cells, ...Array.from({ length: surplus }, () => END_CELL)];
}
