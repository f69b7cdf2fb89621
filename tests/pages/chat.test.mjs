// The chat page as people use it: write, tap, choose, react, quote; see the ticks; by day, by night, on a phone.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { SECRETS, community, startDaemon } from "./daemon.mjs";
import { PICTURES, startBrowser, startSimulator } from "./house.mjs";

let daemon;
let simulator;
let browser;

before(async () => {
  daemon = await startDaemon(community);
  simulator = await startSimulator(daemon.callback, ["--clock", "virtual"]);
  daemon.graph = simulator.url;
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await simulator?.stop();
  await daemon?.close();
});

/** A fresh simulator's page, and what its console and network complained about. */
async function open(options = {}) {
  await control("reset", {});
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, locale: "en-GB", timezoneId: "Europe/Amsterdam",
    reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
  page.on("request", (request) => request.url().startsWith(simulator.url) || complaints.push(`fetches ${request.url()}`));
  await page.goto(simulator.url);
  await page.getByRole("status").getByText("the daemon is there").waitFor();
  return { page, complaints, close: () => context.close() };
}

const control = (path, body) => fetch(`${simulator.url}/control/${path}`, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
});

// By label and not by role: at phone width those that are not in hand have no role, and are looked at all the same.
const phone = (page, name) => page.locator(`section[aria-label="${name}"]`);

async function write(page, name, text) {
  const box = phone(page, name).getByRole("textbox");
  await box.fill(text);
  await box.press("Enter");
}

const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

test("somebody new writes, taps a button, chooses from a list, and the ticks turn", async () => {
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
  // What the business wrote was read, since the phone is in her hand; what she wrote was marked as read.
  await marta.locator(".theirs .ticks.read").nth(2).waitFor();
  await marta.locator(".mine .ticks.read").nth(2).waitFor();
  await fetch(`${simulator.url}/control/idle?wait_ms=20000`);
  assert.equal(await marta.getByText("street group").evaluate((element) => element.tagName), "STRONG");
  assert.equal(daemon.statuses.filter((status) => status.status === "read").length, 3);
  assert.equal(daemon.forged, 0);
  assert.deepEqual(daemon.problems, []);
  assert.deepEqual(complaints, []);
  await close();
});

test("a phone that nobody holds shows delivered, and read when it is taken up", async () => {
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

test("quotes and reactions arrive as the platform sends them", async () => {
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
  // Marked as read: then the daemon has it, and the reaction before it.
  await quote.locator(".ticks.read").waitFor();
  const quoted = daemon.messages.find((message) => message.text?.body === "about this");
  assert.equal(quoted.context.id, id);
  const reaction = daemon.messages.find((message) => message.type === "reaction");
  assert.deepEqual(reaction.reaction, { message_id: id, emoji: "🎉" });
  await close();
});

test("time is turned and faults are set in the drawer", async () => {
  const { page, complaints, close } = await open();
  await write(page, "Ana", "hello");
  await phone(page, "Ana").getByText("24 h 00 min").waitFor();
  await page.getByRole("button", { name: "Controls" }).click();
  const drawer = page.getByRole("complementary");
  await drawer.getByRole("button", { name: "+22 h" }).click();
  await phone(page, "Ana").getByText("2 h 00 min").waitFor();
  await drawer.getByRole("button", { name: "Error 500: the next time" }).click();
  await drawer.getByRole("button", { name: "Error 500: the next time", pressed: true }).waitFor();
  await picture(page, "drawer");
  await drawer.getByLabel("How fast time goes").selectOption("an hour a second");
  await phone(page, "Ana").getByText("closed").waitFor();
  const turned = page.waitForResponse((response) => response.url().endsWith("/control/clock"));
  await Promise.all([turned, drawer.getByLabel("How fast time goes").selectOption("stands still")]);
  const before = await (await fetch(`${simulator.url}/control/clock`)).json();
  await drawer.getByRole("button", { name: "+1 day" }).click();
  await page.locator(`header time[datetime="${new Date(before.now_ms + 86_400_000).toISOString()}"]`).waitFor();
  const taken = page.waitForResponse((response) => response.url().endsWith("/control/faults"));
  await drawer.getByLabel("Lost: how often").selectOption("always");
  await taken;
  const knobs = await (await fetch(`${simulator.url}/control/faults`)).json();
  assert.deepEqual([knobs.receipt_lost.probability, knobs.send_error.next], [1, 1]);
  await page.keyboard.press("Escape");
  assert.equal(await drawer.isVisible(), false);
  assert.deepEqual(complaints, []);
  await close();
});

test("it can be used with the keyboard alone", async () => {
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
  assert.equal(await sheet.count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Choose a topic");
  await close();
});

test("the dots move while the business types, and 25 seconds at most", async () => {
  const { page, close } = await open();
  await write(page, "Kadri", "human please");
  const typing = phone(page, "Kadri").getByText("The business is typing");
  await typing.waitFor({ state: "attached" });
  await control("clock", { advance_ms: 25_000 });
  await typing.waitFor({ state: "detached" });
  await close();
});

/** Tells the control API; gives what it answers. */
const told = async (path, body) => (await control(path, body)).json();

/** A photo: a canvas that the browser paints, so that it is a real one. */
const paint = (page) => page.evaluate(() => new Promise((done) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 420 });
  const pen = canvas.getContext("2d");
  const sky = pen.createLinearGradient(0, 0, 0, 420);
  [["0", "#f7b267"], [".55", "#f4845f"], [".56", "#1d4e63"], ["1", "#0b2f40"]].forEach(([at, colour]) => sky.addColorStop(Number(at), colour));
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 640, 420);
  pen.fillStyle = "#ffe8c2";
  pen.arc(430, 190, 46, 0, 7);
  pen.fill();
  canvas.toBlob((blob) => blob.arrayBuffer().then((bytes) => done([...new Uint8Array(bytes)])), "image/jpeg", 0.9);
}));

const photo = async (page) => ({ name: "quay.jpg", mimeType: "image/jpeg", buffer: Buffer.from(await paint(page)) });

/** Attaches one of the things in the sheet. */
async function attach(page, who, what) {
  await phone(page, who).getByRole("button", { name: "Attach" }).click();
  await phone(page, who).getByRole("dialog").getByRole("button", { name: what }).click();
}

test("photos, places, cards, polls and documents are sent, and arrive", async () => {
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
  await fetch(`${simulator.url}/control/idle?wait_ms=20000`);
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

test("a group is made, entered, written in and answered, each from their side", async () => {
  const { page, complaints, close } = await open();
  await page.getByRole("button", { name: "New group" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Subject").fill("Harbour Street");
  await dialog.getByLabel("whoever follows the link").check();
  await dialog.getByLabel("Ana").check();
  await dialog.getByRole("button", { name: "Make" }).click();
  const group = phone(page, "Harbour Street");
  await group.getByText("no window").waitFor();
  await group.getByRole("button", { name: "About" }).click();
  await group.getByRole("listitem").filter({ hasText: "Kadri" }).getByRole("button", { name: "Ask" }).click();
  await group.getByText("1 asking").waitFor();
  await group.getByRole("textbox").fill("Who has a ladder?");
  await group.getByRole("textbox").press("Enter");
  await group.getByText("24 h 00 min").waitFor();
  const { groups: [made] } = await (await fetch(`${simulator.url}/control/groups`)).json();
  const graph = (path, body) => fetch(`${simulator.url}/v26.0/${path}`, {
    method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` },
    body: JSON.stringify({ messaging_product: "whatsapp", ...body }),
  });
  await graph(`${made.id}/join_requests`, { join_requests: [made.join_requests[0].id] });
  await group.getByText("Ana, Kadri").waitFor();
  await graph("106540352242922/messages", { recipient_type: "group", to: made.id, type: "text", text: { body: "Bram keeps it, *number 7*" } });
  const answer = group.locator(".theirs").filter({ hasText: "number 7" });
  await answer.waitFor();
  await group.getByLabel("Who speaks").selectOption("kadri");
  await group.locator(".theirs .author").getByText("Ana").waitFor();
  await group.getByRole("textbox").fill("Thank you!");
  await group.getByRole("textbox").press("Enter");
  await group.locator(".mine").getByText("Thank you!").waitFor();
  // Ana and Kadri both held it: read by all.
  await answer.locator(".ticks.read").waitFor();
  await group.getByRole("button", { name: "About" }).click();
  await picture(page, "group");
  await group.getByRole("listitem").filter({ hasText: "Kadri" }).getByRole("button", { name: "Leave" }).click();
  await group.locator("header small").getByText("Ana", { exact: true }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("a template is seen as its reader sees it, and the inspector shows what was sent", async () => {
  const { page, complaints, close } = await open();
  const graph = (path, body) => fetch(`${simulator.url}/v26.0/${path}`, {
    method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` }, body: JSON.stringify(body),
  });
  await graph("102290129340398/message_templates", { name: "feast", language: "en", category: "MARKETING", components: [
    { type: "HEADER", format: "TEXT", text: "Summer feast" },
    { type: "BODY", text: "Hello {{1}}, we meet on *26 June*, on the quay.", example: { body_text: [["Ana"]] } },
    { type: "FOOTER", text: "Not interested? Tap Stop" },
    { type: "BUTTONS", buttons: [{ type: "QUICK_REPLY", text: "I am coming" }, { type: "URL", text: "Who brings what", url: "https://example.org/feast" }] },
  ] });
  await page.getByRole("button", { name: "Controls" }).click();
  const drawer = page.getByRole("complementary", { name: "Time, faults and traffic" });
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
  await feast.getByRole("button", { name: "What was sent" }).click();
  const inspector = page.getByRole("complementary", { name: "What was sent" });
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

test("somebody changes their number, hides it, and wants no more marketing", async () => {
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
  await fetch(`${simulator.url}/control/idle?wait_ms=20000`);
  const kinds = daemon.messages.slice(before).map((message) => message.system?.type).sort();
  assert.deepEqual(kinds, ["user_changed_number", "user_changed_user_id"]);
  await close();
});

test("people and groups side by side, also at a phone's width", async () => {
  for (const [name, options] of [["side-by-side", {}], ["side-by-side-phone", NARROW]]) {
    const { page, complaints, close } = await open({ deviceScaleFactor: 2, viewport: { width: 1720, height: 900 }, ...options });
    const made = await told("groups", { subject: "Harbour Street", members: ["ana", "bram", "kadri"] });
    const { id } = await (await fetch(`${simulator.url}/control/media?filename=quay.jpg`, {
      method: "POST", headers: { "content-type": "image/jpeg" }, body: (await photo(page)).buffer })).json();
    await control("say", { from: "bram", group: made.id, message: { type: "image", image: { id, caption: "Sunset on the quay" } } });
    await control("say", { from: "kadri", group: made.id, text: "Beautiful! Is the feast still on?" });
    await control("say", { from: "ana", text: "Hello" });
    const group = phone(page, "Harbour Street");
    if (options.isMobile) await page.getByRole("navigation").getByRole("button", { name: "Harbour Street" }).click();
    await group.getByRole("img", { name: "Sunset on the quay" }).waitFor();
    await group.getByText("Is the feast still on?").waitFor();
    const box = await group.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= page.viewportSize().width, "nothing sticks out to the side");
    await picture(page, name);
    assert.deepEqual(complaints, []);
    await close();
  }
});

const NARROW = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };

for (const [name, options] of [
  ["desktop-light", { colorScheme: "light" }],
  ["desktop-dark", { colorScheme: "dark" }],
  ["phone-light", { colorScheme: "light", ...NARROW }],
  ["phone-dark", { colorScheme: "dark", ...NARROW }],
]) {
  test(`it looks as it should: ${name}`, async () => {
    const { page, complaints, close } = await open({ deviceScaleFactor: 2, ...options });
    const take = (who) => options.isMobile && page.getByRole("navigation").getByRole("button", { name: who }).click();
    const minutes = (n) => control("clock", { advance_ms: n * 60_000 });
    await take("Bram");
    await write(page, "Bram", "help");
    await phone(page, "Bram").getByText("STOP").waitFor();
    await minutes(2);
    await write(page, "Bram", "Thanks, that is clear 👍");
    await phone(page, "Bram").getByRole("button", { name: "Yes, count me in" }).waitFor();
    await minutes(41);
    await take("Kadri");
    await write(page, "Kadri", "Tere! Kas siin on keegi?");
    await phone(page, "Kadri").getByRole("button", { name: "Yes, count me in" }).waitFor();
    await minutes(3);
    await take("Ana");
    await write(page, "Ana", "Olá! I just moved in at number 12 👋");
    await minutes(1);
    await phone(page, "Ana").getByRole("button", { name: "Yes, count me in" }).click();
    await phone(page, "Ana").getByRole("button", { name: "Choose a topic" }).waitFor();
    await phone(page, "Ana").locator(".theirs .ticks.read").nth(1).waitFor();
    await control("say", { from: "bram", tap: "rules-yes" });
    await control("say", { from: "kadri", text: "Human, please 🙂" });
    await phone(page, "Bram").locator(".ticks.delivered").waitFor({ state: "attached" });
    await phone(page, "Kadri").getByText("is typing").waitFor({ state: "attached" });
    const box = await phone(page, "Ana").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= page.viewportSize().width, "nothing sticks out to the side");
    await picture(page, name);
    await page.getByRole("button", { name: "Controls" }).click();
    await picture(page, `${name}-controls`);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a person" }).click();
    await picture(page, `${name}-newcomer`);
    assert.deepEqual(complaints, []);
    await close();
  });
}
