// The simulator's process for clients in JavaScript. Not `tests/pages/browser.mjs`, which needs a browser's driver.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { SECRETS } from "../pages/daemon.mjs";

/** Starts it; returns its URL and a function that stops it. */
export async function startSimulator(callback, more = []) {
  const child = spawn(process.env.BEADLE_SIMULATOR, ["--listen", "127.0.0.1:0", "--callback", callback, ...more], {
    env: {
      ...process.env,
      RUST_LOG: "warn",
      BEADLE_SIMULATOR_APP_SECRET: SECRETS.appSecret,
      BEADLE_SIMULATOR_VERIFY_TOKEN: SECRETS.verifyToken,
      BEADLE_SIMULATOR_ACCESS_TOKEN: SECRETS.accessToken,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the simulator exited with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = /^listening (http:\S+)$/.exec(line)?.[1];
      if (address) resolve(address);
    });
  });
  const stop = () => new Promise((ended) => { child.once("exit", ended); child.kill("SIGKILL"); });
  return { url, stop };
}
