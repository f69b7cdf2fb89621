// Sheets inside a phone: list rows, reactions, forms. One at a time; Escape closes the sheet and restores the focus.

import { h, icon, ICONS } from "./dom.js";

const EMOJIS = ["👍", "❤️", "😂", "😮", "🙏", "🎉"];

export function show(phone, opener, label, className, content) {
  phone.querySelector(".sheet")?.remove();
  const close = () => {
    sheet.remove();
    opener?.isConnected && opener.focus();
  };
  const sheet = h("div", {
    className: `sheet ${className}`, role: "dialog", "aria-label": label,
    onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } },
    onclick: (event) => { if (event.target === sheet) close(); },
  }, h("div", { className: "card-up" }, [content(close)].flat(2).filter(Boolean)));
  phone.append(sheet);
  sheet.querySelector("button, input")?.focus();
}

/** The rows of a list message; `chosen` receives the id of the selected row. */
export function rows(phone, opener, message, chosen) {
  const { action } = message.body;
  show(phone, opener, action.button, "rows", (close) => {
    const send = h("button", { type: "submit", className: "primary", disabled: true }, "Send");
    const sections = action.sections.map((section) => h("fieldset", {},
      section.title && h("legend", {}, section.title),
      section.rows.map((row) => h("label", {},
        h("span", {}, row.title, row.description && h("small", {}, row.description)),
        h("input", { type: "radio", name: "row", value: row.id, onchange: () => { send.disabled = false; } })))));
    const submit = (event) => {
      event.preventDefault();
      const id = new FormData(event.currentTarget).get("row");
      close();
      if (id !== null) chosen(id);
    };
    return h("form", { onsubmit: submit },
      h("header", {}, h("h3", {}, action.button),
        h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: close }, icon(ICONS.close))),
      h("div", { className: "scroll" }, sections), send);
  });
}

/** Six emojis; choosing the current one removes the reaction. */
export function emojis(phone, opener, current, chosen) {
  show(phone, opener, "React", "emojis", (close) => EMOJIS.map((emoji) => h("button", {
    type: "button", "aria-label": emoji, "aria-pressed": String(emoji === current),
    onclick: () => { close(); chosen(emoji === current ? "" : emoji); },
  }, emoji)));
}
