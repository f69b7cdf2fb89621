// One person's phone: header with the window, the conversation, the composer.

import { post } from "./api.js";
import { h, icon, ICONS, day, sameDay, span } from "./dom.js";
import { bubble, gist } from "./message.js";
import { emojis, rows } from "./sheet.js";

/** A conversation shows so many of the newest messages; a test's thousands would make the page slow. */
const MOST_SHOWN = 300;

/** Nearer to the end than this the view follows what comes in; a bubble is about as high. */
const NEAR_END_PX = 120;

const DAY_MS = 86_400_000;
/** Of the faces: neighbours differ. */
const HUES = [268, 205, 22, 158, 340, 95, 48];

export class Phone {
  /** `place` is how many phones were there before: it decides the colour. */
  constructor(person, { place, now, activate, tell }) {
    Object.assign(this, { person, now, activate, tell, messages: new Map(), quoted: null, typing: null });
    this.hue = HUES[place % HUES.length];
    this.build();
    this.setPerson(person);
  }

  build() {
    this.window = h("p", { className: "window" });
    this.about = h("small");
    this.log = h("div", { className: "log", role: "log", "aria-label": `Conversation of ${this.person.name}`, tabIndex: 0 });
    this.input = h("textarea", {
      rows: 1, placeholder: "Message", maxLength: 4096, "aria-label": `Message from ${this.person.name}`,
      oninput: () => this.fit(),
      onkeydown: (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.write(); }
        if (event.key === "Escape") this.quote(null);
      },
    });
    this.quoting = h("div", { className: "quoting", hidden: true });
    this.problem = h("p", { className: "problem", role: "alert", hidden: true });
    this.element = h("section", {
      className: "phone", "aria-label": this.person.name, style: `--hue: ${this.hue}`,
      onpointerdown: () => this.activate(this), onfocusin: () => this.activate(this),
    },
      h("header", {}, h("span", { className: "face", "aria-hidden": "true" }, initial(this.person.name)),
        h("div", {}, h("h2", {}, this.person.name), this.about), this.window),
      this.log, this.problem, this.quoting,
      h("form", { className: "composer", onsubmit: (event) => { event.preventDefault(); this.write(); } },
        this.input, h("button", { type: "submit", className: "send", "aria-label": "Send" }, icon(ICONS.send))));
    this.chip = h("button", { type: "button", style: `--hue: ${this.hue}`, onclick: () => this.activate(this, true) },
      h("span", { className: "face", "aria-hidden": "true" }, initial(this.person.name)), h("span", {}, this.person.name),
      this.badge = h("span", { className: "badge", hidden: true }));
    this.empty();
  }

  empty() {
    this.log.replaceChildren(h("p", { className: "hint" }, "Write first: that opens the 24 hours in which the business may answer."));
  }

  setPerson(person) {
    this.person = person;
    this.about.textContent = person.wa_id ? `+${person.wa_id}` : "number hidden";
    this.about.title = person.user_id;
    this.tick();
  }

  /** What changes with time alone: the window, the typing dots. */
  tick() {
    const left = (this.person.window_until_ms ?? 0) - this.now();
    const never = this.person.window_until_ms === null;
    const state = never ? "never" : left <= 0 ? "closed" : left < 2 * 3_600_000 ? "soon" : "open";
    const says = { never: "no window", closed: "closed", soon: span(left), open: span(left) }[state];
    if (this.window.textContent !== says) this.window.textContent = says;
    this.window.dataset.state = state;
    this.window.style.setProperty("--left", String(Math.max(0, Math.min(1, left / DAY_MS))));
    this.window.title = left > 0 ? "The business may write freely for so long" : "The business may send templates only";
    if (this.typing && this.now() >= this.typing) this.showTyping(null);
  }

  /** Puts a message where it belongs, or shows how it stands now. */
  put(message) {
    const before = this.messages.get(message.id);
    this.messages.set(message.id, message);
    if (message.type === "reaction") return;
    if (message.from === "business" && !before) this.showTyping(null);
    const follow = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END_PX;
    const node = bubble(message, { find: (id) => this.messages.get(id), acts: this.acts() });
    const old = before && this.log.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
    if (old) {
      const focused = old.contains(document.activeElement);
      old.replaceWith(node);
      if (focused) this.input.focus();
    } else {
      this.append(node, message);
    }
    if (follow || (!before && message.from === "person")) this.toEnd();
    this.count();
  }

  append(node, message) {
    this.log.querySelector(".hint")?.remove();
    const last = [...this.messages.values()].filter((other) => other.type !== "reaction").at(-2);
    if (!last || !sameDay(last.at_ms, message.at_ms)) {
      this.log.append(h("p", { className: "day" }, day(message.at_ms, this.now())));
    }
    if (last && last.from === message.from && sameDay(last.at_ms, message.at_ms)) node.classList.add("again");
    this.log.append(node);
    while (this.log.childElementCount > MOST_SHOWN) this.log.firstElementChild.remove();
    if (this.messages.size > 2 * MOST_SHOWN) this.messages.delete(this.messages.keys().next().value);
    if (this.dots?.isConnected) this.log.append(this.dots);
  }

  acts() {
    return this.actions ??= {
      tap: (message, id) => this.say({ tap: id, on: message.id }),
      openList: (message, opener) => rows(this.element, opener, message, (id) => this.say({ tap: id, on: message.id })),
      react: (message, event) => emojis(this.element, event.currentTarget,
        message.reactions.find((one) => one.from === this.person.id)?.emoji,
        (emoji) => this.say({ reaction: emoji, on: message.id })),
      quote: (message) => this.quote(message),
    };
  }

  quote(message) {
    this.quoted = message;
    this.quoting.hidden = !message;
    if (!message) return;
    this.quoting.replaceChildren(
      h("blockquote", {}, h("b", {}, message.from === "person" ? "You" : "Business"), h("span", {}, gist(message))),
      h("button", { type: "button", className: "plain", "aria-label": "Do not quote", onclick: () => this.quote(null) },
        icon(ICONS.close)));
    this.input.focus();
  }

  async write() {
    const text = this.input.value.trim();
    if (!text) return;
    const on = this.quoted?.id;
    this.input.value = "";
    this.fit();
    this.quote(null);
    if (!await this.say({ text, on })) this.input.value = text;
  }

  async say(what) {
    try {
      await post("say", { from: this.person.id, ...what });
      this.problem.hidden = true;
      return true;
    } catch (error) {
      this.problem.textContent = error.message;
      this.problem.hidden = false;
      return false;
    }
  }

  showTyping(until) {
    this.typing = until;
    this.dots?.remove();
    if (!until) return;
    this.dots = h("p", { className: "typing" }, h("span", { className: "out" }, "The business is typing"), h("i"), h("i"), h("i"));
    this.log.append(this.dots);
    this.toEnd();
  }

  /** The chat is looked at: what was delivered is read. */
  look() {
    if (this.unread().length > 0) post("read", { from: this.person.id }).catch(() => {});
  }

  unread() {
    return [...this.messages.values()].filter((m) => m.from === "business" && m.state === "delivered" && m.type !== "reaction");
  }

  count() {
    const unread = this.unread().length;
    this.badge.hidden = unread === 0;
    this.badge.textContent = String(unread);
    this.badge.setAttribute("aria-label", `${unread} unread`);
    this.tell(this);
  }

  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 132)}px`;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

const initial = (name) => [...name.trim()][0]?.toUpperCase() ?? "?";
