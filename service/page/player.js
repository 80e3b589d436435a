/** Where in the log the page stands: at its end while it follows a run, anywhere when somebody scrubs or plays. */

import { byId, setText } from "./elements.js";
import { momentText } from "./words.js";

export class Player {
  #slider = byId("position");
  #button = byId("play");
  #label = byId("moment");
  #speed = byId("speed");
  #log = null;
  #count = 0;
  #follows = true;
  #timer = null;
  #moved;

  /** `moved()` is called whenever the page should show another state. */
  constructor(moved) {
    this.#moved = moved;
    this.#slider.addEventListener("input", () => this.goTo(this.#slider.valueAsNumber));
    this.#button.addEventListener("click", () => this.toggle());
    byId("player").addEventListener("keydown", (event) => this.#onKey(event));
  }

  load(log) {
    this.pause();
    this.#log = log;
    this.#follows = true;
    this.#moved();
  }

  /** Scrubbing to the end of a run that still runs follows it again. */
  goTo(count) {
    this.pause();
    this.#stand(count);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.#play();
    this.#moved();
  }

  pause() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  get isPlaying() {
    return this.#timer !== null;
  }

  get follows() {
    return this.#follows;
  }

  get state() {
    return this.#follows ? this.#log.last : this.#log.stateAt(this.#count);
  }

  draw(state) {
    const count = this.#follows ? this.#log.length : this.#count;
    this.#slider.max = String(this.#log.length);
    this.#slider.value = String(count);
    const words = `${count} of ${this.#log.length}: ${momentText(state, this.#log.last.completed)}`;
    setText(this.#label, words);
    this.#slider.setAttribute("aria-valuetext", words);
    setText(this.#button, this.isPlaying ? "Pause" : "Play");
  }

  #play() {
    if (this.#follows || this.#count >= this.#log.length) this.#stand(0);
    const next = () => {
      this.#timer = setTimeout(next, 1000 / Number(this.#speed.value));
      this.#stand(this.#count + 1);
      if (this.#follows) this.pause();
    };
    this.#timer = setTimeout(next, 0);
  }

  #stand(count) {
    this.#count = Math.min(Math.max(count, 0), this.#log.length);
    this.#follows = this.#count === this.#log.length;
    this.#moved();
  }

  /** A slider has the arrows, Home and End by itself. */
  #onKey(event) {
    if (event.key !== " " || event.target !== this.#slider) return;
    event.preventDefault();
    this.toggle();
  }
}
