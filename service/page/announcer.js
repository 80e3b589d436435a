/** What screen readers hear while a run streams: rounds and the end, politely, never faster than they can be read. */

import { byId } from "./elements.js";
import { nameOf, roundText, visible } from "./words.js";

const PAUSE_MS = 2000;

export class Announcer {
  #region = byId("announcements");
  #heard = null; // the last round, or the end
  #waiting = null;
  #timer = null;

  /** The newest state of a run that is followed. Scrubbing is none of its business: the slider speaks for itself. */
  hear(state) {
    const news = state.completed ?? state.rounds.at(-1) ?? null;
    if (news === this.#heard) return;
    this.#heard = news;
    if (news !== null) this.say(state.completed ? answerText(state) : roundText(news, state));
  }

  /** Of what comes in quick succession the last is said. */
  say(words) {
    this.#waiting = words;
    if (this.#timer === null) this.#speak();
  }

  #speak() {
    this.#timer = this.#waiting === null ? null : setTimeout(() => this.#speak(), PAUSE_MS);
    if (this.#waiting !== null) this.#region.textContent = this.#waiting;
    this.#waiting = null;
  }
}

function answerText({ completed, ...state }) {
  const answer = visible(completed.answer || completed.text);
  return `The answer is ${answer}, from ${nameOf(state, completed.tie.final_model)}.`;
}
