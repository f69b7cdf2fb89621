// The inspector: how a message fared, and every request in which the platform sent or received it.

import { get } from "./api.js";
import { gist } from "./content.js";
import { h, icon, ICONS, moment } from "./dom.js";
import { STATES } from "./message.js";

export class Inspector {
  constructor(element, who) {
    Object.assign(this, { element, who, shown: null });
    element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
  }

  get open() { return !this.element.hidden; }

  close() {
    this.element.hidden = true;
    this.shown = null;
    document.body.classList.remove("with-drawer");
    this.opener?.isConnected && this.opener.focus();
  }

  /** Shows a message; what was told of it is fetched. */
  async show(message) {
    if (!this.open) this.opener = document.activeElement;
    this.shown = message.id;
    this.element.hidden = false;
    document.body.classList.add("with-drawer");
    this.entries ??= h("div", { className: "entries" });
    this.draw(message);
    this.element.querySelector("button").focus();
    await this.fetch();
  }

  /** A message that is shown stands otherwise now. */
  heard(message) {
    if (this.shown !== message.id) return;
    this.draw(message);
    this.fetch();
  }

  draw(message) {
    const from = message.from === "business" ? "The business" : this.who(message.person).name;
    const facts = [
      ["Id", message.id], ["From", from], ["Type", message.type], ["Answers", message.context], ["Callback data", message.callback_data],
      ["Billed as", message.pricing && `${message.pricing.category}, ${message.pricing.type}`],
      ["Failed", message.error && `${message.error}: ${message.error_details ?? ""}`],
    ];
    const steps = message.states.map(({ state, at_ms }) => h("li", {}, h("b", {}, STATES[state]), h("time", {}, moment(at_ms))));
    const each = message.receipts.map(({ person, state }) => h("li", {}, h("b", {}, this.who(person).name), h("span", {}, STATES[state])));
    this.element.replaceChildren(
      h("header", {}, h("h2", {}, "What was sent"),
        h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: () => this.close() }, icon(ICONS.close))),
      h("blockquote", {}, h("span", {}, gist(message))),
      h("section", {}, h("h3", {}, "States"), h("ol", { className: "steps" }, steps), each.length > 0 && h("ul", { className: "steps" }, each)),
      h("section", {}, h("h3", {}, "Facts"), h("dl", { className: "facts" },
        facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
      h("section", {}, h("h3", {}, "Body"), h("pre", {}, JSON.stringify(message.body, null, 2))),
      h("section", {}, h("h3", {}, "Requests"), this.entries));
  }

  async fetch() {
    const id = this.shown;
    const { entries } = await get(`log?message=${encodeURIComponent(id)}`).catch((error) => ({ entries: [], problem: error.message }));
    if (this.shown !== id) return;
    const open = new Set([...this.entries.querySelectorAll("details[open]")].map((element) => element.dataset.seq));
    this.entries.replaceChildren(...entries.map((entry) => this.entry(entry, open.has(String(entry.seq)))));
    if (entries.length === 0) this.entries.append(h("p", { className: "about" }, "Nothing is remembered of it, or nothing was sent yet."));
  }

  entry({ seq, direction, method, path, status, request, response, note, at_ms }, open) {
    const incoming = direction === "in";
    return h("details", { dataset: { seq }, open },
      h("summary", {},
        h("span", { className: `way ${incoming ? "api" : "hook"}`, title: incoming ? "the business called" : "the platform called" }, incoming ? "API" : "webhook"),
        h("span", { className: "what" }, `${method} ${incoming ? path : kinds(request)}`),
        h("span", { className: status === 200 ? "ok" : "bad" }, status ?? "no answer")),
      h("small", {}, moment(at_ms), note && ` · ${note}`),
      h("pre", {}, pretty(request)), response && h("pre", {}, pretty(response)));
  }
}

/** What a webhook tells, in a word or two. */
function kinds(body) {
  try {
    const values = JSON.parse(body).entry.flatMap((entry) => entry.changes.map((change) => change.value));
    const told = values.flatMap((value) => [
      ...(value.messages ?? []).map((message) => message.type), ...(value.statuses ?? []).map((status) => status.status)]);
    return [...new Set(told)].join(", ") || "webhook";
  } catch {
    return "webhook";
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
