// What a message looks like: a bubble, its quote, its body by type, its ticks and reactions.

import { h, icon, ICONS, rich, time, moment } from "./dom.js";

const MEDIA = { image: "Photo", video: "Video", audio: "Voice message", document: "Document", sticker: "Sticker" };
const STATES = {
  accepted: "accepted by WhatsApp", sent: "sent", delivered: "delivered", read: "read", failed: "failed",
};

/** One line that says what a message is, without the marks for bold and the like: for quotes. */
export const gist = (message) => words(message).replace(/[*_~`]/g, "").replace(/\s+/g, " ");

function words(message) {
  const body = message.body ?? {};
  switch (message.type) {
    case "text": return body.body ?? "";
    case "interactive": return reply(body)?.title ?? body.body?.text ?? "Choices";
    case "button": return body.text ?? "";
    case "template": return `Template ${body.name}`;
    case "location": return body.name ?? "Location";
    case "contacts": return body[0]?.name?.formatted_name ?? "Contact";
    default: return body?.caption ?? MEDIA[message.type] ?? message.type;
  }
}

const reply = (body) => body.button_reply ?? body.list_reply;

/** The bubble of a message. `acts` are what can be done with it: tap, openList, quote, react. */
export function bubble(message, { find, acts }) {
  const mine = message.from === "person";
  const quoted = message.context && find(message.context);
  const choices = mine ? [] : choicesOf(message, acts);
  const label = `${mine ? "You" : "The business"}, ${time(message.at_ms)}`;
  return h("article", { className: `said ${mine ? "mine" : "theirs"}`, "aria-label": label, dataset: { id: message.id } },
    h("div", { className: "bubble" },
      quoted && h("blockquote", {},
        h("b", {}, quoted.from === "person" ? "You" : "Business"), h("span", {}, gist(quoted))),
      content(message),
      h("footer", {}, h("time", { dateTime: new Date(message.at_ms).toISOString(), title: moment(message.at_ms) },
        time(message.at_ms)), ticks(message))),
    choices.length > 0 && h("div", { className: "choices" }, choices),
    reactions(message),
    h("div", { className: "acts" },
      !mine && h("button", { type: "button", "aria-label": "React", title: "React", onclick: (e) => acts.react(message, e) },
        icon(ICONS.smile)),
      h("button", { type: "button", "aria-label": "Reply", title: "Reply", onclick: () => acts.quote(message) },
        icon(ICONS.reply))));
}

function content(message) {
  const body = message.body ?? {};
  const text = (words) => h("p", {}, rich(words));
  switch (message.type) {
    case "text": return text(body.body ?? "");
    case "button": return text(body.text ?? "");
    case "interactive": return interactive(body, text);
    case "template": return [h("small", { className: "kind" }, `template · ${body.name}`), text(templateText(body))];
    case "location": return [card(ICONS.pin, body.name ?? "Location", body.address ?? `${body.latitude}, ${body.longitude}`)];
    case "contacts": return (Array.isArray(body) ? body : []).map((c) =>
      card(ICONS.person, c.name?.formatted_name ?? "Contact", c.phones?.[0]?.phone ?? ""));
    case "image": case "video": case "audio": case "document": case "sticker":
      return [card(ICONS.file, MEDIA[message.type], body.filename ?? body.link ?? body.id ?? ""),
        body.caption && text(body.caption)];
    default: return h("small", { className: "kind" }, message.type);
  }
}

function interactive(body, text) {
  const answer = reply(body);
  if (answer) return [text(answer.title), answer.description && h("small", { className: "kind" }, answer.description)];
  const header = body.header;
  return [
    header?.type === "text" && h("h3", {}, header.text),
    header && header.type !== "text" && card(ICONS.file, MEDIA[header.type] ?? header.type, ""),
    body.body?.text ? text(body.body.text) : h("small", { className: "kind" }, body.type),
    body.footer?.text && h("small", { className: "foot" }, body.footer.text),
  ];
}

const templateText = (body) => (body.components ?? [])
  .flatMap((part) => (part.parameters ?? []).map((p) => p.text ?? p.currency?.fallback_value ?? p.date_time?.fallback_value))
  .filter(Boolean).join(" · ") || "(without parameters)";

const card = (paths, title, about) => h("div", { className: "card" }, icon(paths),
  h("div", {}, h("b", {}, title), about && h("small", {}, about)));

function choicesOf(message, acts) {
  if (message.type !== "interactive") return [];
  const { action, type } = message.body ?? {};
  if (type === "button") {
    return (action?.buttons ?? []).map(({ reply: { id, title } }) =>
      h("button", { type: "button", onclick: () => acts.tap(message, id) }, icon(ICONS.tap), title));
  }
  if (type === "list") {
    return [h("button", { type: "button", "aria-haspopup": "dialog", onclick: (e) => acts.openList(message, e.currentTarget) },
      icon(ICONS.list), action?.button ?? "Choose")];
  }
  if (type === "cta_url") {
    const { url, display_text: title } = action?.parameters ?? {};
    const safe = /^https?:/.test(url ?? "") ? url : undefined;
    return [h("a", { href: safe, target: "_blank", rel: "noreferrer noopener" }, icon(ICONS.link), title)];
  }
  return [];
}

function ticks(message) {
  const { state } = message;
  const history = message.states.map((step) => `${STATES[step.state]} ${time(step.at_ms)}`).join(" · ");
  if (state === "failed") {
    const failed = icon(ICONS.alert, `failed, ${message.error}`);
    return h("span", { className: "ticks failed", title: `failed with code ${message.error}` }, failed);
  }
  const double = state === "delivered" || state === "read";
  const paths = double ? ["M2 12.5 6.5 17 15 7.5", "M10.5 15.5 12 17l8.5-9.5"] : ["M5 12.5 9.5 17 18 7.5"];
  return h("span", { className: `ticks ${state}`, title: history, dataset: { state } }, icon(paths, STATES[state]));
}

function reactions(message) {
  const given = message.reactions.map(({ from, emoji }) => [from === "business" ? "The business" : "You", emoji]);
  if (given.length === 0) return null;
  return h("ul", { className: "reactions", "aria-label": "Reactions" },
    given.map(([who, emoji]) => h("li", { title: who, "aria-label": `${who}: ${emoji}` }, emoji)));
}
