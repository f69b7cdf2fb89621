// Starts the simulator and a browser; takes screenshots.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { SECRETS } from "./daemon.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** The folder of screenshots: BEADLE_PICTURES, else a temporary one. */
export const PICTURES = process.env.BEADLE_PICTURES ?? mkdtempSync(join(tmpdir(), "beadle-pages-"));
mkdirSync(PICTURES, { recursive: true });

/** The path of a program of this repository; the variable of this name overrides it. */
export function program(name, variable) {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const path = process.env[variable] ?? join(target, "debug", name);
  if (!existsSync(path)) throw new Error(`${path} is not there: cargo build -p ${name}`);
  return path;
}

/** Starts the simulator; returns its process and address. */
export async function startSimulator(callback, more = []) {
  const child = spawn(program("beadle-simulator", "BEADLE_SIMULATOR"), ["--listen", "127.0.0.1:0", "--callback", callback, ...more], {
    env: {
      ...process.env,
      BEADLE_SIMULATOR_APP_SECRET: SECRETS.appSecret,
      BEADLE_SIMULATOR_VERIFY_TOKEN: SECRETS.verifyToken,
      BEADLE_SIMULATOR_ACCESS_TOKEN: SECRETS.accessToken,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((found, lost) => {
    child.once("exit", (code) => lost(new Error(`the simulator ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = /^listening (http:\S+)$/.exec(line)?.[1];
      if (address) found(address);
    });
  });
  const stop = () => new Promise((ended) => { child.once("exit", ended); child.kill("SIGKILL"); });
  return { url, stop };
}

function browserPath() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (!found) throw new Error("there is no Chromium on the PATH");
  return found;
}

export const startBrowser = () => chromium.launch({
  executablePath: browserPath(),
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
