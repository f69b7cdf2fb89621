// Rendering of message content by type.

import { h, icon, ICONS, rich } from "./dom.js";

const MEDIA = { image: "Photo", video: "Video", audio: "Audio", document: "Document", sticker: "Sticker" };

/** One-line summary of a message without formatting marks, for quotes. */
export const summary = (message) => plainText(message).replace(/[*_~`]/g, "").replace(/\s+/g, " ");

function plainText(message) {
  const body = message.body ?? {};
  switch (message.type) {
    case "text": return body.body ?? "";
    case "interactive": return reply(body)?.title ?? body.body?.text ?? "Choices";
    case "button": return body.text ?? "";
    case "template": return message.rendered?.body || `Template ${body.name}`;
    case "location": return body.name ?? "Location";
    case "contacts": return body[0]?.name?.formatted_name ?? "Contact";
    case "unsupported": return body?.type === "poll" ? "Poll" : "Not supported";
    case "audio": return body.voice ? "Voice message" : "Audio";
    default: return body?.caption ?? MEDIA[message.type] ?? message.type;
  }
}

const reply = (body) => body.button_reply ?? body.list_reply;
const text = (value) => h("p", {}, rich(value));
const note = (value) => h("small", { className: "kind" }, value);

/** The content of a bubble. `played` is called when audio starts to play. */
export function content(message, played) {
  const body = message.body ?? {};
  switch (message.type) {
    case "text": return text(body.body ?? "");
    case "button": return text(body.text ?? "");
    case "interactive": return interactive(body, played);
    case "template": return template(message, played);
    case "location": return location(body);
    case "contacts": return (Array.isArray(body) ? body : []).map((c) =>
      card(ICONS.person, c.name?.formatted_name ?? "Contact", c.phones?.[0]?.phone ?? ""));
    case "image": case "video": case "audio": case "document": case "sticker":
      return [file(message.type, body, played), body.caption && text(body.caption)];
    case "system": return note(body.body ?? "System");
    case "pin": return note(body.type === "pin" ? "pinned a message" : "unpinned a message");
    case "unsupported": return unsupported(body);
    default: return note(message.type);
  }
}

/** A media element for a file in the simulator; a link for an external file. */
function file(kind, body, played) {
  if (!body.id) {
    const safe = /^https?:/.test(body.link ?? "") ? body.link : undefined;
    const inside = card(ICONS.file, body.filename ?? MEDIA[kind], body.link ?? "");
    return safe ? h("a", { className: "outside", href: safe, target: "_blank", rel: "noreferrer noopener" }, inside) : inside;
  }
  const src = `/control/media/${encodeURIComponent(body.id)}`;
  const gone = (event) => event.target.replaceWith(card(ICONS.file, MEDIA[kind], "expired"));
  switch (kind) {
    case "image": return h("img", { className: "picture", src, alt: body.caption ?? "Photo", loading: "lazy", onerror: gone });
    case "sticker": return h("img", { className: "sticker", src, alt: "Sticker", loading: "lazy", onerror: gone });
    case "video": return h("video", { className: "picture", src, controls: true, preload: "metadata" });
    case "audio": return h("div", { className: "voice" }, icon(body.voice ? ICONS.mic : ICONS.file, body.voice ? "Voice message" : "Audio"),
      h("audio", { src, controls: true, preload: "metadata", onplay: () => played?.() }));
    default: return h("a", { className: "outside", href: src, download: body.filename ?? "document" },
      card(ICONS.file, body.filename ?? "Document", body.mime_type ?? ""));
  }
}

function location(body) {
  const { latitude, longitude } = body;
  const map = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
  return [h("div", { className: "map", "aria-hidden": "true" }, icon(ICONS.pin)),
    h("a", { className: "outside", href: map, target: "_blank", rel: "noreferrer noopener" },
      card(ICONS.pin, body.name ?? "Location", body.address ?? `${latitude}, ${longitude}`))];
}

function unsupported(body) {
  if (body?.type !== "poll") return note("a message of a type that businesses do not receive");
  return [h("h3", {}, body.question ?? "Poll"), (body.options ?? []).map((option) => h("p", { className: "option" }, option)),
    note("businesses receive polls as “unsupported”")];
}

function interactive(body, played) {
  const answer = reply(body);
  if (answer) return [text(answer.title), answer.description && note(answer.description)];
  if (body.nfm_reply) return note(`form response: ${body.nfm_reply.response_json}`);
  return [
    header(body.header, played),
    body.body?.text ? text(body.body.text) : note(body.type),
    body.footer?.text && h("small", { className: "foot" }, body.footer.text),
  ];
}

function header(head, played) {
  if (!head) return null;
  if (head.type === "text") return h("h3", {}, head.text);
  return file(head.type, head[head.type] ?? {}, played);
}

function template(message, played) {
  const rendered = message.rendered ?? {};
  return [
    note(`template · ${message.body?.name} · ${message.body?.language?.code ?? ""}`),
    header(rendered.header, played),
    text(rendered.body || "(without parameters)"),
    rendered.footer && h("small", { className: "foot" }, rendered.footer),
  ];
}

const card = (paths, title, about) => h("div", { className: "card" }, icon(paths),
  h("div", {}, h("b", {}, title), about && h("small", {}, about)));

/** The buttons and links below a message. */
export function choicesOf(message, acts) {
  if (message.type === "template") return (message.rendered?.buttons ?? []).map((button) => templateButton(message, button, acts));
  if (message.type !== "interactive") return [];
  const { action, type } = message.body ?? {};
  const act = (paths, title, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, icon(paths), title);
  switch (type) {
    case "button": return (action?.buttons ?? []).map(({ reply: { id, title } }) => act(ICONS.tap, title, () => acts.tap(message, id)));
    case "list": return [act(ICONS.list, action?.button ?? "Choose", (e) => acts.openList(message, e.currentTarget), { "aria-haspopup": "dialog" })];
    case "cta_url": return [link(action?.parameters?.url, action?.parameters?.display_text)];
    case "location_request_message": return [act(ICONS.pin, "Send location", (e) => acts.sendLocation(message, e.currentTarget))];
    case "request_contact_info": return [act(ICONS.person, "Share contact", () => acts.shareContact(message))];
    case "flow": return [act(ICONS.list, action?.parameters?.flow_cta ?? "Open", () => acts.flow(message))];
    default: return [];
  }
}

function templateButton(message, button, acts) {
  const { type, text: title } = button;
  if (type === "url") return link(button.url, title);
  const onclick = type === "quick_reply" ? () => acts.tap(message, button.payload) : undefined;
  const paths = { quick_reply: ICONS.tap, phone_number: ICONS.phone, copy_code: ICONS.file }[type] ?? ICONS.list;
  return h("button", { type: "button", onclick, disabled: !onclick, title: button.code ?? button.phone_number ?? "" }, icon(paths), title);
}

function link(url, title) {
  const safe = /^https?:/.test(url ?? "") ? url : undefined;
  return h("a", { href: safe, target: "_blank", rel: "noreferrer noopener" }, icon(ICONS.link), title);
}
