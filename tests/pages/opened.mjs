// Opens the chat page on a fresh simulator in a browser, and helpers for its tests.

import { join } from "node:path";
import { after, before } from "node:test";
import { community, startDaemon } from "./daemon.mjs";
import { PICTURES, startBrowser, startSimulator } from "./browser.mjs";

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

/** Opens the page of a reset simulator; collects console and network errors. */
export async function open(options = {}) {
  // Wait for the end of the previous test's work.
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
  await page.getByRole("status").getByText("daemon connected").waitFor();
  return { page, complaints, close: () => context.close() };
}

export const control = (path, body) => fetch(`${simulator.url}/control/${path}`, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
});

/** Waits until nothing is in flight. */
export const quiet = () => fetch(`${simulator.url}/control/idle?wait_ms=20000`);

// By label, not by role: at phone width, closed phones have no role.
export const phone = (page, name) => page.locator(`section[aria-label="${name}"]`);

export async function write(page, name, text) {
  const box = phone(page, name).getByRole("textbox");
  await box.fill(text);
  await box.press("Enter");
}

export const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`) });

/** A request to the control API; returns its response. */
export const post = async (path, body) => (await control(path, body)).json();

/** A photo, painted by the browser on a canvas. */
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
