// The real simulator's process, for the clients that are written in JavaScript. Not `tests/pages/house.mjs`: that wants a
// browser's driver, which is not here.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { SECRETS } from "../pages/daemon.mjs";

/** Its address, and its end. */
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
