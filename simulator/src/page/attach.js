// What can be sent besides words: files, a voice message, a place, a card, a poll.

import { put } from "./api.js";
import { h, icon, ICONS } from "./dom.js";
import { show } from "./sheet.js";

/** Where the demo's street is, as a place to begin with. */
const PLACE = { name: "Harbour Street", address: "Harbour Street 12", latitude: 52.3782, longitude: 4.8998 };

/** What a browser can record that the platform takes as a voice message. */
const VOICE = ["audio/ogg;codecs=opus", "audio/mp4;codecs=opus", "audio/mp4"];

export function attach(chat, opener) {
  show(chat.element, opener, "Attach", "attach-sheet", (close) => {
    const item = (paths, label, act) => h("button", { type: "button", onclick: () => { close(); act(); } }, icon(paths), h("span", {}, label));
    return [
      item(ICONS.picture, "Photo or video", () => pick(chat, "image/jpeg,image/png,video/mp4,video/3gpp")),
      item(ICONS.file, "Document", () => pick(chat, "", "document")),
      item(ICONS.mic, "Voice message", () => record(chat, opener)),
      item(ICONS.smile, "Sticker", () => pick(chat, "image/webp")),
      item(ICONS.pin, "Location", () => choosePlace(chat, opener)),
      item(ICONS.person, "Contact", () => chooseCard(chat, opener)),
      item(ICONS.list, "Poll", () => choosePoll(chat, opener)),
    ];
  });
}

/** Puts a file there and says it. */
export function sendFile(chat, file, { as, voice } = {}) {
  return chat.attempt(async () => {
    const { id, kind } = await put(file, file.name ?? "file");
    const type = as ?? kind;
    const body = { id };
    if (voice) body.voice = true;
    await sayHere(chat, { message: { type, [type]: body } });
  });
}

async function sayHere(chat, what) {
  if (!await chat.say(what)) throw new Error(chat.problem.textContent);
}

function pick(chat, accept, as) {
  const input = h("input", { type: "file", accept, hidden: true, "aria-label": "File", onchange: () => {
    const [file] = input.files;
    input.remove();
    if (file) sendFile(chat, file, { as });
  } });
  chat.element.append(input);
  input.click();
}

/** Records until stopped. Where the browser may not or cannot, a sound file is chosen instead. */
async function record(chat, opener) {
  const type = VOICE.find((kind) => globalThis.MediaRecorder?.isTypeSupported(kind));
  const stream = type && await navigator.mediaDevices?.getUserMedia({ audio: true }).catch(() => null);
  if (!stream) {
    pick(chat, "audio/ogg,audio/mp4,audio/mpeg,audio/aac,audio/amr", "audio");
    return;
  }
  const recorder = new MediaRecorder(stream, { mimeType: type });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const end = () => { recorder.stop(); stream.getTracks().forEach((track) => track.stop()); };
  show(chat.element, opener, "Recording", "attach-sheet", (close) => [
    h("p", { className: "recording" }, icon(ICONS.mic), "Recording …"),
    h("div", { className: "row" },
      h("button", { type: "button", className: "quiet", onclick: () => { recorder.ondataavailable = null; end(); close(); } }, "Cancel"),
      h("button", { type: "button", className: "primary", onclick: () => {
        recorder.onstop = () => sendFile(chat, new Blob(parts, { type }), { as: "audio", voice: true });
        end();
        close();
      } }, "Send")),
  ]);
  recorder.start();
}

/** A place, with the street to begin with. `on` is the request it answers. */
export function choosePlace(chat, opener, on) {
  form(chat, opener, "Send a location", "Send", [
    field("name", "Name", { value: PLACE.name }), field("address", "Address", { value: PLACE.address }),
    field("latitude", "Latitude", { value: PLACE.latitude, type: "number", step: "any", min: -90, max: 90, required: true }),
    field("longitude", "Longitude", { value: PLACE.longitude, type: "number", step: "any", min: -180, max: 180, required: true }),
  ], ({ name, address, latitude, longitude }) => {
    const location = { latitude: Number(latitude), longitude: Number(longitude) };
    if (name) location.name = name;
    if (address) location.address = address;
    return chat.say({ message: { type: "location", location }, on });
  });
}

const vcard = (person, origin) => [{
  name: { formatted_name: person.name, first_name: person.name.split(" ")[0] },
  phones: person.number ? [{ phone: `+${person.number}`, wa_id: person.number, type: "CELL" }] : [],
  origin,
}];

/** One's own card: the answer to a request for it. */
export function chooseContact(chat, on) {
  const self = chat.house.people().find((person) => person.id === chat.me);
  if (self) chat.say({ message: { type: "contacts", contacts: vcard(self, "contact_request") }, on });
}

function chooseCard(chat, opener) {
  show(chat.element, opener, "Send a contact", "attach-sheet", (close) => chat.house.people().map((person) => h("button", {
    type: "button",
    onclick: () => { close(); chat.say({ message: { type: "contacts", contacts: vcard(person, "other") } }); },
  }, icon(ICONS.person), h("span", {}, person.name))));
}

/** A poll is real among people; the business gets "unsupported". */
function choosePoll(chat, opener) {
  form(chat, opener, "A poll", "Send", [
    field("question", "Question", { required: true, maxLength: 255 }),
    field("options", "Options, with commas between", { required: true, placeholder: "Friday, Saturday" }),
  ], ({ question, options }) => {
    const code = chat.from.group ? 130501 : 131051;
    const errors = [{ code, title: "Message type unknown", message: "Message type unknown",
      error_data: { details: "Message type is currently not supported." } }];
    const unsupported = { type: "poll", question, options: options.split(",").map((option) => option.trim()).filter(Boolean) };
    return chat.say({ message: { type: "unsupported", unsupported, errors } });
  });
}

const field = (name, label, more) => h("label", {}, label, h("input", { name, autocomplete: "off", ...more }));

function form(chat, opener, title, action, fields, done) {
  show(chat.element, opener, title, "form-sheet", (close) => h("form", { onsubmit: (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget));
    close();
    done(given);
  } },
  h("header", {}, h("h3", {}, title),
    h("button", { type: "button", className: "plain", "aria-label": "Close", onclick: close }, icon(ICONS.close))),
  fields, h("button", { type: "submit", className: "primary" }, action)));
}
