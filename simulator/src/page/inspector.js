// The inspector: how a message fared, and every request in which the platform sent or received it.

import { get } from "./api.js";
import { gist } from "./content.js";
import { h, icon, ICONS, moment } from "./dom.js";
import { STATES } from "./message.js";

/** How often the log is looked at while it is open: an entry is there a moment after the message has changed. */
const LOOK_MS = 1000;

export class Inspector {
  constructor(element, who) {
    Object.assign(this, { element, who, shown: null, asked: 0, answered: 0 });
    // What is told anew stands in its own place, so that nothing else loses the focus by it.
    this.story = h("div", { className: "story" });
    this.entries = h("div", { className: "entries" });
    element.append(
      h("header", {}, h("h2", {}, "What was sent"),
        h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: () => this.close() }, icon(ICONS.close))),
      this.story, h("section", {}, h("h3", {}, "Requests"), this.entries));
    element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
    setInterval(() => this.open && this.fetch(), LOOK_MS);
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
    this.entries.replaceChildren();
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
    this.story.replaceChildren(
      h("blockquote", {}, h("span", {}, gist(message))),
      h("section", {}, h("h3", {}, "States"), h("ol", { className: "steps" }, steps), each.length > 0 && h("ul", { className: "steps" }, each)),
      h("section", {}, h("h3", {}, "Facts"), h("dl", { className: "facts" },
        facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
      h("section", {}, h("h3", {}, "Body"), h("pre", {}, JSON.stringify(message.body, null, 2))));
  }

  async fetch() {
    const id = this.shown;
    const turn = this.asked += 1;
    const { entries } = await get(`log?message=${encodeURIComponent(id)}`).catch(() => ({ entries: [] }));
    // An answer that was overtaken by a newer one is old.
    if (this.shown !== id || turn < this.answered) return;
    this.answered = turn;
    const there = new Map([...this.entries.children].map((element) => [element.dataset.key, element]));
    const wanted = entries.map((entry) => there.get(`${entry.seq} ${entry.status}`) ?? this.entry(entry));
    if (wanted.length === 0) wanted.push(h("p", { className: "about" }, "Nothing is remembered of it, or nothing was sent yet."));
    // What is there stays where it is: open, and with the focus.
    [...this.entries.children].filter((element) => !wanted.includes(element)).forEach((element) => element.remove());
    wanted.forEach((element, place) => {
      if (this.entries.children[place] !== element) this.entries.insertBefore(element, this.entries.children[place] ?? null);
    });
  }

  entry({ seq, direction, method, path, status, request, response, note, at_ms }) {
    const incoming = direction === "in";
    return h("details", { dataset: { key: `${seq} ${status}` } },
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
