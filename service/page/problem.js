/** An error as people need it: what the server says, what to do, and when to try again. */

import { adviceFor } from "./advice.js";
import { byId, setText } from "./elements.js";
import { visible } from "./words.js";

export class Problem {
  #box = byId("problem");
  #again = byId("problem-again");
  #timer = null;

  constructor(tryAgain) {
    this.#again.addEventListener("click", tryAgain);
  }

  /** `error` is an ApiError or a terminal event's error; `canRetry` says whether the same may succeed later, `remark`
   * what else to know.
   */
  show(error, { canRetry = false, remark = "" } = {}) {
    this.hide();
    setText(byId("problem-message"), visible(error.message));
    setText(byId("problem-advice"), `${adviceFor(error.code)} ${remark}`.trim());
    const where = error.param ? `${error.code}, at ${error.param}` : String(error.code);
    setText(
      byId("problem-code"),
      error.requestId ? `${visible(where)} · request id ${error.requestId}` : visible(where),
    );
    this.#box.classList.remove("neutral");
    this.#box.hidden = false;
    this.#again.hidden = !canRetry;
    this.#box.scrollIntoView({ block: "nearest" });
    if (canRetry) this.#count(error.retryAfter ?? 0);
  }

  /** Something that is no answer of the server's: a file that is no run, for example. */
  showWords(message, advice) {
    this.#tell(message, advice);
    this.#box.classList.remove("neutral");
  }

  /** Nothing is wrong: what holds, and what comes of it. */
  note(message, advice) {
    this.#tell(message, advice);
    this.#box.classList.add("neutral");
  }

  #tell(message, advice) {
    clearTimeout(this.#timer);
    setText(byId("problem-message"), message);
    setText(byId("problem-advice"), advice);
    setText(byId("problem-code"), "");
    this.#again.hidden = true;
    if (this.#box.hidden) {
      this.#box.hidden = false;
      this.#box.scrollIntoView({ block: "nearest" });
    }
  }

  hide() {
    clearTimeout(this.#timer);
    this.#box.hidden = true;
  }

  #count(seconds) {
    this.#again.disabled = seconds > 0;
    setText(this.#again, seconds > 0 ? `Try again in ${seconds} s` : "Try again");
    if (seconds > 0) this.#timer = setTimeout(() => this.#count(seconds - 1), 1000);
  }
}
