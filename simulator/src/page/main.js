// The page: keeps the phones in step with the simulator's events, and the rest of the furniture.

import { get, listen, post } from "./api.js";
import { moment } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Phone } from "./phone.js";

const at = (id) => document.getElementById(id);
const phones = new Map();
let active = null;
let clock = { now_ms: Date.now(), virtual: false };
let askedAt = performance.now();

/** The simulator's time. */
const now = () => clock.now_ms + (clock.virtual ? 0 : performance.now() - askedAt);

function setClock(face) {
  clock = face;
  askedAt = performance.now();
  drawer.setClock(face);
  tick();
}

function tick() {
  at("now").textContent = moment(now());
  at("now").dateTime = new Date(now()).toISOString();
  for (const phone of phones.values()) phone.tick();
}

function addPhone(person) {
  const phone = new Phone(person, { place: phones.size, now, activate, tell: seen });
  phones.set(person.id, phone);
  at("phones").append(phone.element);
  at("strip").append(phone.chip);
  return phone;
}

/** This phone is in somebody's hand: its chat is read, the others' wait. */
function activate(phone, focus = false) {
  if (active !== phone) {
    for (const other of phones.values()) {
      other.element.classList.toggle("active", other === phone);
      other.chip.setAttribute("aria-current", String(other === phone));
    }
    active = phone;
  }
  if (focus) {
    phone.element.scrollIntoView({ block: "nearest", inline: "center" });
    phone.toEnd();
    // Where there is no mouse a focus brings up the keyboard, over the chat that was asked for.
    if (matchMedia("(hover: hover)").matches) phone.input.focus();
  }
  seen(phone);
}

function seen(phone) {
  if (phone === active && document.visibilityState === "visible") phone.look();
}

/** What is heard while everything is read anew waits, so that an old answer does not cover a new event. */
let waiting = null;

function heard(event) {
  if (waiting) {
    waiting.push(event);
    return;
  }
  switch (event.kind) {
    case "message": phones.get(event.message.person)?.put(event.message); break;
    case "person": (phones.get(event.person.id) ?? addPhone(event.person)).setPerson(event.person); break;
    case "typing": phones.get(event.person)?.showTyping(event.until_ms); break;
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
  const [{ people }, { messages }, face, faults, idle] = await Promise.all([
    get("people"), get("messages?from=both&crowd=false&newest=1000"), get("clock"), get("faults"), get("idle"),
  ]);
  const wasActive = active?.person.id;
  active = null;
  phones.clear();
  at("phones").replaceChildren();
  at("strip").replaceChildren();
  setClock(face);
  drawer.setFaults(faults);
  for (const person of people) addPhone(person);
  for (const message of messages) phones.get(message.person)?.put(message);
  for (const phone of phones.values()) phone.toEnd();
  const first = phones.get(wasActive) ?? phones.values().next().value;
  if (first) activate(first);
  setLink(idle.greeted ? "daemon" : "alone", idle.greeted ? "the daemon is there" : "waiting for the daemon");
}

function newcomer() {
  const dialog = at("newcomer");
  const form = dialog.querySelector("form");
  const problem = dialog.querySelector(".problem");
  at("add").addEventListener("click", () => { form.reset(); problem.textContent = ""; dialog.showModal(); });
  form.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, number, hidden } = Object.fromEntries(new FormData(form));
    try {
      const person = await post("people", { name, number: number || undefined, hidden: hidden === "on" });
      dialog.close();
      const phone = phones.get(person.id) ?? addPhone(person);
      activate(phone, true);
    } catch (error) {
      problem.textContent = error.message;
    }
  });
}

const drawer = new Drawer(at("drawer"), at("open-drawer"), now);
newcomer();
document.addEventListener("visibilitychange", () => active && seen(active));
setInterval(tick, 1000);
listen({
  opened: () => readEverything().catch((error) => setLink("lost", error.message)),
  heard,
  lost: () => setLink("lost", "the simulator is away"),
});
