// The controls drawer: clock, settings, templates, fault injection, saved state and traffic counters.

import { get, post } from "./api.js";
import { h, icon, ICONS, moment } from "./dom.js";

const STEPS = [["+1 min", 60_000], ["+1 h", 3_600_000], ["+22 h", 22 * 3_600_000], ["+1 day", 86_400_000], ["+1 week", 7 * 86_400_000]];

const SPEEDS = [["paused", 0], ["real time", 1], ["1 minute per second", 60], ["1 hour per second", 3_600], ["1 day per second", 86_400]];

/** Groups of faults: name in the control API, label, description. */
const FAULTS = [
  ["Sending", [
    ["send_error", "Error 500", "an error response; nothing is accepted"],
    ["send_http_503", "HTTP 503", "a response without JSON; nothing is accepted"],
    ["send_timeout", "No response", "the request hangs; nothing is accepted"],
    ["send_drop_before", "Dropped before", "the connection is closed; nothing is accepted"],
    ["send_drop_after", "Dropped after", "accepted and delivered; the response is lost"],
    ["send_async_failure", "Fails asynchronously", "accepted; a failed status follows"],
    ["marketing_capped", "Marketing not delivered", "withheld by the platform (131049)"],
  ]],
  ["Media, templates, groups", [
    ["call_error", "Call fails", "an error response"],
    ["group_async_failure", "Group operation fails", "accepted; the webhook reports an error"],
  ]],
  ["Receipts", [
    ["receipt_lost", "Lost", "never sent"],
    ["receipt_duplicated", "Duplicated", "sent twice"],
    ["receipt_reordered", "Reordered", "sent after the next one"],
    ["receipt_delayed", "Delayed", "sent a minute later"],
  ]],
  ["Webhooks", [
    ["webhook_duplicated", "Webhook duplicated", "the same bytes are sent again"],
    ["webhook_reordered", "Webhook reordered", "sent after later ones"],
    ["webhook_delayed", "Webhook delayed", "sent a minute later"],
  ]],
];

const PROBABILITIES = [["never", 0], ["1 in 10", 0.1], ["1 in 2", 0.5], ["always", 1]];

/** Refresh interval of the counters while the drawer is open. */
const REFRESH_MS = 1000;

export class Drawer {
  /** `opening` is called before the drawer opens, to close whatever occupies the same space. */
  constructor(element, opener, opening) {
    Object.assign(this, { element, opener, opening, faults: {}, rows: new Map() });
    opener.addEventListener("click", () => this.toggle(element.hidden));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !element.hidden && !document.querySelector("dialog[open]")) this.toggle(false);
    });
    this.build();
    setInterval(() => this.refresh(), REFRESH_MS);
  }

  toggle(open) {
    if (open) this.opening();
    if (!open && this.element.hidden) return;
    this.element.hidden = !open;
    this.opener.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("with-drawer", open);
    if (open) {
      this.refresh();
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
      h("section", {}, h("h3", {}, "Settings"),
        this.setting("auto_read", "Read messages automatically"),
        this.setting("webhooks_paused", "Pause webhooks"),
        this.setting("pair_rate", "Enforce the pair rate limit"),
        this.setting("token_expired", "Expire the access token"),
        this.setting("template_hold", "Hold templates for quality"),
        this.setting("group_variants", "Vary group webhooks as the documentation does")),
      h("section", {}, h("h3", {}, "Templates"), this.templates = h("ul", { className: "templates" })),
      h("section", {}, h("h3", {}, "Faults"), groups,
        h("div", { className: "row" },
          h("button", { type: "button", className: "quiet", onclick: () => this.clearFaults() }, "Clear faults and settings"),
          h("button", { type: "button", className: "quiet danger", onclick: () => this.reset() }, "Reset"))),
      h("section", {}, h("h3", {}, "State"), h("div", { className: "row" },
        h("a", { className: "quiet", href: "/control/state", download: "whatsapp-state.json" }, "Save"),
        h("label", { className: "quiet" }, "Load", h("input", { type: "file", accept: "application/json", hidden: true,
          onchange: (event) => this.loadState(event.target) })))),
      this.problem,
      h("section", {}, h("h3", {}, "Traffic"), this.figures));
  }

  fault(name, label, about) {
    const often = h("select", { "aria-label": `${label}: probability`, onchange: () => this.set(name, { probability: Number(often.value) }) },
      PROBABILITIES.map(([text, value]) => h("option", { value }, text)));
    const once = h("button", { type: "button", className: "quiet", title: "Inject once, on the next occasion",
      "aria-label": `${label}: next time`, "aria-pressed": "false",
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

  clearFaults() {
    const names = [...this.rows.keys()];
    return this.attempt(() => post("faults", Object.fromEntries(names.map((name) => [name, null]))));
  }

  reset() {
    return this.attempt(() => post("reset", {}));
  }

  loadState(input) {
    const [file] = input.files;
    input.value = "";
    return file && this.attempt(async () => post("state", JSON.parse(await file.text())));
  }

  /** Lists the templates with the events that each one admits. */
  async setTemplates() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const { templates } = await get("templates").catch(() => ({ templates: [] }));
    // A newer request supersedes this one.
    if (turn !== this.turn) return;
    const apply = (template, event) => this.attempt(() => post("templates", { name: template.name, language: template.language, event }));
    const events = { PENDING: ["approve", "reject"], APPROVED: ["pause", "disable"], PAUSED: ["unpause"], REJECTED: ["approve"], DISABLED: ["approve"] };
    const row = (template) => h("li", {},
      h("p", {}, h("b", {}, template.name), h("small", {}, `${template.language} · ${template.category.toLowerCase()}`)),
      h("span", { className: "state", dataset: { state: template.status } }, template.status.toLowerCase()),
      events[template.status].map((event) => h("button", { type: "button", className: "quiet small",
        "aria-label": `${event} ${template.name}`, onclick: () => apply(template, event) }, event)));
    this.templates.replaceChildren(...templates.map(row));
    if (templates.length === 0) this.templates.append(h("li", { className: "about" }, "No templates. Any name is accepted."));
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
      const nearest = PROBABILITIES.findLast(([, probability]) => probability <= value.probability) ?? PROBABILITIES[0];
      often.value = String(nearest[1]);
      once.setAttribute("aria-pressed", String(value.next > 0));
    }
    const faulty = [...this.rows.keys()].some((name) => faults[name]?.probability > 0 || faults[name]?.next > 0 || faults[name] === true);
    this.opener.classList.toggle("faulty", faulty);
  }

  setClock(clock) {
    // The controls are built once, so that the focus stays where it is.
    if (!this.clock.firstChild) this.clock.append(...(clock.virtual ? this.virtualClock() : this.realClock()));
    if (!clock.virtual) return;
    this.clock.querySelector("time").textContent = moment(clock.now_ms);
    this.speed.value = String(clock.speed);
  }

  virtualClock() {
    const advance = (ms) => this.attempt(() => post("clock", { advance_ms: ms }));
    this.speed = h("select", { "aria-label": "Clock speed", onchange: () => this.attempt(() => post("clock", { speed: Number(this.speed.value) })) },
      SPEEDS.map(([text, value]) => h("option", { value }, text)));
    return [h("p", { className: "row" }, h("time", { className: "big" }), this.speed), h("div", { className: "row" }, STEPS.map(([label, ms]) =>
      h("button", { type: "button", className: "quiet", onclick: () => advance(ms) }, label)))];
  }

  realClock() {
    return [h("p", { className: "about" }, "Real time. Start the simulator with ", h("code", {}, "--clock virtual"), " to control it.")];
  }

  async refresh() {
    if (this.element.hidden) return;
    const [idle, { counts }, account] = await Promise.all([get("idle"), get("messages?limit=0"), get("account")])
      .catch(() => [{}, { counts: {} }, {}]);
    const micros = Object.values(account.costs ?? {}).reduce((sum, cost) => sum + cost.micros, 0);
    const refused = Object.values(counts.refused ?? {}).reduce((sum, n) => sum + n, 0);
    const figures = [
      ["messages from people", counts.inbound], ["messages from the business", counts.accepted], ["delivered", counts.delivered],
      ["read", counts.read], ["failed", counts.failed], ["refused", refused], ["webhooks delivered", idle.deliveries],
      ["webhook failures", idle.failures], ["in flight", idle.in_flight], ["scheduled", idle.waiting],
      ["free service messages used", account.free_service_messages_used],
      ["estimated cost", `${(micros / 1e6).toFixed(2)} ${account.currency ?? ""}`],
    ];
    this.figures.replaceChildren(...figures.map(([name, n]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(n ?? "–")))));
  }
}
