/** The playground: the form, the run, and what is drawn of it. All that is drawn comes from one state at a time. */

import { adviceFor } from "./advice.js";
import { Announcer } from "./announcer.js";
import { Answer } from "./answer.js";
import { ApiError, apiKey, ask, setApiKey } from "./api.js";
import { byId, element, setText } from "./elements.js";
import { RequestForm } from "./form.js";
import { EventLog, logOf } from "./log.js";
import { Members } from "./members.js";
import { Player } from "./player.js";
import { Problem } from "./problem.js";
import { Rounds, chip } from "./rounds.js";
import { Session } from "./session.js";
import { startTheme } from "./theme.js";
import { counted, visible } from "./words.js";

const MAX_FILE_BYTES = 64 * 2 ** 20;
const NARROW = matchMedia("(max-width: 52rem)"); // as in style.css: what runs is below the form
const KEY_CODES = new Set(["missing_api_key", "invalid_api_key"]);

class Playground {
  #log = new EventLog();
  #session = null;
  #isAsking = false; // for a run of which nothing has come yet: what was there before is still shown
  #connection = null; // words about one that is lost
  #isDrawing = false;
  #numDrawn = 0; // events in the last picture
  #mostMerged = 0;
  #isToBeSeen = false; // what was just asked for is not on the screen yet
  #models = null;
  #announcer = new Announcer();
  #form = new RequestForm(byId("request"), (words) => this.#announcer.say(words));
  #members = new Members(byId("members"));
  #player = new Player(() => this.#redraw());
  #rounds = new Rounds(byId("strip"), byId("rounds"), (count) => this.#player.goTo(count));
  #answer = new Answer(byId("answer"), byId("written"));
  #problem = new Problem(() => (byId("run").disabled ? this.#meet() : this.#run()));

  start() {
    startTheme();
    byId("main-options").open = !NARROW.matches;
    byId("request").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    byId("prompt").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("request").requestSubmit();
    });
    byId("stop").addEventListener("click", () => this.#session?.stop().catch((error) => this.#fail(error)));
    byId("export").addEventListener("click", () => this.#export());
    byId("import").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => this.#import());
    byId("key").addEventListener("submit", (event) => {
      event.preventDefault();
      setApiKey(byId("api-key").value.trim());
      this.#problem.hide();
      this.#meet();
    });
    addEventListener("pagehide", () => this.#session?.abandon());
    this.#load(this.#log);
    this.#meet();
  }

  /** Ask the server what it has; again while it is loading. */
  async #meet({ isLoading = false } = {}) {
    if (!isLoading) setText(byId("server"), "asking the server what it has …");
    try {
      const [models, page] = await Promise.all(
        ["v1/models", "openapi.json"].map(async (path) => (await ask(path)).json()),
      );
      this.#form.fill(models.data, page.components.schemas);
      setText(byId("server"), serverText(models.data, page.info.version));
      byId("run").disabled = false;
      this.#problem.hide();
      byId("key").hidden = apiKey() === "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.code === "loading") {
        this.#problem.note("The server is loading its models.", adviceFor(error.code));
        setText(byId("server"), "loading its models …");
        setTimeout(() => this.#meet({ isLoading: true }), 1000 * (error.retryAfter ?? 2));
        return;
      }
      this.#fail(error);
      setText(byId("server"), error.message);
    }
  }

  async #run() {
    if (this.#session) return;
    this.#problem.hide();
    this.#form.blame(null);
    if (!this.#form.check()) return;
    const body = this.#form.body();
    const log = new EventLog();
    log.request = body;
    const hears = {
      event: (event) => {
        log.append(event);
        if (this.#isAsking) this.#load(log);
        this.#announcer.hear(log.last);
        this.#redraw();
      },
      connection: (words) => this.#connected(words),
    };
    this.#session = new Session(body, hears);
    this.#isAsking = true;
    this.#redraw();
    try {
      await this.#session.run();
      this.#showEnd(log);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#session = null;
      this.#isAsking = false;
      this.#connected(null);
      this.#redraw();
    }
  }

  #showEnd(log) {
    const { error, phase } = log.last;
    if (phase === "stopped") this.#problem.note("This run was stopped.", adviceFor(error.code));
    else if (error) this.#problem.show(error, { canRetry: this.#session !== null && log.events.at(-1).retryable });
  }

  #load(log) {
    this.#log = log;
    this.#isAsking = false;
    this.#isToBeSeen = log.length > 0;
    this.#numDrawn = 0;
    this.#mostMerged = 0;
    this.#player.load(log);
  }

  #connected(words) {
    if (words === this.#connection) return;
    this.#connection = words;
    if (words) this.#announcer.say(words);
    this.#redraw();
  }

  #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    if (KEY_CODES.has(error.code)) byId("key").hidden = false;
    this.#problem.show(error, {
      canRetry: error.status === 429 || error.status >= 500 || error.code === "unreachable",
      remark: this.#isAsking && this.#log.length ? "What is shown below is the run before." : "",
    });
    this.#form.blame(error.param, error.message);
    if (KEY_CODES.has(error.code)) byId("api-key").focus();
  }

  #redraw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#draw();
    });
  }

  #draw() {
    const state = this.#player.state;
    const isStreaming = this.#session !== null && !this.#isAsking && this.#player.follows;
    if (isStreaming) this.#mostMerged = Math.max(this.#mostMerged, state.numEvents - this.#numDrawn);
    this.#numDrawn = this.#log.length;
    const hasRun = this.#log.length > 0;
    byId("result").hidden = !hasRun;
    byId("result").dataset.run = this.#log.last.id ?? "";
    byId("welcome").hidden = hasRun || this.#session !== null;
    this.#drawRun(state, this.#log.request, !isStreaming && !this.#player.isPlaying);
    this.#player.draw(state);
    this.#drawStatus();
    byId("run").hidden = this.#session !== null;
    byId("stop").hidden = this.#session === null;
    byId("export").disabled = !hasRun || this.#session !== null;
    byId("import").disabled = this.#session !== null;
    if (this.#isToBeSeen && hasRun) this.#bringIntoView();
  }

  #drawRun(state, request, isSettled) {
    this.#members.draw(state, isSettled);
    this.#rounds.draw(state);
    this.#answer.draw(state, request);
    if (this.#models !== state.models) this.#drawLegend(state);
  }

  #bringIntoView() {
    this.#isToBeSeen = false;
    if (NARROW.matches) byId("status").scrollIntoView();
  }

  #drawStatus() {
    setText(byId("status"), this.#connection ?? (this.#isAsking ? "asking" : this.#facts.join(" · ")));
    byId("status").classList.toggle("lost", this.#connection !== null);
  }

  get #facts() {
    const { phase, rounds, numSkipped } = this.#log.last;
    const facts = [this.#player.follows ? phase : `the whole run: ${phase}`];
    if (this.#log.length) facts.push(counted(rounds.length, "round"), counted(this.#log.length, "event"));
    if (this.#mostMerged > 1) facts.push(`drawn up to ${this.#mostMerged} events at a time`);
    if (numSkipped) facts.push(`${counted(numSkipped, "event")} merged by the server`);
    return facts;
  }

  #drawLegend(state) {
    this.#models = state.models;
    const members = state.models.map((model) => element("li", {}, chip(state, model.id), ` ${visible(model.id)}`));
    byId("writers").replaceChildren(...members);
    const rows = Object.entries(state.options).map(([name, value]) => [
      element("dt", {}, visible(name)),
      element("dd", {}, visible(JSON.stringify(value))),
    ]);
    byId("options").replaceChildren(...rows.flat());
  }

  #export() {
    const address = URL.createObjectURL(new Blob([this.#log.toText()], { type: "application/x-ndjson" }));
    element("a", { href: address, download: `${this.#log.last.id ?? "run"}.ndjson` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  async #import() {
    const input = byId("file");
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MAX_FILE_BYTES) throw new Error("the file is larger than 64 MiB");
      const log = logOf(await file.text());
      if (this.#session) throw new Error("a run was begun while it was read");
      this.#tryToDraw(log);
      this.#problem.hide();
      this.#load(log);
      this.#showEnd(log);
      this.#form.offerPrompt(log.request);
    } catch (error) {
      this.#problem.showWords(`This file cannot be shown: ${error.message}.`, "Nothing was changed.");
    } finally {
      input.value = "";
    }
  }

  /** Throws an Error with words for people where its end cannot be drawn: what was there is drawn again then. */
  #tryToDraw({ last, request }) {
    try {
      this.#drawRun(last, request, true);
    } catch {
      this.#redraw();
      throw new Error("an event in it lacks something that is to be drawn");
    }
  }
}

function serverText(entries, version) {
  const numOf = (kind) => entries.filter((entry) => entry.kind === kind).length;
  return `version ${version}: ${counted(numOf("ensemble"), "ensemble")}, ${counted(numOf("member"), "member")}`;
}

new Playground().start();
