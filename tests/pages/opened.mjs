// The chat page, opened on a fresh simulator in a real browser, and what every test of it does there.

import { join } from "node:path";
import { after, before } from "node:test";
import { community, startDaemon } from "./daemon.mjs";
import { PICTURES, startBrowser, startSimulator } from "./house.mjs";

export let daemon;
export let simulator;
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
export async function open(options = {}) {
  // What the test before set off has ended: nothing of it arrives in this one.
  await quiet();
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

export const control = (path, body) => fetch(`${simulator.url}/control/${path}`, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
});

/** Nothing is on its way any more. */
export const quiet = () => fetch(`${simulator.url}/control/idle?wait_ms=20000`);

// By label and not by role: at phone width those that are not in hand have no role, and are looked at all the same.
export const phone = (page, name) => page.locator(`section[aria-label="${name}"]`);

export async function write(page, name, text) {
  const box = phone(page, name).getByRole("textbox");
  await box.fill(text);
  await box.press("Enter");
}

export const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

/** Tells the control API; gives what it answers. */
export const told = async (path, body) => (await control(path, body)).json();

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

export const photo = async (page) => ({ name: "quay.jpg", mimeType: "image/jpeg", buffer: Buffer.from(await paint(page)) });
