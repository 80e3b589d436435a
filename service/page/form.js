/** The request, as a form that is made from what the server says of itself: its models and the schema of its body.
 *
 * Whatever is left alone is not sent, so that the ensemble's own defaults hold. Fields carry the API's names.
 */

import { ask } from "./api.js";
import { byId, element, setText } from "./elements.js";
import { shortened, visible } from "./words.js";

const ALWAYS_SHOWN = ["tie.score", "tie.interval", "unmasking.policy"];
const NOT_OFFERED = new Set(["messages", "prompt", "ensemble", "models", "seed", "stream", "events", "on_disconnect"]);
const LENGTHS = { gen_length: "gen_length", reasoning_length: "reasoning_length", answer_length: "answer.length" };
// on these other defaults depend
const DECIDING = { task: "task", score: "tie.score", policy: "unmasking.policy", ...LENGTHS };
const PROBLEM = "field-problem";

export class RequestForm {
  #form;
  #says;
  #models = [];
  #examples = [];
  #offered = ""; // the prompt of a run that was shown last
  #asked = null; // whose defaults are waited for

  /** `says(words)` lets screen readers hear what a press of a button did. */
  constructor(form, says) {
    this.#form = form;
    this.#says = says;
    form.elements.ensemble.addEventListener("change", () => this.#offerEnsemble());
    form.addEventListener("change", ({ target }) => {
      if (["ensemble", ...Object.values(DECIDING)].includes(target.dataset.param)) this.#askDefaults();
    });
    form.addEventListener("input", ({ target }) => {
      if (form.querySelector("[aria-invalid]")?.dataset.param === target.dataset.param) this.blame(null);
    });
  }

  /** `entries` are those of /v1/models, `schemas` the components of /openapi.json. */
  fill(entries, schemas) {
    this.#models = entries;
    const names = entries.filter((entry) => entry.kind === "ensemble").map((entry) => entry.id);
    this.#form.elements.ensemble.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    this.#offerOptions(schemas);
    this.#offerEnsemble();
    this.#showDefaults(this.#chosen.defaults);
  }

  get #chosen() {
    return this.#models.find((entry) => entry.id === this.#form.elements.ensemble.value);
  }

  /** Whether there are a prompt and a member; if not, that is said where it is missing. */
  check() {
    const example = this.#examples.length ? ", or take an example" : "";
    if (this.#form.elements.prompt.value.trim() === "")
      return this.#lacks("messages", `There is no prompt yet: write one${example}.`);
    if (!this.#form.querySelector("[name=models]:checked")) return this.#lacks("models", "Choose at least one member.");
    return true;
  }

  #lacks(param, words) {
    this.blame(param, words);
    this.#says(words);
    return false;
  }

  setPrompt(prompt) {
    this.#form.elements.prompt.value = prompt;
    this.blame(null);
    this.#says(`The prompt is now: ${visible(shortened(prompt))}`);
  }

  /** That of a run which this form could have asked for, unless somebody wrote one of their own. */
  offerPrompt(request) {
    const [message, ...others] = Array.isArray(request?.messages) ? request.messages : [];
    if (others.length || message?.role !== "user" || typeof message.content !== "string") return;
    const { prompt } = this.#form.elements;
    const isOnesOwn = prompt.value.trim() && ![this.#offered, ...this.#examples].includes(prompt.value);
    if (isOnesOwn || message.content.trim() === "") return;
    this.setPrompt(message.content);
    this.#offered = prompt.value;
  }

  body() {
    const body = { messages: [{ role: "user", content: this.#form.elements.prompt.value }] };
    body.ensemble = this.#form.elements.ensemble.value;
    const members = [...this.#form.querySelectorAll("[name=models]")];
    const chosen = members.filter((box) => box.checked).map((box) => box.value);
    if (chosen.length < members.length) body.models = chosen;
    for (const field of this.#form.querySelectorAll("[data-param][data-kind]")) {
      if (field.value !== "") put(body, field.dataset.param, valueOf(field));
    }
    return body;
  }

  /** Point at the field that an error names, and say there what is wrong; null takes that back. */
  blame(param, message = "") {
    byId(PROBLEM)?.remove();
    for (const field of this.#form.querySelectorAll("[aria-invalid]")) {
      field.removeAttribute("aria-invalid");
      describe(field, PROBLEM, false);
    }
    const name = param?.replace(/\[.*$/, "");
    const field = [...this.#form.querySelectorAll("[data-param]")].find((one) => one.dataset.param === name);
    if (!field) return;
    field.setAttribute("aria-invalid", "true");
    describe(field, PROBLEM, true);
    const whole = field.closest("[data-part=members]") ?? field.closest("label") ?? field;
    whole.after(element("span", { id: PROBLEM, class: PROBLEM }, visible(message)));
    const fold = field.closest("details");
    if (fold) fold.open = true;
    field.focus();
  }

  #offerEnsemble() {
    const { members, about, examples } = this.#chosen;
    this.#offerMembers(members);
    setText(byId("about"), visible(about));
    byId("examples").replaceChildren(...examples.map((example) => this.#exampleButton(example)));
    const prompt = this.#form.elements.prompt;
    if (prompt.value === "" || this.#examples.includes(prompt.value)) prompt.value = examples[0] ?? "";
    this.#examples = examples;
    this.blame(null);
  }

  #exampleButton(example) {
    const button = element("button", { type: "button", class: "example" }, visible(example));
    button.addEventListener("click", () => this.setPrompt(example));
    return button;
  }

  #offerMembers(members) {
    const boxes = members.map((name) => {
      const box = element("input", {
        type: "checkbox",
        name: "models",
        value: name,
        checked: true,
        "data-param": "models",
      });
      return element("label", { class: "choice" }, box, ` ${name}`);
    });
    this.#form.querySelector("[data-part=members]").replaceChildren(...boxes);
    const names = element(
      "datalist",
      { id: "member-names" },
      ...members.map((name) => element("option", { value: name })),
    );
    byId("member-names").replaceWith(names);
  }

  /** The server resolves them, as it does for a request; of one that it would refuse none are shown. */
  async #askDefaults() {
    const said = new URLSearchParams();
    for (const [name, param] of Object.entries(DECIDING)) {
      const { value } = this.#form.querySelector(`[data-param="${param}"]`);
      if (value !== "") said.set(name, value);
    }
    const path = `v1/models/${encodeURIComponent(this.#chosen.id)}?${said}`;
    this.#asked = path;
    this.#showDefaults(said.size ? null : this.#chosen.defaults); // what held before does not now
    if (!said.size) return;
    const reply = await ask(path)
      .then((response) => response.json())
      .catch(() => null);
    if (this.#asked === path) this.#showDefaults(reply?.defaults ?? null);
  }

  #showDefaults(defaults) {
    for (const field of this.#form.querySelectorAll("[data-param][data-kind]")) {
      const words = defaultWords(field, defaults);
      if (field.options) setText(field.options[0], words);
      else field.placeholder = words;
    }
  }

  #offerOptions(schemas) {
    const [first, rest] = [this.#form.querySelector("[data-part=first]"), this.#form.querySelector("[data-part=rest]")];
    const groups = groupsOf(schemas);
    for (const name of ["ensemble", "models"]) {
      byId(`hint-${name}`).replaceChildren(...marked(schemas.GenerateBody.properties[name].description));
    }
    const all = groups.flatMap((group) => group.fields);
    first.replaceChildren(...all.filter((field) => ALWAYS_SHOWN.includes(field.param)).map(labelled));
    rest.replaceChildren(
      ...groups.map(({ title, fields }) => {
        const others = fields.filter((field) => !ALWAYS_SHOWN.includes(field.param));
        return element("fieldset", {}, element("legend", {}, title), ...others.map(labelled));
      }),
    );
  }
}

/** The body's own options, then those of each object in it, as `{param, name, kind, choices}`. Tables are left out. */
function groupsOf(schemas) {
  const own = { title: "request", fields: [] };
  const groups = [own];
  for (const [name, schema] of Object.entries(schemas.GenerateBody.properties)) {
    if (NOT_OFFERED.has(name)) continue;
    const part = partOf(schema, schemas);
    if (!part) own.fields.push(fieldOf(name, name, schema));
    else {
      const fields = Object.entries(part.properties).map(([inner, one]) => fieldOf(`${name}.${inner}`, inner, one));
      groups.push({ title: name, fields });
    }
  }
  return groups.map(({ title, fields }) => ({ title, fields: fields.filter(({ kind }) => kind !== undefined) }));
}

function partOf(schema, schemas) {
  const reference = (schema.anyOf ?? []).map((one) => one.$ref).find(Boolean);
  return reference ? schemas[reference.split("/").at(-1)] : null;
}

function fieldOf(param, name, schema) {
  const told = { param, name, description: schema.description ?? "" };
  const kinds = schema.anyOf ?? [schema];
  const choices = kinds.flatMap((one) => one.enum ?? []);
  if (choices.length) return { ...told, kind: "string", choices };
  const kind = ["boolean", "integer", "number", "string"].find((type) => kinds.some((one) => one.type === type));
  return { ...told, kind, choices: kind === "boolean" ? ["true", "false"] : [] };
}

function labelled({ param, name, description, kind, choices }) {
  const hint = `hint-${param}`;
  const attributes = { "data-param": param, "data-kind": kind, "aria-describedby": hint };
  const names = param === "tie.best_model" ? { list: "member-names" } : {};
  const types = {
    integer: { type: "number", step: "1" },
    number: { type: "number", step: "any" },
    string: { type: "text", ...names },
  };
  const field = choices.length
    ? element(
        "select",
        attributes,
        ...["", ...choices].map((choice) => element("option", { value: choice }, choice)),
      )
    : element("input", { ...attributes, ...types[kind], autocomplete: "off" });
  return element(
    "div",
    {},
    element("label", { class: "field" }, element("code", {}, name), field),
    element("p", { class: "hint", id: hint }, ...marked(description)),
  );
}

/** Text with its `code` as such. */
function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

function defaultWords({ dataset: { param, kind }, options }, defaults) {
  const value = param.split(".").reduce((part, name) => part?.[name], defaults);
  if (value === undefined) return "default";
  if (value !== null) return `default: ${kind === "string" && !options ? JSON.stringify(value) : value}`;
  if (Object.values(LENGTHS).includes(param)) return "default: what the others leave";
  return param === "answer.scored_positions" ? "default: all" : "default: none";
}

function valueOf({ value, dataset }) {
  if (dataset.kind === "boolean") return value === "true";
  return dataset.kind === "string" ? value : Number(value);
}

function put(body, param, value) {
  const [outer, inner] = param.split(".");
  if (inner === undefined) body[outer] = value;
  else body[outer] = { ...body[outer], [inner]: value };
}

/** Have a text of the page read with a field, or no longer. */
function describe(field, id, isRead) {
  const others = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
  const ids = isRead ? [id, ...others] : others;
  if (ids.length) field.setAttribute("aria-describedby", ids.join(" "));
  else field.removeAttribute("aria-describedby");
}
