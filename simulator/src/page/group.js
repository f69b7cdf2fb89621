// A group: everybody's messages in one place, one speaker at a time; who is in it, who asks to come in, the invite link.

import { post } from "./api.js";
import { Chat, initial } from "./chat.js";
import { h, icon, ICONS } from "./dom.js";
import { show } from "./sheet.js";

export class GroupChat extends Chat {
  constructor(group, hue, house) {
    super(group.subject, hue, house);
    this.element.classList.add("group");
    this.face.replaceChildren(icon(ICONS.group));
    this.setGroup(group);
  }

  get me() { return this.voice?.value || null; }
  get from() { return { from: this.voice.value, group: this.group.id }; }
  get windowUntil() { return this.group.window_until_ms; }
  get hint() { return "A group has one window: whoever of them writes opens it for 24 hours."; }

  speaker() {
    this.voice = h("select", { className: "voice-of", "aria-label": "Who speaks", title: "Who speaks", onchange: () => this.redraw() });
    return this.voice;
  }

  setGroup(group) {
    const changed = this.group && this.group.members.join() !== group.members.join();
    this.group = group;
    this.title.textContent = group.subject;
    const names = group.members.map((id) => this.house.who(id).name);
    const asking = group.join_requests.length;
    // What matters most comes first: the end is cut off where it is narrow.
    this.about.textContent = [
      group.suspended && "suspended", asking > 0 && `${asking} asking`, names.length > 0 ? names.join(", ") : "nobody yet",
    ].filter(Boolean).join(" · ");
    const speaking = this.voice.value;
    this.voice.replaceChildren(...group.members.map((id) => h("option", { value: id }, this.house.who(id).name)));
    if (group.members.includes(speaking)) this.voice.value = speaking;
    for (const control of this.composer.elements) control.disabled = group.members.length === 0 || group.suspended;
    if (changed && this.voice.value !== speaking) this.redraw();
    this.tick();
  }

  /** Another speaker sees the same messages from another side. */
  redraw() {
    for (const old of this.log.querySelectorAll("[data-id]")) {
      const message = this.messages.get(old.dataset.id);
      if (!message) continue;
      const node = this.bubble(message);
      if (old.classList.contains("again")) node.classList.add("again");
      old.replaceWith(node);
    }
    this.count();
  }

  unread() {
    const mine = (message) => message.receipts.find((receipt) => receipt.person === this.me)?.state === "delivered";
    return [...this.messages.values()].filter((m) => m.from === "business" && m.type !== "reaction" && mine(m));
  }

  look() {
    if (this.me && this.unread().length > 0) post("read", this.from).catch(() => {});
  }

  act(what) {
    return this.attempt(() => post(`groups/${encodeURIComponent(this.group.id)}`, what));
  }

  /** Members, requests and the link. */
  tellAbout(opener) {
    const { group } = this;
    show(this.element, opener, `About ${group.subject}`, "about-sheet", (close) => {
      const act = (label, what, more = {}) => h("button", { type: "button", className: "quiet small", ...more,
        onclick: () => { close(); this.act(what); } }, label);
      const row = (id, ...acts) => {
        const { name, hue } = this.house.who(id);
        return h("li", {}, h("span", { className: "face", style: `--hue: ${hue}`, "aria-hidden": "true" }, initial(name)),
          h("span", {}, name), ...acts);
      };
      const asking = group.join_requests.map((request) => request.person);
      const outside = this.house.people().filter(({ id }) => !group.members.includes(id) && !asking.includes(id));
      return [
        h("header", {}, h("h3", {}, group.subject),
          h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: close }, icon(ICONS.close))),
        group.description && h("p", { className: "about" }, group.description),
        h("div", { className: "row invite" }, h("code", {}, group.invite_link),
          h("button", { type: "button", className: "quiet small", onclick: () => navigator.clipboard?.writeText(group.invite_link) }, "Copy")),
        h("h4", {}, `In the group: ${group.members.length} of 8`),
        h("ul", { className: "people" }, group.members.map((id) => row(id, act("Leave", { act: "leave", person: id })))),
        asking.length > 0 && [h("h4", {}, "Asking to come in: the business decides"),
          h("ul", { className: "people" }, asking.map((id) => row(id, act("Take back", { act: "revoke", person: id }))))],
        outside.length > 0 && [h("h4", {}, group.approval ? "Ask to come in by the link" : "Come in by the link"),
          h("ul", { className: "people" }, outside.map(({ id }) => row(id, group.removed.includes(id)
            ? h("small", {}, "was removed") : act(group.approval ? "Ask" : "Join", { act: "join", person: id }))))],
        h("div", { className: "row" }, act(group.suspended ? "End the suspension" : "Suspend the group",
          { act: group.suspended ? "clear" : "suspend" }, { className: "quiet small danger" })),
      ];
    });
  }
}
