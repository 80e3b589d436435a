/** One member's canvas as far as its events tell it: values that are never changed, only replaced.
 *
 * A cell is a committed token: `{text, confidence, writer, tokensOf, isKept}`, null where masked. `writer` is the
 * member that wrote it (null: nobody knows, since events were merged), `tokensOf` the one whose token it is; `isKept`
 * says that a relay handed it on. Where no steps are told, a transcoded canvas is known in the leader's tokens alone.
 */

export const REGIONS = ["reasoning", "answer"];

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
  const fresh = set.map(([, text, confidence]) => cell(text, confidence, model, model, false));
  const positions = set.map(([position]) => position);
  return { ...placed(canvas, positions, fresh), maskedLeft, fresh };
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
  return { ...placed(blank, positions, cells), maskedLeft, fresh: [] };
}

/** The leader's canvas as another member has it now, in that member's `tokens` where they are told. Cells keep their
 * writers, and blocks are counted from its first mask.
 */
export function adopted(canvas, leading, model, tokens) {
  const { reasoning, answer, maskedLeft } = leading;
  const taken = { ...canvas, reasoning, answer, maskedLeft };
  const next = Array.isArray(tokens) ? countedAnew(retold(taken, model, tokens, true)) : taken;
  return { ...next, fresh: REGIONS.flatMap((name) => differing(next[name], canvas[name])) };
}

/** The canvas that a snapshot tells. */
export function replaced(canvas, model, tokens) {
  return { ...retold(canvas, model, tokens, false), fresh: [] };
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

function cell(text, confidence, writer, tokensOf, isKept) {
  return { text: String(text), confidence, writer, tokensOf, isKept };
}

function masked(one) {
  return { ...one, cells: new Array(one.cells.length).fill(null) };
}

/** A canvas by the texts of all positions, and the writers of those cells whose text is where it was. */
function retold(canvas, model, tokens, isKept) {
  const starts = { reasoning: 0, answer: canvas.answerStart };
  const [reasoning, answer] = REGIONS.map((name) => {
    const old = walk(canvas[name]);
    const cells = canvas[name].cells.map((_, index) => {
      const text = tokens[starts[name] + index] ?? null;
      if (text === null) return null;
      const known = old(String(text));
      if (known?.text === text) return known;
      return cell(text, known?.confidence ?? null, known?.writer ?? null, model, isKept);
    });
    return { ...canvas[name], cells };
  });
  const maskedLeft = [...reasoning.cells, ...answer.cells].filter((one) => one === null).length;
  return { ...canvas, reasoning, answer, maskedLeft };
}

function countedAnew(canvas) {
  const [reasoning, answer] = REGIONS.map((name) => {
    const { cells } = canvas[name];
    const first = cells.indexOf(null);
    return { cells, origin: first < 0 ? cells.length : first };
  });
  return { ...canvas, reasoning, answer };
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
