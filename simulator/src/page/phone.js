// One person's phone: the chat with the business, and the person's properties.

import { post } from "./api.js";
import { Chat } from "./chat.js";
import { h, icon, ICONS } from "./dom.js";
import { show } from "./sheet.js";

export class Phone extends Chat {
  constructor(person, hue, app) {
    super(person.name, hue, app);
    this.setPerson(person);
  }

  get me() { return this.person?.id ?? null; }
  get from() { return { from: this.person.id }; }
  get windowUntil() { return this.person.window_until_ms; }
  get hint() { return "Write first: that opens the 24 hours in which the business may answer."; }

  setPerson(person) {
    this.person = person;
    this.title.textContent = person.name;
    const marks = [
      person.wa_id ? `+${person.wa_id}` : "number hidden",
      person.username && `@${person.username}`, person.marketing_stopped && "no marketing", person.blocked && "blocked",
    ];
    this.about.textContent = marks.filter(Boolean).join(" · ");
    this.about.title = person.user_id;
    this.tick();
  }

  /** Marks delivered messages as read. */
  markRead() {
    if (this.unread().length > 0) post("read", this.from).catch(() => {});
  }

  unread() {
    return [...this.messages.values()].filter((m) => m.from === "business" && m.state === "delivered" && m.type !== "reaction");
  }

  /** The person's properties and the changes that can be made. */
  showAbout(opener) {
    const { person } = this;
    const change = (what) => this.attempt(() => post(`people/${encodeURIComponent(person.id)}`, what));
    show(this.element, opener, `About ${person.name}`, "about-sheet", (close) => {
      const act = (label, action) => h("button", { type: "button", className: "quiet", onclick: () => { close(); action(); } }, label);
      const stop = person.marketing_stopped ? "resume" : "stop";
      const renumber = (event) => {
        event.preventDefault();
        const number = new FormData(event.currentTarget).get("number");
        close();
        change({ number });
      };
      return [
        h("header", {}, h("h3", {}, person.name),
          h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: close }, icon(ICONS.close))),
        h("dl", {}, [["Number", person.number ? `+${person.number}` : "none"], ["User id", person.user_id],
          ["Parent id", person.parent_user_id ?? "–"], ["Username", person.username ? `@${person.username}` : "–"]]
          .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
        h("div", { className: "row" },
          act(person.hidden ? "Show the number" : "Hide the number", () => change({ hidden: !person.hidden })),
          act(stop === "stop" ? "Stop marketing" : "Allow marketing",
            () => this.attempt(() => post("marketing", { person: person.id, value: stop })))),
        h("form", { className: "row", onsubmit: renumber },
          h("input", { name: "number", required: true, inputMode: "tel", placeholder: "+31 6 …", "aria-label": "New phone number" }),
          h("button", { type: "submit", className: "quiet" }, "Change number")),
      ];
    });
  }
}
