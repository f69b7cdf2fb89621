// The chat page in use: write, tap, choose, react, quote, attach; ticks.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SECRETS } from "./daemon.mjs";
import { control, daemon, open, phone, photo, picture, quiet, simulator, write } from "./opened.mjs";

test("a new person writes, taps a button, chooses from a list, and ticks appear", async () => {
  const { page, complaints, close } = await open();
  await page.getByRole("button", { name: "Add a person" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Marta");
  await page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
  const marta = phone(page, "Marta");
  await marta.getByText("no window").waitFor();
  await write(page, "Marta", "Hello! Is this the *street group*?");
  await marta.getByRole("button", { name: "Yes, count me in" }).click();
  await marta.getByRole("button", { name: "Choose a topic" }).click();
  await picture(page, "list");
  await marta.getByLabel("Lifts").check();
  await marta.getByRole("button", { name: "Send" }).last().click();
  await marta.getByText("See you there!").waitFor();
  await marta.getByText("24 h 00 min").waitFor();
  // Her phone is open, so the business's messages are read; her own were marked as read.
  await marta.locator(".theirs .ticks.read").nth(2).waitFor();
  await marta.locator(".mine .ticks.read").nth(2).waitFor();
  await quiet();
  assert.equal(await marta.getByText("street group").evaluate((element) => element.tagName), "STRONG");
  assert.equal(daemon.statuses.filter((status) => status.status === "read").length, 3);
  assert.equal(daemon.forged, 0);
  assert.deepEqual(daemon.problems, []);
  assert.deepEqual(complaints, []);
  await close();
});

test("a closed phone shows delivered, and read when it is opened", async () => {
  const { page, close } = await open();
  await write(page, "Ana", "first");
  await phone(page, "Ana").getByRole("button", { name: "Yes, count me in" }).waitFor();
  await phone(page, "Bram").getByRole("textbox").focus();
  await control("say", { from: "ana", text: "help" });
  const answer = phone(page, "Ana").locator(".theirs").last();
  await answer.getByText("STOP").waitFor();
  await answer.locator(".ticks.delivered").waitFor();
  await phone(page, "Ana").getByRole("textbox").focus();
  await answer.locator(".ticks.read").waitFor();
  await close();
});

test("quotes and reactions arrive in the platform's form", async () => {
  const { page, close } = await open();
  await write(page, "Bram", "hi");
  const welcome = phone(page, "Bram").locator(".theirs").first();
  await welcome.hover();
  await welcome.getByRole("button", { name: "React" }).click();
  await phone(page, "Bram").getByRole("button", { name: "🎉" }).click();
  await welcome.getByLabel("You: 🎉").waitFor();
  await welcome.getByRole("button", { name: "Reply" }).click();
  await write(page, "Bram", "about this");
  const id = await welcome.getAttribute("data-id");
  const quote = phone(page, "Bram").locator(".mine").filter({ hasText: "about this" });
  await quote.locator("blockquote").getByText("Good to have you here").waitFor();
  // Marked as read: the daemon has it and the reaction before it.
  await quote.locator(".ticks.read").waitFor();
  const quoted = daemon.messages.find((message) => message.text?.body === "about this");
  assert.equal(quoted.context.id, id);
  const reaction = daemon.messages.find((message) => message.type === "reaction");
  assert.deepEqual(reaction.reaction, { message_id: id, emoji: "🎉" });
  await close();
});

test("the drawer advances time and sets faults", async () => {
  const { page, complaints, close } = await open();
  await write(page, "Ana", "hello");
  await phone(page, "Ana").getByText("24 h 00 min").waitFor();
  await page.getByRole("button", { name: "Controls" }).click();
  const drawer = page.getByRole("complementary");
  await drawer.getByRole("button", { name: "+22 h" }).click();
  await phone(page, "Ana").getByText("2 h 00 min").waitFor();
  await drawer.getByRole("button", { name: "Error 500: next time" }).click();
  await drawer.getByRole("button", { name: "Error 500: next time", pressed: true }).waitFor();
  await picture(page, "drawer");
  await drawer.getByLabel("Clock speed").selectOption("1 hour per second");
  await phone(page, "Ana").getByText("closed").waitFor();
  const turned = page.waitForResponse((response) => response.url().endsWith("/control/clock"));
  await Promise.all([turned, drawer.getByLabel("Clock speed").selectOption("paused")]);
  const before = await (await fetch(`${simulator.url}/control/clock`)).json();
  await drawer.getByRole("button", { name: "+1 day" }).click();
  // The header's clock is hidden behind the drawer and continues.
  const later = new Date(before.now_ms + 86_400_000).toISOString();
  await page.locator(`header time[datetime="${later}"]`).waitFor({ state: "attached" });
  const taken = page.waitForResponse((response) => response.url().endsWith("/control/faults"));
  await drawer.getByLabel("Lost: probability").selectOption("always");
  await taken;
  const faults = await (await fetch(`${simulator.url}/control/faults`)).json();
  assert.deepEqual([faults.receipt_lost.probability, faults.send_error.next], [1, 1]);
  await page.keyboard.press("Escape");
  assert.equal(await drawer.isVisible(), false);
  assert.deepEqual(complaints, []);
  await close();
});

test("the page works with the keyboard alone", async () => {
  const { page, close } = await open();
  const ana = phone(page, "Ana");
  await ana.getByRole("textbox").focus();
  await page.keyboard.type("hello");
  await page.keyboard.press("Enter");
  await ana.getByRole("button", { name: "Yes, count me in" }).focus();
  await page.keyboard.press("Enter");
  await ana.getByRole("button", { name: "Choose a topic" }).press("Enter");
  const sheet = ana.getByRole("dialog");
  await sheet.waitFor();
  await page.keyboard.press("Escape");
  await sheet.waitFor({ state: "detached" });
  await page.waitForFunction(() => document.activeElement.textContent === "Choose a topic");
  await close();
});

test("the typing indicator shows while the business types, for at most 25 seconds", async () => {
  const { page, close } = await open();
  await write(page, "Kadri", "human please");
  const typing = phone(page, "Kadri").getByText("The business is typing");
  await typing.waitFor({ state: "attached" });
  await control("clock", { advance_ms: 25_000 });
  await typing.waitFor({ state: "detached" });
  await close();
});

/** Attaches an item of the sheet. */
async function attach(page, who, what) {
  await phone(page, who).getByRole("button", { name: "Attach" }).click();
  await phone(page, who).getByRole("dialog").getByRole("button", { name: what }).click();
}

test("photos, locations, contacts, polls and documents are sent and arrive", async () => {
  const { page, complaints, close } = await open();
  const before = daemon.messages.length;
  const ana = phone(page, "Ana");
  const choosing = page.waitForEvent("filechooser");
  await attach(page, "Ana", "Photo or video");
  await (await choosing).setFiles(await photo(page));
  await ana.getByRole("img", { name: "Photo" }).waitFor();
  await attach(page, "Ana", "Location");
  await ana.getByLabel("Name").fill("The quay");
  await ana.getByRole("dialog").getByRole("button", { name: "Send" }).click();
  await ana.locator(".mine").getByText("The quay").waitFor();
  await attach(page, "Ana", "Contact");
  await ana.getByRole("dialog").getByRole("button", { name: "Bram" }).click();
  await ana.locator(".mine .card").getByText("Bram", { exact: true }).waitFor();
  const document = page.waitForEvent("filechooser");
  await attach(page, "Ana", "Document");
  await (await document).setFiles({ name: "rules.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.7") });
  await ana.getByText("rules.pdf").waitFor();
  await attach(page, "Ana", "Poll");
  await ana.getByLabel("Question").fill("When do we meet?");
  await ana.getByLabel("Options").fill("Friday, Saturday");
  await ana.getByRole("dialog").getByRole("button", { name: "Send" }).click();
  await ana.getByText("Saturday").waitFor();
  await quiet();
  const came = daemon.messages.slice(before);
  assert.deepEqual(came.map((message) => message.type), ["image", "location", "contacts", "document", "unsupported"]);
  const [image, place, card, file] = came;
  const got = await fetch(image.image.url, { headers: { authorization: `Bearer ${SECRETS.accessToken}` } });
  assert.deepEqual([got.status, image.image.mime_type, file.document.filename], [200, "image/jpeg", "rules.pdf"]);
  assert.deepEqual([place.location.name, card.contacts[0].phones[0].wa_id], ["The quay", "31610000102"]);
  await ana.locator(".mine .ticks.read").nth(4).waitFor();
  await picture(page, "attachments");
  assert.deepEqual(complaints, []);
  await close();
});

/** A fake microphone and recorder. */
const fakeVoice = () => {
  navigator.mediaDevices.getUserMedia = async () => new MediaStream();
  window.MediaRecorder = class {
    static isTypeSupported = (type) => type.startsWith("audio/ogg");
    start() {}
    stop() {
      this.ondataavailable?.({ data: new Blob(["OggS a voice"], { type: "audio/ogg" }) });
      this.onstop?.();
    }
  };
};

test("a voice message is recorded, or a file without a microphone; the reply is played", async () => {
  const { page, complaints, close } = await open();
  const before = daemon.messages.length;
  const ana = phone(page, "Ana");
  await page.evaluate(() => { delete window.MediaRecorder; });
  const choosing = page.waitForEvent("filechooser");
  await attach(page, "Ana", "Voice message");
  await (await choosing).setFiles({ name: "hello.mp3", mimeType: "audio/mpeg", buffer: Buffer.from("ID3 hello") });
  await ana.locator(".mine audio").waitFor();
  await page.evaluate(fakeVoice);
  await attach(page, "Ana", "Voice message");
  await ana.getByRole("dialog", { name: "Recording" }).getByRole("button", { name: "Send" }).click();
  await ana.locator(".mine audio").nth(1).waitFor();
  await quiet();
  const [chosen, recorded] = daemon.messages.slice(before);
  assert.deepEqual([chosen.audio.mime_type, recorded.audio.voice], ["audio/mpeg", true]);
  assert.match(recorded.audio.mime_type, /^audio\/ogg/);
  const form = new FormData();
  form.append("messaging_product", "whatsapp");
  form.append("file", new Blob(["OggS an answer"], { type: "audio/ogg" }), "answer.ogg");
  const authorization = `Bearer ${SECRETS.accessToken}`;
  const upload = await fetch(`${simulator.url}/v26.0/106540352242922/media`, { method: "POST", headers: { authorization }, body: form });
  const { id } = await upload.json();
  await fetch(`${simulator.url}/v26.0/106540352242922/messages`, { method: "POST", headers: { "content-type": "application/json", authorization },
    body: JSON.stringify({ messaging_product: "whatsapp", to: "351910000101", type: "audio", audio: { id, voice: true } }) });
  const answer = ana.locator(".theirs").filter({ has: page.locator("audio") });
  await answer.locator(".ticks.read").waitFor();
  await answer.locator("audio").dispatchEvent("play");
  await answer.locator('.ticks[data-state="played"]').waitFor();
  await quiet();
  assert.equal(daemon.statuses.at(-1).status, "played");
  assert.deepEqual(complaints, []);
  await close();
});

/** A call to the Graph API as the business. */
const graph = (path, body) => fetch(`${simulator.url}/v26.0/${path}`, {
  method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` },
  body: JSON.stringify({ messaging_product: "whatsapp", ...body }),
});

test("requests for a location, a contact and a form are answered with a tap; links and numbers open", async () => {
  const { page, complaints, close } = await open();
  const before = daemon.messages.length;
  await write(page, "Ana", "human please");
  const ana = phone(page, "Ana");
  const ask = (interactive) => graph("106540352242922/messages", { to: "351910000101", type: "interactive", interactive });
  const parameters = { flow_message_version: "3", flow_id: "1", flow_token: "token-1", flow_cta: "Fill it in" };
  await ask({ type: "location_request_message", body: { text: "Where are you?" }, action: { name: "send_location" } });
  await ask({ type: "request_contact_info", body: { text: "How can we reach you?" }, action: { name: "request_contact_info" } });
  await ask({ type: "flow", body: { text: "A few questions" }, action: { name: "flow", parameters } });
  await ask({ type: "cta_url", body: { text: "All dates" },
    action: { name: "cta_url", parameters: { display_text: "The calendar", url: "https://example.org/dates" } } });
  await ana.getByRole("button", { name: "Send location" }).click();
  await ana.getByRole("dialog").getByRole("button", { name: "Send" }).click();
  await ana.locator(".mine").getByText("Harbour Street").first().waitFor();
  await ana.getByRole("button", { name: "Share contact" }).click();
  await ana.locator(".mine .card").getByText("Ana", { exact: true }).waitFor();
  await ana.getByRole("button", { name: "Fill it in" }).click();
  await ana.locator(".mine").getByText("token-1").waitFor();
  assert.equal(await ana.getByRole("link", { name: "The calendar" }).getAttribute("href"), "https://example.org/dates");
  await quiet();
  const [, place, card, form] = daemon.messages.slice(before);
  assert.deepEqual([place.location.name, card.contacts[0].origin, card.contacts[0].phones[0].wa_id], ["Harbour Street", "contact_request", "351910000101"]);
  assert.deepEqual(JSON.parse(form.interactive.nfm_reply.response_json), { flow_token: "token-1" });
  const asked = await ana.locator(".theirs").evaluateAll((all) => all.map((element) => element.dataset.id));
  assert.deepEqual([place, card, form].map((message) => message.context.id), asked.slice(0, 3));
  await picture(page, "asked");
  // The inspector also shows a person's message: the webhook that delivered it.
  const said = ana.locator(".mine").filter({ hasText: "human please" });
  await said.hover();
  await said.getByRole("button", { name: "Message details" }).click();
  const inspector = page.getByRole("complementary", { name: "Message details" });
  await inspector.locator("summary").filter({ hasText: "webhook" }).first().click();
  await inspector.locator("details[open] pre").first().getByText('"human please"').waitFor();
  await inspector.locator("summary").filter({ hasText: "API" }).first().waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("stickers and videos are sent and shown; an expired file is reported", async () => {
  const { page, close } = await open();
  const before = daemon.messages.length;
  const kadri = phone(page, "Kadri");
  for (const [what, name, mimeType] of [["Sticker", "wave.webp", "image/webp"], ["Photo or video", "quay.mp4", "video/mp4"]]) {
    const choosing = page.waitForEvent("filechooser");
    await attach(page, "Kadri", what);
    await (await choosing).setFiles({ name, mimeType, buffer: Buffer.from("no real one") });
  }
  // No browser can show this sticker: it stands for an expired one.
  await kadri.locator(".mine .card").getByText("expired").waitFor();
  await kadri.locator(".mine video").waitFor();
  await quiet();
  assert.deepEqual(daemon.messages.slice(before).map((message) => message.type).sort(), ["sticker", "video"]);
  await close();
});

test("a template is rendered, and the inspector shows the request", async () => {
  const { page, complaints, close } = await open();
  await graph("102290129340398/message_templates", { name: "feast", language: "en", category: "MARKETING", components: [
    { type: "HEADER", format: "TEXT", text: "Summer feast" },
    { type: "BODY", text: "Hello {{1}}, we meet on *26 June*, on the quay.", example: { body_text: [["Ana"]] } },
    { type: "FOOTER", text: "Not interested? Tap Stop" },
    { type: "BUTTONS", buttons: [{ type: "QUICK_REPLY", text: "I am coming" }, { type: "URL", text: "Who brings what", url: "https://example.org/feast" }] },
  ] });
  await page.getByRole("button", { name: "Controls" }).click();
  const drawer = page.getByRole("complementary", { name: "Clock, faults and traffic" });
  await drawer.getByText("approved").waitFor();
  await page.keyboard.press("Escape");
  await graph("106540352242922/messages", { messaging_product: "whatsapp", to: "31610000102", type: "template",
    template: { name: "feast", language: { code: "en" }, components: [{ type: "body", parameters: [{ type: "text", text: "Bram" }] }] } });
  const bram = phone(page, "Bram");
  const feast = bram.locator(".theirs").filter({ hasText: "26 June" });
  await feast.getByText("Hello Bram").waitFor();
  await feast.getByRole("button", { name: "I am coming" }).click();
  await bram.locator(".mine").getByText("I am coming").waitFor();
  await feast.hover();
  await feast.getByRole("button", { name: "Message details" }).click();
  const inspector = page.getByRole("complementary", { name: "Message details" });
  await inspector.getByText("marketing, regular").waitFor();
  await inspector.locator("details").nth(2).waitFor();
  await inspector.locator("summary").first().click();
  await inspector.locator("details[open] pre").first().getByText('"feast"').waitFor();
  await picture(page, "inspector");
  await page.keyboard.press("Escape");
  assert.equal(await inspector.isVisible(), false);
  assert.deepEqual(complaints, []);
  await close();
});

test("a person changes and hides the number and stops marketing", async () => {
  const { page, close } = await open();
  const before = daemon.messages.length;
  const ana = phone(page, "Ana");
  const about = () => ana.getByRole("button", { name: "About" }).click();
  await about();
  await ana.getByRole("button", { name: "Stop marketing" }).click();
  await ana.getByText("no marketing").waitFor();
  await about();
  await ana.getByLabel("New phone number").fill("+31 6 1234 5678");
  await ana.getByRole("button", { name: "Change number" }).click();
  await ana.locator("header").getByText("+31612345678").waitFor();
  await about();
  await ana.getByRole("button", { name: "Hide the number" }).click();
  await ana.getByText("number hidden").waitFor();
  await quiet();
  const kinds = daemon.messages.slice(before).map((message) => message.system?.type).sort();
  assert.deepEqual(kinds, ["user_changed_number", "user_changed_user_id"]);
  await close();
});

test("directional marks in a name do not reorder what is next to it", async () => {
  const { page, complaints, close } = await open();
  const name = "\u202egnp.exe\u2066";
  await control("people", { name, number: "351910000313" });
  await control("say", { from: "351910000313", text: "\u202eolleh" });
  await page.getByText("olleh").first().waitFor();
  const unisolated = await page.evaluate(() => [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && /[\u202a-\u202e\u2066-\u2069]/u.test(node.data)))
    .map((element) => [element.tagName, getComputedStyle(element).unicodeBidi])
    .filter(([, bidi]) => bidi !== "isolate"));
  assert.deepEqual(unisolated, []);
  assert.deepEqual(complaints, []);
  await close();
});
