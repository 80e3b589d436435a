/** One run on the server: sent once, followed to its end, however often the connection drops on the way.
 *
 * The run is asked to go on without its connection. Until its id is known a lost request is sent again under the same
 * idempotency key, so nothing is computed twice; from then on its events are read on from the last one that came. The
 * key is its session as well, by which several servers at one address send all of this to the one that took it.
 */

import { ApiError, ask } from "./api.js";
import { serverSentEvents } from "./sse.js";

const SILENCE_MS = 60_000; // the server pings more often: who says nothing for so long is gone
const MAX_FAILURES = 8; // in a row
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8_000;
const LAST = new Set(["tie.completed", "tie.error"]);

export class Session {
  #key = hexadecimal(crypto.getRandomValues(new Uint8Array(16)));
  #body;
  #hears;
  #id = null;
  #seq = 0;
  #isOver = false;
  #isUnwanted = false;

  /** `hears` is told `event(event)` and `connection(words)`, null for a sound one. */
  constructor(body, hears) {
    this.#body = JSON.stringify({ ...body, stream: true, events: "step", on_disconnect: "continue" });
    this.#hears = hears;
  }

  /** Throws an ApiError where the server refuses, or stays away. */
  async run() {
    let numFailures = 0;
    while (!this.#isOver) {
      const before = this.#seq;
      let error;
      try {
        error = await this.#follow();
      } catch (thrown) {
        if (!(thrown instanceof ApiError) || !isPassing(thrown, this.#id)) throw thrown;
        error = thrown;
      }
      if (this.#isOver) break;
      numFailures = this.#seq > before ? 1 : numFailures + 1;
      if (numFailures > MAX_FAILURES) throw error;
      await this.#wait(error, numFailures);
    }
  }

  /** The run ends on the server; its last event says so. */
  async stop() {
    this.#isUnwanted = true;
    if (this.#id !== null && !this.#isOver) await this.#ask(this.#path, { method: "DELETE" });
  }

  /** The page goes away: the request to stop must outlive it. */
  abandon() {
    if (this.#id === null || this.#isOver) return;
    this.#ask(this.#path, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  get #path() {
    return `v1/tie/requests/${encodeURIComponent(this.#id)}`;
  }

  /** Read one connection to its end; gives what to say if it was not the end of the run. */
  async #follow() {
    const breaker = new AbortController();
    let timer = setTimeout(() => breaker.abort(), SILENCE_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => breaker.abort(), SILENCE_MS);
    };
    try {
      const response = await this.#open(breaker.signal);
      heard();
      if (response.status === 204) {
        this.#isOver = true;
        return null;
      }
      for await (const message of serverSentEvents(response.body, heard)) this.#take(message);
    } catch (error) {
      if (error instanceof ApiError) throw error;
    } finally {
      clearTimeout(timer);
    }
    return new ApiError({
      code: "unreachable",
      message: "the connection to the server was lost, and is not coming back",
    });
  }

  #open(signal) {
    if (this.#id !== null) {
      const headers = { accept: "text/event-stream", "last-event-id": String(this.#seq) };
      return this.#ask(`${this.#path}/events?starting_after=${this.#seq}`, { headers, signal });
    }
    const headers = { "content-type": "application/json", accept: "text/event-stream", "idempotency-key": this.#key };
    return this.#ask("v1/tie/generate", { method: "POST", headers, body: this.#body, signal });
  }

  #ask(path, options) {
    return ask(path, { ...options, headers: { ...options.headers, "x-session-id": this.#key } });
  }

  #take(message) {
    const event = JSON.parse(message.data);
    if (event.seq <= this.#seq) return; // a joined run tells its events from the first one
    this.#seq = event.seq;
    this.#hears.connection(null);
    if (event.type === "tie.created") {
      this.#id = event.id;
      if (this.#isUnwanted) this.stop().catch(() => {});
    }
    this.#isOver = LAST.has(event.type);
    this.#hears.event(event);
  }

  async #wait(error, numFailures) {
    const backoff = Math.min(FIRST_WAIT_MS * 2 ** (numFailures - 1), LONGEST_WAIT_MS);
    const milliseconds = error?.retryAfter ? 1000 * error.retryAfter : backoff;
    const seconds = (milliseconds / 1000).toFixed(1);
    this.#hears.connection(`connection lost: reading on in ${seconds} s (try ${numFailures} of ${MAX_FAILURES})`);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}

/** Whether to try again by ourselves: what refuses a new request is for its sender to decide. */
function isPassing(error, id) {
  return error.code === "unreachable" || (id !== null && [408, 429, 502, 503, 504].includes(error.status));
}

function hexadecimal(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
