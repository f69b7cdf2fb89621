// Rendering of a message: bubble, author, quote, ticks, reactions and actions.

import { choicesOf, content, summary } from "./content.js";
import { h, icon, ICONS, time, moment } from "./dom.js";

export const STATES = {
  accepted: "accepted by WhatsApp", sent: "sent", delivered: "delivered", read: "read", played: "played", failed: "failed",
};

/**
 * The bubble of a message, as the person with the id `me` sees it. `acts` holds the available actions (tap, openList, quote,
 * react, inspect, …); `who` returns the name and hue of a person.
 */
export function bubble(message, { me, find, acts, who }) {
  const mine = message.from === "person" && (!me || message.person === me);
  const quoted = message.context && find(message.context);
  const choices = message.from === "business" ? choicesOf(message, acts) : [];
  const author = message.from === "business" ? { name: "The business" } : who(message.person);
  const label = `${mine ? "You" : author.name}, ${time(message.at_ms)}`;
  const small = message.type === "pin" || message.type === "system";
  const sides = `message ${mine ? "mine" : "theirs"}${small ? " small" : ""}`;
  return h("article", { className: sides, "aria-label": label, dataset: { id: message.id } },
    h("div", { className: "bubble" },
      message.group && !mine && h("b", { className: "author", style: author.hue === undefined ? undefined : `--hue: ${author.hue}` }, author.name),
      quoted && h("blockquote", {}, h("b", {}, nameOf(quoted, me, who)), h("span", {}, summary(quoted))),
      content(message, () => acts.played(message)),
      h("footer", {}, h("time", { dateTime: new Date(message.at_ms).toISOString(), title: moment(message.at_ms) },
        time(message.at_ms)), ticks(message))),
    choices.length > 0 && h("div", { className: "choices" }, choices),
    reactions(message, me, who),
    h("div", { className: "acts" },
      message.from === "business" && button("React", ICONS.smile, (e) => acts.react(message, e)),
      button("Reply", ICONS.reply, () => acts.quote(message)),
      button("Message details", ICONS.eye, () => acts.inspect(message))));
}

/** Whether only ticks or reactions differ. */
export function sameContent(before, after) {
  const content = ({ type, body, rendered, context }) => JSON.stringify([type, body, rendered, context]);
  return content(before) === content(after);
}

/** Updates ticks and reactions in place, so that focus and playback are kept. */
export function refresh(node, message, { me, who }) {
  node.querySelector(".ticks").replaceWith(ticks(message));
  node.querySelector(".reactions")?.remove();
  const shown = reactions(message, me, who);
  if (shown) node.querySelector(".acts").before(shown);
}

const button = (label, paths, onclick) => h("button", { type: "button", "aria-label": label, title: label, onclick }, icon(paths));

export function nameOf(message, me, who) {
  if (message.from === "business") return "Business";
  return message.person === me || !message.group ? "You" : who(message.person).name;
}

function ticks(message) {
  const { state } = message;
  const history = message.states.map((step) => `${STATES[step.state]} ${time(step.at_ms)}`).join(" · ");
  if (state === "failed") {
    const failed = icon(ICONS.alert, `failed, ${message.error}`);
    const why = message.error_details ? `: ${message.error_details}` : "";
    return h("span", { className: "ticks failed", title: `failed with code ${message.error}${why}` }, failed);
  }
  const double = state === "delivered" || state === "read" || state === "played";
  const paths = double ? ["M2 12.5 6.5 17 15 7.5", "M10.5 15.5 12 17l8.5-9.5"] : ["M5 12.5 9.5 17 18 7.5"];
  const shown = state === "played" ? "read" : state;
  return h("span", { className: `ticks ${shown}`, title: history, dataset: { state } }, icon(paths, STATES[state]));
}

function reactions(message, me, who) {
  if (message.reactions.length === 0) return null;
  const name = (from) => (from === "business" ? "The business" : from === me ? "You" : who(from).name);
  return h("ul", { className: "reactions", "aria-label": "Reactions" },
    message.reactions.map(({ from, emoji }) => h("li", { title: name(from), "aria-label": `${name(from)}: ${emoji}` }, emoji)));
}
