/** A run's events in order, the state after any number of them, and the run as a file.
 *
 * A file is what `curl -N -H 'accept: application/x-ndjson'` gives: one event a line. Ours begins with a line of type
 * `page.request`, the body that was sent; like every type that they do not know, readers pass over it.
 */

import { START, reduce } from "./reduce.js";

const CHECKPOINT_EVERY = 64; // events; going anywhere replays fewer than these
const REQUEST = "page.request";

export class EventLog {
  #checkpoints = [START];
  events = [];
  request = null;
  last = START;

  get length() {
    return this.events.length;
  }

  append(event) {
    this.last = reduce(this.last, event);
    this.events.push(event);
    if (this.events.length % CHECKPOINT_EVERY === 0) this.#checkpoints.push(this.last);
  }

  /** The state after the first `count` events. */
  stateAt(count) {
    if (count >= this.length) return this.last;
    const checkpoint = Math.floor(count / CHECKPOINT_EVERY);
    const since = this.events.slice(checkpoint * CHECKPOINT_EVERY, count);
    return since.reduce(reduce, this.#checkpoints[checkpoint]);
  }

  toText() {
    const first = this.request ? [{ type: REQUEST, body: this.request }] : [];
    return [...first, ...this.events].map((line) => JSON.stringify(line) + "\n").join("");
  }
}

/** Throws an Error with words for people where the text is no run. */
export function logOf(text) {
  const log = new EventLog();
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    try {
      const event = JSON.parse(line);
      if (event.type === REQUEST) log.request = event.body;
      else log.append(event);
    } catch {
      throw new Error(
        `line ${index + 1} is not an event of a run: choose a file that was saved here, or lines of NDJSON`,
      );
    }
  });
  if (log.last.id === null)
    throw new Error("there is no tie.created in this file: it does not begin where a run begins");
  return log;
}
