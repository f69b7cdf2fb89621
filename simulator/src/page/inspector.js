// The inspector: states of a message, and every request that carried it.

import { get } from "./api.js";
import { summary } from "./content.js";
import { h, icon, ICONS, moment } from "./dom.js";
import { STATES } from "./message.js";

/** Refresh interval of the log while the inspector is open: a log entry is written shortly after the message has changed. */
const REFRESH_MS = 1000;

export class Inspector {
  constructor(element, who) {
    Object.assign(this, { element, who, shown: null, asked: 0, answered: 0 });
    // The message is redrawn in its own element, so that the entries below keep the focus.
    this.details = h("div", { className: "details" });
    this.entries = h("div", { className: "entries" });
    element.append(
      h("header", {}, h("h2", {}, "Message details"),
        h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: () => this.close() }, icon(ICONS.close))),
      this.details, h("section", {}, h("h3", {}, "Requests"), this.entries));
    element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
    setInterval(() => this.open && this.fetch(), REFRESH_MS);
  }

  get open() { return !this.element.hidden; }

  close() {
    this.element.hidden = true;
    this.shown = null;
    document.body.classList.remove("with-drawer");
    this.opener?.isConnected && this.opener.focus();
  }

  /** Shows a message and fetches its log entries. */
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

  /** Redraws the message if it is the one shown. */
  update(message) {
    if (this.shown !== message.id) return;
    this.draw(message);
    this.fetch();
  }

  draw(message) {
    const from = message.from === "business" ? "The business" : this.who(message.person).name;
    const facts = [
      ["Id", message.id], ["From", from], ["Type", message.type], ["Replies to", message.context], ["Callback data", message.callback_data],
      ["Billed as", message.pricing && `${message.pricing.category}, ${message.pricing.type}`],
      ["Failed", message.error && `${message.error}: ${message.error_details ?? ""}`],
    ];
    const steps = message.states.map(({ state, at_ms }) => h("li", {}, h("b", {}, STATES[state]), h("time", {}, moment(at_ms))));
    const each = message.receipts.map(({ person, state }) => h("li", {}, h("b", {}, this.who(person).name), h("span", {}, STATES[state])));
    this.details.replaceChildren(
      h("blockquote", {}, h("span", {}, summary(message))),
      h("section", {}, h("h3", {}, "States"), h("ol", { className: "steps" }, steps), each.length > 0 && h("ul", { className: "steps" }, each)),
      h("section", {}, h("h3", {}, "Properties"), h("dl", { className: "facts" },
        facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))),
      h("section", {}, h("h3", {}, "Body"), h("pre", {}, JSON.stringify(message.body, null, 2))));
  }

  async fetch() {
    const id = this.shown;
    const turn = this.asked += 1;
    const { entries } = await get(`log?message=${encodeURIComponent(id)}`).catch(() => ({ entries: [] }));
    // A newer response has been applied already.
    if (this.shown !== id || turn < this.answered) return;
    this.answered = turn;
    const there = new Map([...this.entries.children].map((element) => [element.dataset.key, element]));
    const wanted = entries.map((entry) => there.get(`${entry.seq} ${entry.status}`) ?? this.entry(entry));
    if (wanted.length === 0) wanted.push(h("p", { className: "about" }, "No log entries: nothing was sent yet, or the entries were evicted."));
    // Existing entries stay in place, open and with the focus.
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
        h("span", { className: status === 200 ? "ok" : "bad" }, status ?? "no response")),
      h("small", {}, moment(at_ms), note && ` · ${note}`),
      h("pre", {}, pretty(request)), response && h("pre", {}, pretty(response)));
  }
}

/** Short summary of a webhook: its message types and statuses. */
function kinds(body) {
  try {
    const values = JSON.parse(body).entry.flatMap((entry) => entry.changes.map((change) => change.value));
    const found = values.flatMap((value) => [
      ...(value.messages ?? []).map((message) => message.type), ...(value.statuses ?? []).map((status) => status.status)]);
    return [...new Set(found)].join(", ") || "webhook";
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
