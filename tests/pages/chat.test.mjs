// The chat page as people use it: write, tap, choose, react, quote; see the ticks; by day, by night, on a phone.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { community, startDaemon } from "./daemon.mjs";
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
  await page.getByLabel("Name").fill("Marta");
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
  await drawer.getByRole("button", { name: "+1 day" }).click();
  await phone(page, "Ana").getByText("closed").waitFor();
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
