// The form for consent of a real daemon, at a simulator, in a real browser: what a person sees and does, on a phone, in two
// languages, and without a script.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { PICTURES, program, startBrowser, startSimulator } from "./browser.mjs";
import { SECRETS } from "./daemon.mjs";

const ACCOUNT = "102290129340398";
let daemon;
let simulator;
let browser;

/** A free port of this machine. */
const freePort = () => new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

const configuration = (port) => `
[daemon]
data_dir = "data"
plugin_dirs = ["plugins"]
[http]
listen = "127.0.0.1:${port}"
behind_proxy = true
[admin]
listen = "off"
socket = "beadle.sock"
[keywords]
brand = "De Buurt"
[consents.wordings.news]
purpose = "marketing:news"
version = 1
word = "NEWS"
template = "confirm_news"
[consents.wordings.news.text]
en = "De Buurt may send me news and offers by WhatsApp, about once a week."
nl = "De Buurt mag mij ongeveer één keer per week nieuws en aanbiedingen sturen via WhatsApp."
[consents.form]
wordings = ["news"]
url = "http://127.0.0.1:${port}"
privacy_url = "https://buurt.example/privacy"
[apps.main]
kind = "whatsapp-cloud"
graph_url = "${simulator.url}"
access_token = { env = "PAGE_TOKEN" }
app_secret = { env = "PAGE_SECRET" }
verify_token = { env = "PAGE_VERIFY" }
[channels.street]
app = "main"
phone_number_id = "106540352242922"
business_account_id = "${ACCOUNT}"
`;

/** Starts the daemon; returns when it is ready. */
async function start(port) {
  const folder = mkdtempSync(join(tmpdir(), "beadle-form-"));
  mkdirSync(join(folder, "plugins"));
  writeFileSync(join(folder, "beadle.toml"), configuration(port));
  const child = spawn(program("beadle", "BEADLE"), ["run", "--config", "beadle.toml"], {
    cwd: folder,
    env: { ...process.env, PAGE_TOKEN: SECRETS.accessToken, PAGE_SECRET: SECRETS.appSecret, PAGE_VERIFY: SECRETS.verifyToken },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await new Promise((ready, lost) => {
    child.once("exit", (code) => lost(new Error(`the daemon ended with ${code}`)));
    createInterface({ input: child.stderr }).on("line", (line) => / ready$/.test(line) && ready());
  });
  return { folder, url: `http://127.0.0.1:${port}`, stop: () => new Promise((ended) => { child.once("exit", ended); child.kill("SIGTERM"); }) };
}

const post = async (path, body, headers = {}) => {
  const response = await fetch(`${simulator.url}${path}`, {
    method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  assert.ok(response.ok, `${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
};

before(async () => {
  const port = await freePort();
  simulator = await startSimulator(`http://127.0.0.1:${port}/webhooks/main`);
  await post("/control/faults", { template_review_ms: 0 });
  const buttons = { type: "BUTTONS", buttons: ["Ja", "Nee"].map((text) => ({ type: "QUICK_REPLY", text })) };
  for (const [language, text] of [["en", "Do you agree?"], ["nl", "Ga je akkoord?"]]) {
    await post(`/v26.0/${ACCOUNT}/message_templates`,
      { name: "confirm_news", language, category: "UTILITY", components: [{ type: "BODY", text }, buttons] },
      { authorization: `Bearer ${SECRETS.accessToken}` });
  }
  daemon = await start(port);
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await daemon?.stop();
  await simulator?.stop();
});

const PHONE = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

/** Opens the form, without scripts; collects errors and requests to anywhere else. */
async function open(options, query = "") {
  const context = await browser.newContext({ javaScriptEnabled: false, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
  page.on("request", (request) => request.url().startsWith(daemon.url) || complaints.push(`fetches ${request.url()}`));
  await page.goto(`${daemon.url}/opt-in/news${query}`);
  return { page, complaints, close: () => context.close() };
}

const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });

async function people() {
  return (await (await fetch(`${simulator.url}/control/people`)).json()).people;
}

/** The messages of the business to a person, once there are some. */
async function received(person) {
  for (;;) {
    const { messages } = await (await fetch(`${simulator.url}/control/messages?from=business&person=${person}`)).json();
    if (messages.length > 0) return messages;
    // tidy: the interval between two checks of a condition in another process
    await new Promise((later) => setTimeout(later, 100));
  }
}

test("a person fills in the form on a phone, in Dutch, and is asked in the chat", async () => {
  const { page, complaints, close } = await open({ ...PHONE, locale: "nl-NL" });
  await page.getByRole("heading", { name: "Berichten van De Buurt via WhatsApp" }).waitFor();
  const box = page.getByRole("checkbox", { name: "De Buurt mag mij ongeveer één keer per week" });
  assert.equal(await box.isChecked(), false);
  const { number, id } = (await people()).find((person) => person.name === "Ana");
  await picture(page, "opt-in-phone");
  await page.getByLabel("Je WhatsApp-nummer, met landcode").fill(`+${number.replace(/^\+/, "")}`);
  await box.check();
  await page.getByRole("button", { name: "Versturen" }).click();
  await page.getByRole("heading", { name: "Kijk in WhatsApp" }).waitFor();
  await picture(page, "opt-in-phone-done");
  const [question] = await received(id);
  assert.equal(question.body.name, "confirm_news");
  assert.equal(question.body.language.code, "nl");
  assert.deepEqual(complaints, []);
  await close();
});

test("the browser itself asks for the box and the number", async () => {
  const { page, close } = await open({ locale: "en-GB" });
  await page.getByLabel("Your WhatsApp number, with country code").fill("+31612345678");
  await page.getByRole("button", { name: "Send" }).click();
  assert.equal(await page.locator("input:invalid").count(), 1);
  assert.match(page.url(), /\/opt-in\/news$/);
  await close();
});

for (const [name, options] of [
  ["opt-in-light", { colorScheme: "light" }],
  ["opt-in-dark", { colorScheme: "dark", ...PHONE }],
  ["opt-in-narrow", { viewport: { width: 280, height: 600 } }],
]) {
  test(`an error is shown with what was typed, and nothing overflows: ${name}`, async () => {
    const { page, complaints, close } = await open({ locale: "en-GB", ...options });
    await page.getByLabel("Your WhatsApp number, with country code").fill("06 12345678");
    await page.getByRole("checkbox").check();
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("alert").getByText("with + and the country code").waitFor();
    assert.equal(await page.getByLabel("Your WhatsApp number, with country code").inputValue(), "06 12345678");
    const body = await page.locator("main").boundingBox();
    assert.ok(body.x >= 0 && body.x + body.width <= page.viewportSize().width, "nothing sticks out to the side");
    await picture(page, name);
    // The answer with the form again is an error by its status, which the browser reports.
    assert.deepEqual(complaints.filter((line) => !line.includes("422")), []);
    await close();
  });
}

test("the other language is a link", async () => {
  const { page, complaints, close } = await open({ locale: "de-DE" });
  await page.getByRole("heading", { name: "Messages from De Buurt on WhatsApp" }).waitFor();
  await page.getByRole("link", { name: "Nederlands" }).click();
  await page.getByRole("button", { name: "Versturen" }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("a page of another site cannot send the form", async () => {
  const { page, close } = await open({ locale: "en-GB" });
  const token = await page.locator("input[name=token]").getAttribute("value");
  const { number } = (await people()).find((person) => person.name === "Bram");
  const fields = { token, language: "en", version: "1", agree: "yes", number: `+${number.replace(/^\+/, "")}` };
  const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`).join("");
  // Another host name is another site, also on the same machine.
  const evil = createServer((socket) => {
    const html = `<form method="post" action="${daemon.url}/opt-in/news">${inputs}<button>Win a prize</button></form>`;
    socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${Buffer.byteLength(html)}\r\nConnection: close\r\n\r\n${html}`);
  });
  await new Promise((ready) => evil.listen(0, "127.0.0.1", ready));
  await page.goto(`http://localhost:${evil.address().port}/`);
  const [response] = await Promise.all([page.waitForResponse(`${daemon.url}/opt-in/news`), page.getByRole("button").click()]);
  assert.equal(response.status(), 403);
  await page.getByText("This form must be sent from its own page.").waitFor();
  evil.close();
  await close();
});

/** What a decoder that is not ours reads in a picture: as it is, small, and askew on a grey wall. */
const decode = (page, picture) => page.evaluate(async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  return [[1, 0], [0.4, 0], [0.6, 0.15]].map(([scale, angle]) => {
    const side = Math.round(Math.max(image.width, image.height) * scale * 1.3);
    const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
    const drawing = canvas.getContext("2d");
    drawing.fillStyle = "#bbb";
    drawing.fillRect(0, 0, side, side);
    drawing.translate(side / 2, side / 2);
    drawing.rotate(angle);
    drawing.scale(scale, scale);
    drawing.drawImage(image, -image.width / 2, -image.height / 2);
    return window.jsQR(drawing.getImageData(0, 0, side, side).data, side, side)?.data;
  });
}, picture);

test("a decoder reads the links in the QR codes", async () => {
  const page = await browser.newPage();
  await page.addScriptTag({ path: createRequire(import.meta.url).resolve("jsqr") });
  for (const more of [[], ["--form"]]) {
    for (const [format, type] of [["png", "image/png"], ["svg", "image/svg+xml"]]) {
      const file = join(daemon.folder, `link.${format}`);
      const words = ["--socket", join(daemon.folder, "beadle.sock"), "consents", "link", "news", "--qr", file, ...more];
      const printed = execFileSync(program("beadle", "BEADLE"), words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      const read = await decode(page, `data:${type};base64,${readFileSync(file).toString("base64")}`);
      assert.equal(new Set(read).size, 1, `${format}: ${read}`);
      assert.match(read[0], more.length ? /\/opt-in\/news$/ : /^https:\/\/wa\.me\/\d+\?text=NEWS$/);
      assert.ok(printed.includes(read[0]), `${read[0]} is not in\n${printed}`);
    }
  }
  await page.close();
});
