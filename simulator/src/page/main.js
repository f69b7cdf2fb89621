// The page: keeps the phones and groups in step with the simulator's events, and the rest of the furniture.

import { get, listen } from "./api.js";
import { newGroup, newcomer } from "./dialogs.js";
import { moment } from "./dom.js";
import { Drawer } from "./drawer.js";
import { GroupChat } from "./group.js";
import { Inspector } from "./inspector.js";
import { Phone } from "./phone.js";

/** Of the faces: neighbours differ. */
const HUES = [268, 205, 22, 158, 340, 95, 48];

const at = (id) => document.getElementById(id);
const phones = new Map();
const groups = new Map();
let active = null;
let clock = { now_ms: Date.now(), virtual: false };
let askedAt = performance.now();

/** The simulator's time. */
const now = () => clock.now_ms + (clock.virtual ? 0 : performance.now() - askedAt);

const chats = () => [...phones.values(), ...groups.values()];

/** The name and colour of a person; of one that is not shown, the id. */
const who = (id) => {
  const phone = phones.get(id);
  return phone ? { name: phone.person.name, hue: phone.hue } : { name: id ?? "somebody", hue: 0 };
};

const people = () => [...phones.values()].map((phone) => phone.person);

/** The drawer and the inspector share their place. */
function inspect(message) {
  drawer.toggle(false);
  inspector.show(message);
}

const house = { now, activate, tell: seen, who, inspect, people };

function setClock(face) {
  clock = face;
  askedAt = performance.now();
  drawer.setClock(face);
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
  const phone = new Phone(person, HUES[phones.size % HUES.length], house);
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
    groups.set(group.id, place(new GroupChat(group, HUES[(groups.size + 3) % HUES.length], house)));
  }
}

const chatOf = (message) => (message.group ? groups.get(message.group) : phones.get(message.person));

/** This one is in somebody's hand: its chat is read, the others' wait. */
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
    // Where there is no mouse a focus brings up the keyboard, over the chat that was asked for.
    if (matchMedia("(hover: hover)").matches) chat.input.focus();
  }
  seen(chat);
}

function seen(chat) {
  if (chat === active && document.visibilityState === "visible") chat.look();
}

/** What is heard while everything is read anew waits, so that an old answer does not cover a new event. */
let waiting = null;

function heard(event) {
  if (waiting) {
    waiting.push(event);
    return;
  }
  switch (event.kind) {
    case "message":
      chatOf(event.message)?.put(event.message);
      inspector.heard(event.message);
      break;
    case "person": (phones.get(event.person.id) ?? addPhone(event.person)).setPerson(event.person); break;
    case "group": setGroup(event.group); break;
    case "typing": (event.group ? groups.get(event.group) : phones.get(event.person))?.showTyping(event.until_ms); break;
    case "account": drawer.setTemplates(); break;
    case "clock": setClock(event.clock); break;
    case "faults": drawer.setFaults(event.faults); break;
    case "greeted": setLink("daemon", "the daemon is there"); break;
    case "reset": readEverything().catch((error) => setLink("lost", error.message)); break;
  }
}

function setLink(state, says) {
  at("link").dataset.state = state;
  at("link").textContent = says;
}

async function readEverything() {
  if (waiting) return;
  waiting = [];
  try {
    await fill();
  } finally {
    const heardMeanwhile = waiting;
    waiting = null;
    heardMeanwhile.forEach(heard);
  }
}

async function fill() {
  const [{ people: all }, { groups: made }, { messages }, face, faults, idle] = await Promise.all([
    get("people"), get("groups"), get("messages?from=both&crowd=false&newest=1000"), get("clock"), get("faults"), get("idle"),
  ]);
  const wasActive = active?.person?.id ?? active?.group?.id;
  active = null;
  phones.clear();
  groups.clear();
  at("phones").replaceChildren();
  at("strip").replaceChildren();
  if (inspector.open) inspector.close();
  setClock(face);
  drawer.setFaults(faults);
  drawer.setTemplates();
  for (const person of all) addPhone(person);
  for (const group of made) setGroup(group);
  for (const message of messages) chatOf(message)?.put(message);
  for (const chat of chats()) chat.toEnd();
  const first = phones.get(wasActive) ?? groups.get(wasActive) ?? chats()[0];
  if (first) activate(first);
  setLink(idle.greeted ? "daemon" : "alone", idle.greeted ? "the daemon is there" : "waiting for the daemon");
}

const drawer = new Drawer(at("drawer"), at("open-drawer"), () => inspector.open && inspector.close());
const inspector = new Inspector(at("inspector"), who);
newcomer(at("newcomer"), at("add"), (person) => activate(phones.get(person.id) ?? addPhone(person), true));
newGroup(at("new-group"), at("add-group"), people, (group) => {
  setGroup(group);
  activate(groups.get(group.id), true);
});
document.addEventListener("visibilitychange", () => active && seen(active));
setInterval(tick, 1000);
listen({
  opened: () => readEverything().catch((error) => setLink("lost", error.message)),
  heard,
  lost: () => setLink("lost", "the simulator is away"),
});
