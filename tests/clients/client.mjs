// whatsapp-api-js in front of the real simulator: its client, a callback that its own middleware answers, and hands on the
// control API. Every file of tests has a process and a house of its own, fresh before each test.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach } from "node:test";
import { pathToFileURL } from "node:url";
import { SECRETS } from "../pages/daemon.mjs";
import { startSimulator } from "./simulator.mjs";

export const NUMBER = "106540352242922";
export const ACCOUNT = "102290129340398";
export const ANA = "351910000101";
export const BRAM = "31610000102";
/** Ana's number, as the library wants a recipient. */
export const TO_ANA = { phone: ANA, bsuid: "" };

// The library lies where the test step put it, outside the sources.
const folder = process.env.BEADLE_CLIENTS;
if (!folder) throw new Error("BEADLE_CLIENTS says where the libraries are: run `cargo xtask test clients`");
const library = createRequire(join(folder, "package.json"));
const take = (name) => import(pathToFileURL(library.resolve(name)));
const { WhatsAppAPI } = await take("whatsapp-api-js/middleware/node-http");

/** Its messages' classes. */
export const M = await take("whatsapp-api-js/messages");

/** What there is in one file of tests: `url` of the simulator, `client`, `seen` updates, `answers` to webhooks. */
export const house = { url: "", client: null, seen: [], answers: [] };

let simulator;
let server;

before(async () => {
  server = createServer(async (request, response) => {
    if (request.method === "GET") {
      try {
        response.end(await house.client.handle_get(request));
      } catch {
        response.writeHead(403).end();
      }
      return;
    }
    response.statusCode = await house.client.handle_post(request);
    house.answers.push(response.statusCode);
    response.end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  house.client = new WhatsAppAPI({
    token: SECRETS.accessToken, appSecret: SECRETS.appSecret, webhookVerifyToken: SECRETS.verifyToken, v: "v26.0",
    ponyfill: { fetch: (url, options) => fetch(String(url).replace("https://graph.facebook.com", house.url), options) },
  });
  const keep = (update) => { house.seen.push(update); };
  Object.assign(house.client.on, { message: keep, status: keep, call: { connect: keep, terminate: keep, status: keep } });
  simulator = await startSimulator(`http://127.0.0.1:${server.address().port}/`, ["--clock", "virtual"]);
  house.url = simulator.url;
});

after(async () => {
  await simulator?.stop();
  server?.close();
  server?.closeAllConnections();
});

beforeEach(async () => {
  await control("reset", {});
  while (!(await control("idle")).greeted) await idle();
  await control("say", { from: "ana", text: "hello" });
  await idle();
  house.seen = [];
  house.answers = [];
});

/** Asks the control API; with a body, tells it. */
export async function control(path, body) {
  const answer = await fetch(`${house.url}/control/${path}`, body && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** Waits until every webhook was taken, or waits for its time. */
export const idle = () => control("idle?wait_ms=20000");

/** The newest message that somebody got, as the simulator took it. */
export const last = async (who = "person=ana") => (await control(`messages?${who}&newest=1`)).messages.at(-1);

/** Sends; gives what the simulator took. */
export async function send(message, to = TO_ANA, context) {
  const answer = await house.client.sendMessage(NUMBER, to, message, context);
  assert.equal(answer.error, undefined, JSON.stringify(answer));
  const kept = (await control("messages")).messages.find((kept) => kept.id === answer.messages[0].id);
  assert.ok(kept, "it is kept");
  return kept;
}

/** The code of the platform's "no" to this message. */
export const refused = async (message, to = TO_ANA) => (await house.client.sendMessage(NUMBER, to, message)).error?.code;

/** Does it; the updates that came of it. */
export async function brings(doing) {
  await idle();
  house.seen = [];
  await doing();
  await idle();
  return house.seen;
}

/** Ana says it; the updates that came of it. */
export const say = (what) => brings(() => control("say", { from: "ana", ...what }));

/** Uploads a file of this type; its id. */
export async function put(type, check = true) {
  const form = new FormData();
  form.set("file", new Blob(["bytes"], { type }), "file");
  return (await house.client.uploadMedia(NUMBER, form, check)).id;
}
