// The simulator for tests of whatsapp-api-js: its client, a callback answered by its middleware, and the control API. Each
// file of tests has a simulator of its own that is reset before each test.

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
/** Ana as a recipient. */
export const TO_ANA = { phone: ANA, bsuid: "" };

// The library is installed outside the sources, by the test stage.
const folder = process.env.BEADLE_CLIENTS;
if (!folder) throw new Error("BEADLE_CLIENTS must name the folder of the libraries: run `cargo xtask test clients`");
const library = createRequire(join(folder, "package.json"));
const take = (name) => import(pathToFileURL(library.resolve(name)));
const { WhatsAppAPI } = await take("whatsapp-api-js/middleware/node-http");

/** The classes of messages. */
export const M = await take("whatsapp-api-js/messages");

/** `url` of the simulator, `client`, received updates (`seen`), statuses of webhook responses (`answers`). */
export const fixture = { url: "", client: null, seen: [], answers: [] };

let simulator;
let server;

before(async () => {
  server = createServer(async (request, response) => {
    if (request.method === "GET") {
      try {
        response.end(await fixture.client.handle_get(request));
      } catch {
        response.writeHead(403).end();
      }
      return;
    }
    response.statusCode = await fixture.client.handle_post(request);
    fixture.answers.push(response.statusCode);
    response.end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  fixture.client = new WhatsAppAPI({
    token: SECRETS.accessToken, appSecret: SECRETS.appSecret, webhookVerifyToken: SECRETS.verifyToken, v: "v26.0",
    ponyfill: { fetch: (url, options) => fetch(String(url).replace("https://graph.facebook.com", fixture.url), options) },
  });
  const keep = (update) => { fixture.seen.push(update); };
  Object.assign(fixture.client.on, { message: keep, status: keep, call: { connect: keep, terminate: keep, status: keep } });
  simulator = await startSimulator(`http://127.0.0.1:${server.address().port}/`, ["--clock", "virtual"]);
  fixture.url = simulator.url;
});

after(async () => {
  await simulator?.stop();
  server?.close();
  server?.closeAllConnections();
});

beforeEach(async () => {
  await control("reset", {});
  while (!(await control("idle")).handshake_done) await idle();
  await control("say", { from: "ana", text: "hello" });
  await idle();
  fixture.seen = [];
  fixture.answers = [];
});

/** A request to the control API: GET, or POST with a body. */
export async function control(path, body) {
  const answer = await fetch(`${fixture.url}/control/${path}`, body && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** Waits until every webhook is delivered or waits for virtual time. */
export const idle = () => control("idle?wait_ms=20000");

/** The latest message to a person, as the simulator received it. */
export const last = async (who = "person=ana") => (await control(`messages?${who}&newest=1`)).messages.at(-1);

/** Sends a message; returns it as the simulator received it. */
export async function send(message, to = TO_ANA, context) {
  const answer = await fixture.client.sendMessage(NUMBER, to, message, context);
  assert.equal(answer.error, undefined, JSON.stringify(answer));
  const kept = (await control("messages")).messages.find((kept) => kept.id === answer.messages[0].id);
  assert.ok(kept, "the simulator has the message");
  return kept;
}

/** The error code for this message. */
export const refused = async (message, to = TO_ANA) => (await fixture.client.sendMessage(NUMBER, to, message)).error?.code;

/** Runs an action; returns the updates that it caused. */
export async function updatesOf(action) {
  await idle();
  fixture.seen = [];
  await action();
  await idle();
  return fixture.seen;
}

/** Ana sends a message; returns the updates that it caused. */
export const say = (what) => updatesOf(() => control("say", { from: "ana", ...what }));

/** Uploads a file of this type; returns its id. */
export async function put(type, check = true) {
  const form = new FormData();
  form.set("file", new Blob(["bytes"], { type }), "file");
  return (await fixture.client.uploadMedia(NUMBER, form, check)).id;
}
