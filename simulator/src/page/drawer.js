// The drawer: the clock, what goes wrong, and what is on its way.

import { get, post } from "./api.js";
import { h, icon, ICONS, moment } from "./dom.js";

const STEPS = [["+1 min", 60_000], ["+1 h", 3_600_000], ["+22 h", 22 * 3_600_000], ["+1 day", 86_400_000], ["+1 week", 7 * 86_400_000]];

const SPEEDS = [["stands still", 0], ["as the machine's", 1], ["a minute a second", 60], ["an hour a second", 3_600], ["a day a second", 86_400]];

/** Knob, what it is called here, what it does. */
const FAULTS = [
  ["Sending", [
    ["send_error", "Error 500", "answers “something went wrong”, accepts nothing"],
    ["send_503", "Out of service", "answers a bare 503, accepts nothing"],
    ["send_timeout", "No answer", "the request hangs, accepts nothing"],
    ["send_drop_before", "Dropped before", "the connection ends, accepts nothing"],
    ["send_drop_after", "Dropped after", "accepts and delivers, and the answer is lost"],
    ["send_failed_later", "Fails later", "accepts, then reports that it could not be delivered"],
    ["marketing_capped", "Marketing not delivered", "the person has had enough of it (131049)"],
  ]],
  ["Media, templates, groups", [
    ["call_error", "Answers 500", "such a call answers “something went wrong”"],
    ["group_failed_later", "Group operation fails", "is taken, then reports an error"],
  ]],
  ["Receipts", [
    ["receipt_lost", "Lost", "never comes"],
    ["receipt_duplicated", "Twice", "comes two times"],
    ["receipt_disordered", "Out of order", "is overtaken by the next"],
    ["receipt_late", "Late", "comes a minute later"],
  ]],
  ["Webhooks", [
    ["webhook_duplicated", "Twice", "the same bytes again"],
    ["webhook_shuffled", "Shuffled", "is overtaken by those after it"],
    ["webhook_delayed", "Delayed", "comes a minute later"],
  ]],
];

const OFTEN = [["never", 0], ["1 in 10", 0.1], ["1 in 2", 0.5], ["always", 1]];

/** How often the figures are looked at while the drawer is open. */
const LOOK_MS = 1000;

export class Drawer {
  /** `opening` is called before it opens: another may have its place. */
  constructor(element, opener, opening) {
    Object.assign(this, { element, opener, opening, faults: {}, rows: new Map() });
    opener.addEventListener("click", () => this.toggle(element.hidden));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !element.hidden && !document.querySelector("dialog[open]")) this.toggle(false);
    });
    this.build();
    setInterval(() => this.look(), LOOK_MS);
  }

  toggle(open) {
    if (open) this.opening();
    if (!open && this.element.hidden) return;
    this.element.hidden = !open;
    this.opener.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("with-drawer", open);
    if (open) {
      this.look();
      this.element.querySelector("button").focus();
    } else {
      this.opener.focus();
    }
  }

  build() {
    this.clock = h("div", { className: "clock" });
    this.figures = h("dl", { className: "figures" });
    this.problem = h("p", { className: "problem", role: "alert" });
    const groups = FAULTS.map(([title, faults]) => h("fieldset", {}, h("legend", {}, title),
      faults.map(([name, label, about]) => this.fault(name, label, about))));
    this.element.append(
      h("header", {}, h("h2", {}, "Controls"),
        h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: () => this.toggle(false) }, icon(ICONS.close))),
      h("section", {}, h("h3", {}, "Time"), this.clock),
      h("section", {}, h("h3", {}, "People and the platform"),
        this.setting("auto_read", "Everybody reads at once"),
        this.setting("webhooks_paused", "Hold webhooks back"),
        this.setting("pair_rate", "Hold senders to the pair rate"),
        this.setting("token_expired", "The access token has expired"),
        this.setting("template_hold", "Hold templates for quality"),
        this.setting("group_variants", "Group webhooks vary as Meta's pages do")),
      h("section", {}, h("h3", {}, "Templates"), this.templates = h("ul", { className: "templates" })),
      h("section", {}, h("h3", {}, "What goes wrong"), groups,
        h("div", { className: "row" },
          h("button", { type: "button", className: "quiet", onclick: () => this.calm() }, "All well again"),
          h("button", { type: "button", className: "quiet danger", onclick: () => this.startOver() }, "Start over"))),
      h("section", {}, h("h3", {}, "State"), h("div", { className: "row" },
        h("a", { className: "quiet", href: "/control/state", download: "whatsapp-state.json" }, "Save"),
        h("label", { className: "quiet" }, "Load", h("input", { type: "file", accept: "application/json", hidden: true,
          onchange: (event) => this.loadState(event.target) })))),
      this.problem,
      h("section", {}, h("h3", {}, "Traffic"), this.figures));
  }

  fault(name, label, about) {
    const often = h("select", { "aria-label": `${label}: how often`, onchange: () => this.set(name, { probability: Number(often.value) }) },
      OFTEN.map(([text, value]) => h("option", { value }, text)));
    const once = h("button", { type: "button", className: "quiet", title: "The next time, once",
      "aria-label": `${label}: the next time`, "aria-pressed": "false",
      onclick: () => this.set(name, { ...this.faults[name], next: (this.faults[name]?.next ?? 0) > 0 ? 0 : 1 }) }, "next");
    this.rows.set(name, { often, once });
    return h("div", { className: "fault" }, h("p", {}, h("b", {}, label), h("small", {}, about)), once, often);
  }

  setting(name, label) {
    const box = h("input", { type: "checkbox", role: "switch", onchange: () => this.set(name, box.checked) });
    this.rows.set(name, { box });
    return h("label", { className: "switch" }, h("span", {}, label), box);
  }

  set(name, value) {
    return this.attempt(() => post("faults", { [name]: value }));
  }

  calm() {
    const names = [...this.rows.keys()];
    return this.attempt(() => post("faults", Object.fromEntries(names.map((name) => [name, null]))));
  }

  startOver() {
    return this.attempt(() => post("reset", {}));
  }

  loadState(input) {
    const [file] = input.files;
    input.value = "";
    return file && this.attempt(async () => post("state", JSON.parse(await file.text())));
  }

  /** The templates that were made, each with what can be done to it. */
  async setTemplates() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const { templates } = await get("templates").catch(() => ({ templates: [] }));
    // A newer question is on its way: its answer counts.
    if (turn !== this.turn) return;
    const judge = (template, event) => this.attempt(() => post("templates", { name: template.name, language: template.language, event }));
    const acts = { PENDING: ["approve", "reject"], APPROVED: ["pause", "disable"], PAUSED: ["unpause"], REJECTED: ["approve"], DISABLED: ["approve"] };
    const row = (template) => h("li", {},
      h("p", {}, h("b", {}, template.name), h("small", {}, `${template.language} · ${template.category.toLowerCase()}`)),
      h("span", { className: "state", dataset: { state: template.status } }, template.status.toLowerCase()),
      acts[template.status].map((event) => h("button", { type: "button", className: "quiet small",
        "aria-label": `${event} ${template.name}`, onclick: () => judge(template, event) }, event)));
    this.templates.replaceChildren(...templates.map(row));
    if (templates.length === 0) this.templates.append(h("li", { className: "about" }, "None was made: until then every name goes."));
  }

  async attempt(action) {
    try {
      this.problem.textContent = "";
      await action();
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  setFaults(faults) {
    this.faults = faults;
    for (const [name, { often, once, box }] of this.rows) {
      const value = faults[name];
      if (box) {
        box.checked = value;
        continue;
      }
      const nearest = OFTEN.findLast(([, probability]) => probability <= value.probability) ?? OFTEN[0];
      often.value = String(nearest[1]);
      once.setAttribute("aria-pressed", String(value.next > 0));
    }
    const troubled = [...this.rows.keys()].some((name) => faults[name]?.probability > 0 || faults[name]?.next > 0 || faults[name] === true);
    this.opener.classList.toggle("troubled", troubled);
  }

  setClock(face) {
    // The buttons stay the same ones, so that whoever turns time by keyboard keeps their place.
    if (!this.clock.firstChild) this.clock.append(...(face.virtual ? this.turner() : this.standing()));
    if (!face.virtual) return;
    this.clock.querySelector("time").textContent = moment(face.now_ms);
    this.speed.value = String(face.speed);
  }

  turner() {
    const advance = (ms) => this.attempt(() => post("clock", { advance_ms: ms }));
    this.speed = h("select", { "aria-label": "How fast time goes", onchange: () => this.attempt(() => post("clock", { speed: Number(this.speed.value) })) },
      SPEEDS.map(([text, value]) => h("option", { value }, text)));
    return [h("p", { className: "row" }, h("time", { className: "big" }), this.speed), h("div", { className: "row" }, STEPS.map(([label, ms]) =>
      h("button", { type: "button", className: "quiet", onclick: () => advance(ms) }, label)))];
  }

  standing() {
    return [h("p", { className: "about" }, "The machine's own time. Start with ", h("code", {}, "--clock virtual"), " to turn it.")];
  }

  async look() {
    if (this.element.hidden) return;
    const [idle, { counts }, account] = await Promise.all([get("idle"), get("messages?limit=0"), get("account")])
      .catch(() => [{}, { counts: {} }, {}]);
    const micros = Object.values(account.costs ?? {}).reduce((sum, cost) => sum + cost.micros, 0);
    const refused = Object.values(counts.refused ?? {}).reduce((sum, n) => sum + n, 0);
    const figures = [
      ["said by people", counts.said], ["sent by the business", counts.accepted], ["delivered", counts.delivered],
      ["read", counts.read], ["failed", counts.failed], ["refused", refused], ["webhooks taken", idle.deliveries],
      ["webhooks not taken", idle.failures], ["on their way", idle.open], ["waiting for their time", idle.waiting],
      ["free service messages used", account.free_service_messages_used],
      ["spent, by the estimate", `${(micros / 1e6).toFixed(2)} ${account.currency ?? ""}`],
    ];
    this.figures.replaceChildren(...figures.map(([name, n]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(n ?? "–")))));
  }
}
