// Attachments: files, voice messages, locations, contacts, polls.

import { put } from "./api.js";
import { h, icon, ICONS } from "./dom.js";
import { show } from "./sheet.js";

/** The default location: the street of the demo. */
const LOCATION = { name: "Harbour Street", address: "Harbour Street 12", latitude: 52.3782, longitude: 4.8998 };

/** Recording formats that the platform accepts as a voice message. */
const VOICE = ["audio/ogg;codecs=opus", "audio/mp4;codecs=opus", "audio/mp4"];

export function attach(chat, opener) {
  show(chat.element, opener, "Attach", "attach-sheet", (close) => {
    const item = (paths, label, act) => h("button", { type: "button", onclick: () => { close(); act(); } }, icon(paths), h("span", {}, label));
    return [
      item(ICONS.picture, "Photo or video", () => pick(chat, "image/jpeg,image/png,video/mp4,video/3gpp")),
      item(ICONS.file, "Document", () => pick(chat, "", "document")),
      item(ICONS.mic, "Voice message", () => record(chat, opener)),
      item(ICONS.smile, "Sticker", () => pick(chat, "image/webp")),
      item(ICONS.pin, "Location", () => chooseLocation(chat, opener)),
      item(ICONS.person, "Contact", () => chooseContact(chat, opener)),
      item(ICONS.list, "Poll", () => choosePoll(chat, opener)),
    ];
  });
}

/** Uploads a file and sends it as a message. */
export function sendFile(chat, file, { as, voice } = {}) {
  return chat.attempt(async () => {
    const { id, kind } = await put(file, file.name ?? "file");
    const type = as ?? kind;
    const body = { id };
    if (voice) body.voice = true;
    await sendHere(chat, { message: { type, [type]: body } });
  });
}

async function sendHere(chat, what) {
  if (!await chat.send(what)) throw new Error(chat.problem.textContent);
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

/** Records until stopped; offers a file chooser where recording is unavailable. */
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

/** Sends a location. `on` is the request that it answers. */
export function chooseLocation(chat, opener, on) {
  form(chat, opener, "Send a location", "Send", [
    field("name", "Name", { value: LOCATION.name }), field("address", "Address", { value: LOCATION.address }),
    field("latitude", "Latitude", { value: LOCATION.latitude, type: "number", step: "any", min: -90, max: 90, required: true }),
    field("longitude", "Longitude", { value: LOCATION.longitude, type: "number", step: "any", min: -180, max: 180, required: true }),
  ], ({ name, address, latitude, longitude }) => {
    const location = { latitude: Number(latitude), longitude: Number(longitude) };
    if (name) location.name = name;
    if (address) location.address = address;
    return chat.send({ message: { type: "location", location }, on });
  });
}

const vcard = (person, origin) => [{
  name: { formatted_name: person.name, first_name: person.name.split(" ")[0] },
  phones: person.number ? [{ phone: `+${person.number}`, wa_id: person.number, type: "CELL" }] : [],
  origin,
}];

/** Sends the person's own contact in answer to a request. */
export function shareOwnContact(chat, on) {
  const self = chat.app.people().find((person) => person.id === chat.me);
  if (self) chat.send({ message: { type: "contacts", contacts: vcard(self, "contact_request") }, on });
}

function chooseContact(chat, opener) {
  show(chat.element, opener, "Send a contact", "attach-sheet", (close) => chat.app.people().map((person) => h("button", {
    type: "button",
    onclick: () => { close(); chat.send({ message: { type: "contacts", contacts: vcard(person, "other") } }); },
  }, icon(ICONS.person), h("span", {}, person.name))));
}

/** Polls exist between people; a business receives `unsupported`. */
function choosePoll(chat, opener) {
  form(chat, opener, "Poll", "Send", [
    field("question", "Question", { required: true, maxLength: 255 }),
    field("options", "Options, separated by commas", { required: true, placeholder: "Friday, Saturday" }),
  ], ({ question, options }) => {
    const code = chat.from.group ? 130501 : 131051;
    const errors = [{ code, title: "Message type unknown", message: "Message type unknown",
      error_data: { details: "Message type is currently not supported." } }];
    const unsupported = { type: "poll", question, options: options.split(",").map((option) => option.trim()).filter(Boolean) };
    return chat.send({ message: { type: "unsupported", unsupported, errors } });
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
