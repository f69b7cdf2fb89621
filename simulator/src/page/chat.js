// A conversation: message log, composer, quote and typing indicator. Base class of a phone and a group chat.

import { post } from "./api.js";
import { attach, chooseLocation, shareOwnContact } from "./attach.js";
import { summary } from "./content.js";
import { h, icon, ICONS, day, sameDay, span } from "./dom.js";
import { bubble, nameOf, refresh, sameContent } from "./message.js";
import { emojis, rows } from "./sheet.js";

/** Number of newest messages shown; more would make the page slow. */
const MAX_SHOWN = 300;

/** Within this distance of the end the view follows new messages; about the height of a bubble. */
const NEAR_END_PX = 120;

const DAY_MS = 86_400_000;

/** First letter of a name, for the avatar. */
export const initial = (name) => [...name.trim()][0]?.toUpperCase() ?? "?";

export class Chat {
  /** `app` has now, activate, changed, who, inspect, people. */
  constructor(name, hue, app) {
    Object.assign(this, { name, hue, app, messages: new Map(), quoted: null, typing: null });
    this.build();
  }

  /** Id of the person who sends from here. */
  get me() { return null; }

  /** Sender and group of a message sent from here. */
  get from() { return {}; }

  build() {
    this.window = h("p", { className: "window" });
    this.about = h("small");
    this.title = h("h2", {}, this.name);
    this.avatar = h("span", { className: "avatar", "aria-hidden": "true" }, initial(this.name));
    this.log = h("div", { className: "log", role: "log", "aria-label": `Conversation of ${this.name}`, tabIndex: 0 });
    this.input = h("textarea", {
      rows: 1, placeholder: "Message", maxLength: 4096, "aria-label": `Message from ${this.name}`,
      oninput: () => this.fit(),
      onkeydown: (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.write(); }
        if (event.key === "Escape") this.quote(null);
      },
    });
    this.quoting = h("div", { className: "quoting", hidden: true });
    this.problem = h("p", { className: "problem", role: "alert", hidden: true });
    this.top = h("header", {}, this.avatar, h("button", { type: "button", className: "title", title: "About", "aria-label": `About ${this.name}`,
      onclick: (event) => this.showAbout(event.currentTarget) }, this.title, this.about), this.window);
    this.element = h("section", {
      className: "phone", "aria-label": this.name, style: `--hue: ${this.hue}`,
      onpointerdown: () => this.app.activate(this), onfocusin: () => this.app.activate(this),
    },
      this.top, this.log, this.problem, this.quoting,
      this.composer = h("form", { className: "composer", onsubmit: (event) => { event.preventDefault(); this.write(); } },
        this.senderSelect(),
        h("button", { type: "button", className: "clip", "aria-label": "Attach", title: "Attach", onclick: (event) => attach(this, event.currentTarget) }, icon(ICONS.clip)),
        this.input, h("button", { type: "submit", className: "send", "aria-label": "Send" }, icon(ICONS.send))));
    this.chip = h("button", { type: "button", style: `--hue: ${this.hue}`, onclick: () => this.app.activate(this, true) },
      h("span", { className: "avatar", "aria-hidden": "true" }, initial(this.name)), h("span", {}, this.name),
      this.badge = h("span", { className: "badge", hidden: true }));
    this.empty();
  }

  /** Control that selects the sender; null if there is only one. */
  senderSelect() { return null; }

  empty() {
    this.log.replaceChildren(h("p", { className: "hint" }, this.hint));
  }

  /** Updates what depends on the time: window, typing indicator, day labels. */
  tick() {
    const until = this.windowUntil;
    const left = (until ?? 0) - this.app.now();
    const never = until === null || until === undefined;
    const state = never ? "never" : left <= 0 ? "closed" : left < 2 * 3_600_000 ? "soon" : "open";
    const label = { never: "no window", closed: "closed", soon: span(left), open: span(left) }[state];
    if (this.window.textContent !== label) this.window.textContent = label;
    this.window.dataset.state = state;
    this.window.style.setProperty("--left", String(Math.max(0, Math.min(1, left / DAY_MS))));
    this.window.title = left > 0 ? "Time left in the customer service window" : "Outside the window the business can send templates only";
    if (this.typing && this.app.now() >= this.typing) this.showTyping(null);
    for (const shown of this.log.querySelectorAll(".day")) {
      const label = day(Date.parse(shown.dateTime), this.app.now());
      if (shown.textContent !== label) shown.textContent = label;
    }
  }

  bubble(message) {
    return bubble(message, { me: this.me, find: (id) => this.messages.get(id), acts: this.acts(), who: this.app.who });
  }

  /** Adds a message, or updates the one that is shown. */
  put(message) {
    const before = this.messages.get(message.id);
    const same = before && sameContent(before, message);
    // The bubble holds a reference to the message, so the object is updated in place.
    const now = before ? Object.assign(before, message) : message;
    this.messages.set(message.id, now);
    if (message.type === "reaction") return;
    if (message.from === "business" && !before) this.showTyping(null);
    const follow = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END_PX;
    const old = before && this.log.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
    if (old && same) refresh(old, now, { me: this.me, who: this.app.who });
    else if (old) this.replace(old, this.bubble(now));
    else this.append(this.bubble(now), now);
    if (follow || (!before && message.from === "person")) this.toEnd();
    this.count();
  }

  replace(old, node) {
    const focused = old.contains(document.activeElement);
    if (old.classList.contains("again")) node.classList.add("again");
    this.keepPlayer(old, node);
    old.replaceWith(node);
    if (focused) this.input.focus();
  }

  /** Keeps the media element, so that playback continues and nothing is fetched again. */
  keepPlayer(old, node) {
    const [was, is] = [old, node].map((element) => element.querySelector("audio, video, img"));
    if (was && is && was.src === is.src) is.replaceWith(was);
  }

  append(node, message) {
    this.log.querySelector(".hint")?.remove();
    const last = [...this.messages.values()].filter((other) => other.type !== "reaction").at(-2);
    if (!last || !sameDay(last.at_ms, message.at_ms)) {
      this.log.append(h("time", { className: "day", dateTime: new Date(message.at_ms).toISOString() }, day(message.at_ms, this.app.now())));
    }
    const same = last && last.from === message.from && last.person === message.person && sameDay(last.at_ms, message.at_ms);
    if (same) node.classList.add("again");
    this.log.append(node);
    while (this.log.childElementCount > MAX_SHOWN) this.log.firstElementChild.remove();
    if (this.messages.size > 2 * MAX_SHOWN) this.messages.delete(this.messages.keys().next().value);
    if (this.dots?.isConnected) this.log.append(this.dots);
  }

  acts() {
    return this.actions ??= {
      tap: (message, id) => this.send({ tap: id, on: message.id }),
      openList: (message, opener) => rows(this.element, opener, message, (id) => this.send({ tap: id, on: message.id })),
      react: (message, event) => emojis(this.element, event.currentTarget, this.myReaction(message),
        (emoji) => this.send({ reaction: emoji, on: message.id })),
      quote: (message) => this.quote(message),
      inspect: (message) => this.app.inspect(message),
      sendLocation: (message, opener) => chooseLocation(this, opener, message.id),
      shareContact: (message) => shareOwnContact(this, message.id),
      flow: (message) => this.answerFlow(message),
      played: (message) => this.markPlayed(message),
    };
  }

  myReaction(message) {
    return message.reactions.find((reaction) => reaction.from === this.me)?.emoji;
  }

  answerFlow(message) {
    const token = message.body?.action?.parameters?.flow_token ?? "";
    const nfm_reply = { name: "flow", body: "Sent", response_json: JSON.stringify({ flow_token: token }) };
    return this.send({ message: { type: "interactive", interactive: { type: "nfm_reply", nfm_reply } }, on: message.id });
  }

  /** Reports that the person played a voice message of the business. */
  markPlayed(message) {
    if (message.from !== "business" || message.state === "played") return;
    const { from, group } = this.from;
    post("read", { from, group, message: message.id, played: true }).catch(() => {});
  }

  quote(message) {
    this.quoted = message;
    this.quoting.hidden = !message;
    if (!message) return;
    this.quoting.replaceChildren(
      h("blockquote", {}, h("b", {}, nameOf(message, this.me, this.app.who)), h("span", {}, summary(message))),
      h("button", { type: "button", className: "plain", "aria-label": "Remove quote", onclick: () => this.quote(null) },
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
    if (!await this.send({ text, on })) this.input.value = text;
  }

  send(what) {
    return this.attempt(() => post("say", { ...this.from, ...what }));
  }

  /** Runs an action and shows its error; returns whether it succeeded. */
  async attempt(action) {
    try {
      await action();
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

  count() {
    const unread = this.unread().length;
    this.badge.hidden = unread === 0;
    this.badge.textContent = String(unread);
    this.badge.setAttribute("aria-label", `${unread} unread`);
    this.app.changed(this);
  }

  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 132)}px`;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}
