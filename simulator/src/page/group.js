// A group chat: the messages of all participants, with a selector for the current sender; participants, join requests, invite link.

import { post } from "./api.js";
import { Chat, initial } from "./chat.js";
import { h, icon, ICONS } from "./dom.js";
import { show } from "./sheet.js";

export class GroupChat extends Chat {
  constructor(group, hue, app) {
    super(group.subject, hue, app);
    this.element.classList.add("group");
    this.avatar.replaceChildren(icon(ICONS.group));
    this.setGroup(group);
  }

  get me() { return this.sender?.value || null; }
  get from() { return { from: this.sender.value, group: this.group.id }; }
  get windowUntil() { return this.group.window_until_ms; }
  get hint() { return "A group has one window: a message from any participant opens it for 24 hours."; }

  senderSelect() {
    this.sender = h("select", { className: "sender", "aria-label": "Send as", title: "Send as", onchange: () => this.redraw() });
    return this.sender;
  }

  setGroup(group) {
    const changed = this.group && this.group.members.join() !== group.members.join();
    this.group = group;
    this.title.textContent = group.subject;
    const names = group.members.map((id) => this.app.who(id).name);
    const requests = group.join_requests.length;
    // The most important part comes first: a narrow header truncates the end.
    this.about.textContent = [
      group.suspended && "suspended", requests > 0 && `${requests} pending`, names.length > 0 ? names.join(", ") : "no participants",
    ].filter(Boolean).join(" · ");
    const selected = this.sender.value;
    this.sender.replaceChildren(...group.members.map((id) => h("option", { value: id }, this.app.who(id).name)));
    if (group.members.includes(selected)) this.sender.value = selected;
    for (const control of this.composer.elements) control.disabled = group.members.length === 0 || group.suspended;
    if (changed && this.sender.value !== selected) this.redraw();
    this.tick();
  }

  /** Redraws the log from the perspective of the selected participant. */
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

  markRead() {
    if (this.me && this.unread().length > 0) post("read", this.from).catch(() => {});
  }

  change(what) {
    return this.attempt(() => post(`groups/${encodeURIComponent(this.group.id)}`, what));
  }

  /** Participants, join requests and the invite link. */
  showAbout(opener) {
    const { group } = this;
    show(this.element, opener, `About ${group.subject}`, "about-sheet", (close) => {
      const act = (label, what, more = {}) => h("button", { type: "button", className: "quiet small", ...more,
        onclick: () => { close(); this.change(what); } }, label);
      const row = (id, ...acts) => {
        const { name, hue } = this.app.who(id);
        return h("li", {}, h("span", { className: "avatar", style: `--hue: ${hue}`, "aria-hidden": "true" }, initial(name)),
          h("span", {}, name), ...acts);
      };
      const pending = group.join_requests.map((request) => request.person);
      const outside = this.app.people().filter(({ id }) => !group.members.includes(id) && !pending.includes(id));
      return [
        h("header", {}, h("h3", {}, group.subject),
          h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: close }, icon(ICONS.close))),
        group.description && h("p", { className: "about" }, group.description),
        h("div", { className: "row invite" }, h("code", {}, group.invite_link),
          h("button", { type: "button", className: "quiet small", onclick: () => navigator.clipboard?.writeText(group.invite_link) }, "Copy")),
        h("h4", {}, `Participants: ${group.members.length} of 8`),
        h("ul", { className: "people" }, group.members.map((id) => row(id, act("Leave", { action: "leave", person: id })))),
        pending.length > 0 && [h("h4", {}, "Join requests: the business decides"),
          h("ul", { className: "people" }, pending.map((id) => row(id, act("Withdraw", { action: "revoke", person: id }))))],
        outside.length > 0 && [h("h4", {}, group.approval_required ? "Request to join by the link" : "Join by the link"),
          h("ul", { className: "people" }, outside.map(({ id }) => row(id, group.removed.includes(id)
            ? h("small", {}, "removed by the business") : act(group.approval_required ? "Request to join" : "Join", { action: "join", person: id }))))],
        h("div", { className: "row" }, act(group.suspended ? "Unsuspend the group" : "Suspend the group",
          { action: group.suspended ? "unsuspend" : "suspend" }, { className: "quiet small danger" })),
      ];
    });
  }
}
