// Entry point of the page: applies the simulator's events to the phones, groups, drawer and inspector.

import { get, listen } from "./api.js";
import { newGroup, newPerson } from "./dialogs.js";
import { moment } from "./dom.js";
import { Drawer } from "./drawer.js";
import { GroupChat } from "./group.js";
import { Inspector } from "./inspector.js";
import { Phone } from "./phone.js";

/** Avatar hues; adjacent entries are easy to distinguish. */
const HUES = [268, 205, 22, 158, 340, 95, 48];

const at = (id) => document.getElementById(id);
const phones = new Map();
const groups = new Map();
let active = null;
let clock = { now_ms: Date.now(), virtual: false };
let readAt = performance.now();

/** The simulator's time. */
const now = () => clock.now_ms + (clock.virtual ? 0 : performance.now() - readAt);

const chats = () => [...phones.values(), ...groups.values()];

/** Name and hue of a person; the id stands in for one that is not shown. */
const who = (id) => {
  const phone = phones.get(id);
  return phone ? { name: phone.person.name, hue: phone.hue } : { name: id ?? "unknown", hue: 0 };
};

const people = () => [...phones.values()].map((phone) => phone.person);

/** The drawer and the inspector occupy the same space. */
function inspect(message) {
  drawer.toggle(false);
  inspector.show(message);
}

const app = { now, activate, changed: seen, who, inspect, people };

function setClock(value) {
  clock = value;
  readAt = performance.now();
  drawer.setClock(value);
  tick();
}

function tick() {
  at("now").textContent = moment(now());
  at("now").dateTime = new Date(now()).toISOString();
  for (const chat of chats()) chat.tick();
}

function place(chat) {
  at("phones").append(chat.element);
  at("strip").append(chat.chip);
  return chat;
}

function addPhone(person) {
  const phone = new Phone(person, HUES[phones.size % HUES.length], app);
  phones.set(person.id, phone);
  return place(phone);
}

function setGroup(group) {
  const known = groups.get(group.id);
  if (group.deleted) {
    if (!known) return;
    known.element.remove();
    known.chip.remove();
    groups.delete(group.id);
    const first = chats()[0];
    if (active === known && first) activate(first);
  } else if (known) {
    known.setGroup(group);
  } else {
    groups.set(group.id, place(new GroupChat(group, HUES[(groups.size + 3) % HUES.length], app)));
  }
}

const chatOf = (message) => (message.group ? groups.get(message.group) : phones.get(message.person));

/** Makes one chat the active one: its messages are marked as read, those of other chats stay delivered. */
function activate(chat, focus = false) {
  if (active !== chat) {
    for (const other of chats()) {
      other.element.classList.toggle("active", other === chat);
      other.chip.setAttribute("aria-current", String(other === chat));
    }
    active = chat;
    chat.chip.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  if (focus) {
    chat.element.scrollIntoView({ block: "nearest", inline: "center" });
    chat.toEnd();
    // On touch devices a focus would open the keyboard over the chat.
    if (matchMedia("(hover: hover)").matches) chat.input.focus();
  }
  seen(chat);
}

function seen(chat) {
  if (chat === active && document.visibilityState === "visible") chat.markRead();
}

/** Events received while the page reloads everything; applied afterwards, so that no older response overwrites them. */
let waiting = null;

function apply(event) {
  if (waiting) {
    waiting.push(event);
    return;
  }
  switch (event.kind) {
    case "message":
      chatOf(event.message)?.put(event.message);
      inspector.update(event.message);
      break;
    case "person": (phones.get(event.person.id) ?? addPhone(event.person)).setPerson(event.person); break;
    case "group": setGroup(event.group); break;
    case "typing": (event.group ? groups.get(event.group) : phones.get(event.person))?.showTyping(event.until_ms); break;
    case "account": drawer.setTemplates(); break;
    case "clock": setClock(event.clock); break;
    case "faults": drawer.setFaults(event.faults); break;
    case "handshake_done": setLink("daemon", "daemon connected"); break;
    case "reset": reload().catch((error) => setLink("lost", error.message)); break;
  }
}

function setLink(state, text) {
  at("link").dataset.state = state;
  at("link").textContent = text;
}

async function reload() {
  if (waiting) return;
  waiting = [];
  try {
    await fill();
  } finally {
    const queued = waiting;
    waiting = null;
    queued.forEach(apply);
  }
}

async function fill() {
  const [{ people: all }, { groups: made }, { messages }, clockNow, faults, idle] = await Promise.all([
    get("people"), get("groups"), get("messages?from=both&crowd=false&newest=1000"), get("clock"), get("faults"), get("idle"),
  ]);
  const wasActive = active?.person?.id ?? active?.group?.id;
  active = null;
  phones.clear();
  groups.clear();
  at("phones").replaceChildren();
  at("strip").replaceChildren();
  if (inspector.open) inspector.close();
  setClock(clockNow);
  drawer.setFaults(faults);
  drawer.setTemplates();
  for (const person of all) addPhone(person);
  for (const group of made) setGroup(group);
  for (const message of messages) chatOf(message)?.put(message);
  for (const chat of chats()) chat.toEnd();
  const first = phones.get(wasActive) ?? groups.get(wasActive) ?? chats()[0];
  if (first) activate(first);
  setLink(idle.handshake_done ? "daemon" : "alone", idle.handshake_done ? "daemon connected" : "waiting for the daemon");
}

const drawer = new Drawer(at("drawer"), at("open-drawer"), () => inspector.open && inspector.close());
const inspector = new Inspector(at("inspector"), who);
newPerson(at("new-person"), at("add"), (person) => activate(phones.get(person.id) ?? addPhone(person), true));
newGroup(at("new-group"), at("add-group"), people, (group) => {
  setGroup(group);
  activate(groups.get(group.id), true);
});
document.addEventListener("visibilitychange", () => active && seen(active));
setInterval(tick, 1000);
listen({
  opened: () => reload().catch((error) => setLink("lost", error.message)),
  heard: apply,
  lost: () => setLink("lost", "simulator unreachable"),
});
