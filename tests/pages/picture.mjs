// Takes the README's pictures of the demo: after a minute, and a day later. `node picture.mjs CHAT_PAGE_URL DEMO.png DAY.png`,
// with `cargo xtask demo` running. Not a test.

import { startBrowser } from "./browser.mjs";

const [url, out, later] = process.argv.slice(2);
const post = (path, body) =>
  fetch(new URL(path, url), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
    .then((answer) => answer.json());
const say = (body) => post("/control/say", body);
const sent = (person) =>
  fetch(new URL(`/control/messages?from=business&person=${person}`, url)).then((answer) => answer.json()).then((it) => it.messages);

/** Waits until a person has received this many messages. */
async function until(person, count) {
  for (;;) {
    const messages = await sent(person);
    if (messages.length >= count && messages.every((message) => ["delivered", "read"].includes(message.state))) return messages;
    // tidy: the interval between two checks of a condition in another process
    await new Promise((later) => setTimeout(later, 100));
  }
}

const browser = await startBrowser();
const page = await browser.newPage({ viewport: { width: 1320, height: 860 }, deviceScaleFactor: 1.5 });
await page.goto(url);
await say({ from: "ana", text: "Hello! I just moved in at number 12" });
const [greeting] = await until("ana", 2);
const button = greeting.body.action?.buttons?.[0]?.reply?.id;
await say({ from: "ana", tap: button, on: greeting.id });
await until("ana", 3);
await say({ from: "ana", text: "NEWS" });
await until("ana", 4);
await say({ from: "bram", text: "Who can lend me a ladder?" });
await until("bram", 2);
await say({ from: "kadri", text: "Tere!" });
await until("kadri", 2);
await say({ from: "kadri", text: "STOP" });
await until("kadri", 3);
await page.locator("text=Who can lend me a ladder?").last().waitFor();
await page.evaluate(() => document.fonts.ready);
await page.screenshot({ path: out });
// The evening's update for Ana, who agreed, and for Dana by template; a second question for Bram, who has not tapped.
await post("/control/clock", { advance_ms: 23 * 60 * 60 * 1000 });
await until("dana", 1);
await until("bram", 3);
await page.setViewportSize({ width: 1660, height: 860 });
await page.locator("text=please read").last().waitFor();
await page.locator("text=There is news").last().waitFor();
await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
await page.screenshot({ path: later });
await browser.close();
