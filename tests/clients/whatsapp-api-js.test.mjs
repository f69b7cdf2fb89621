// whatsapp-api-js, a client that others wrote for the real platform, against the simulator: it sends all it can and takes
// what comes. Where the two do not agree, whatsapp.md decides; simulator/README.md has the list.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { SECRETS } from "../pages/daemon.mjs";
import { startSimulator } from "./simulator.mjs";

const NUMBER = "106540352242922";
const ANA = "351910000101";

// The library lies where the test step put it, outside the sources.
const folder = process.env.BEADLE_CLIENTS;
if (!folder) throw new Error("BEADLE_CLIENTS says where the libraries are: run `cargo xtask test clients`");
const library = createRequire(join(folder, "package.json"));
const take = (name) => import(pathToFileURL(library.resolve(name)));
const { WhatsAppAPI } = await take("whatsapp-api-js/middleware/node-http");
const M = await take("whatsapp-api-js/messages");

let simulator;
let server;
let client;
let seen;

before(async () => {
  server = createServer(async (request, response) => {
    if (request.method === "GET") {
      try {
        response.end(await client.handle_get(request));
      } catch {
        response.writeHead(403).end();
      }
      return;
    }
    response.statusCode = await client.handle_post(request);
    response.end();
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  client = new WhatsAppAPI({
    token: SECRETS.accessToken, appSecret: SECRETS.appSecret, webhookVerifyToken: SECRETS.verifyToken, v: "v26.0",
    ponyfill: { fetch: (url, options) => fetch(String(url).replace("https://graph.facebook.com", simulator.url), options) },
  });
  client.on.message = (update) => { seen.push(update); };
  client.on.status = (update) => { seen.push(update); };
  seen = [];
  simulator = await startSimulator(`http://127.0.0.1:${server.address().port}/`, ["--clock", "virtual"]);
});

after(async () => {
  await simulator?.stop();
  server?.close();
  server?.closeAllConnections();
});

const control = async (path, body) => {
  const answer = await fetch(`${simulator.url}/control/${path}`, body && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, path);
  return answer.json();
};
const idle = () => control("idle?wait_ms=20000");
const last = async () => (await control("messages?person=ana&newest=1")).messages.at(-1);

/** Sends; gives what the simulator took. */
async function send(message, to = { phone: ANA, bsuid: "" }, context) {
  const answer = await client.sendMessage(NUMBER, to, message, context);
  assert.equal(answer.error, undefined, JSON.stringify(answer));
  const kept = await last();
  assert.equal(kept.id, answer.messages[0].id);
  return kept;
}

beforeEach(async () => {
  await control("reset", {});
  while (!(await control("idle")).greeted) await idle();
  await control("say", { from: "ana", text: "hello" });
  await idle();
  seen = [];
});

test("it sends every type it has", async () => {
  const { Text, Image, Audio, Document, Sticker, Video, Location, Contacts, Name, Phone, Reaction, Interactive } = M;
  const text = await send(new Text("Hello *there*"));
  assert.equal(text.body.body, "Hello *there*");
  const put = async (type) => {
    const form = new FormData();
    form.set("file", new Blob(["bytes"], { type }), "file");
    return (await client.uploadMedia(NUMBER, form)).id;
  };
  assert.equal((await send(new Image(await put("image/jpeg"), true, "the quay"))).body.caption, "the quay");
  assert.equal((await send(new Audio(await put("audio/ogg"), true, true))).body.voice, true);
  assert.equal((await send(new Document(await put("application/pdf"), true, "read", "a.pdf"))).body.filename, "a.pdf");
  assert.equal((await send(new Sticker(await put("image/webp"), true))).state, "delivered");
  assert.equal((await send(new Video("https://example.org/a.mp4"))).body.link, "https://example.org/a.mp4");
  assert.equal((await send(new Location(4.89, 52.37, "Quay", "Harbour Street"))).body.name, "Quay");
  // 6.3.0 wraps the cards into an object, which the platform's pages do not know.
  const cards = await client.sendMessage(NUMBER, { phone: ANA, bsuid: "" }, new Contacts([new Name("Bram B", "Bram"), new Phone("+31610000102", "WORK")]));
  assert.equal(cards.error.code, 131008);
  await send(new Reaction(text.id, "🎉"));
  assert.equal((await control("messages?person=ana")).messages[0].reactions[0].emoji, "🎉");
  const { Body, Header, Footer, ActionButtons, Button, ActionList, ListSection, Row, ActionCTA } = M;
  const buttons = new ActionButtons(new Button("y", "Yes"), new Button("n", "No"));
  assert.equal((await send(new Interactive(buttons, new Body("Yes?"), new Header("Hm"), new Footer("ok")))).body.type, "button");
  const list = new ActionList("Topics", new ListSection("Street", new Row("lifts", "Lifts", "who drives")));
  assert.equal((await send(new Interactive(list, new Body("Choose")))).body.type, "list");
  assert.equal((await send(new Interactive(new ActionCTA("Open", "https://example.org"), new Body("Look")))).body.type, "cta_url");
  const { ActionLocation, ActionContactRequest, ActionNavigateFlow, ActionCatalog, ActionProduct, ActionProductList, Product, CatalogProduct, ProductSection } = M;
  assert.equal((await send(new Interactive(new ActionLocation(), new Body("Where?")))).body.type, "location_request_message");
  assert.equal((await send(new Interactive(new ActionContactRequest(), new Body("Who?")))).body.type, "request_contact_info");
  const flow = new ActionNavigateFlow("token", "1", "Start", "FIRST");
  assert.equal((await send(new Interactive(flow, new Body("Flow")))).body.type, "flow");
  assert.equal((await send(new Interactive(new ActionCatalog(new Product("1")), new Body("All")))).body.type, "catalog_message");
  assert.equal((await send(new Interactive(new ActionProduct(new CatalogProduct("1", "7")), new Body("One")))).body.type, "product");
  const products = new ActionProductList("7", new ProductSection("Tools", new Product("1")));
  assert.equal((await send(new Interactive(products, new Body("Some"), new Header("Tools")))).body.type, "product_list");
  const { Template, BodyComponent, BodyParameter } = M;
  assert.equal((await send(new Template("any", "en", new BodyComponent(new BodyParameter("Ana"))))).type, "template");
  assert.ok((await send(new Text("again"), undefined, text.id)).context);
});

test("files go up, come down and are deleted", async () => {
  const form = new FormData();
  form.set("file", new Blob(["not really a picture"], { type: "image/png" }), "a.png");
  const { id } = await client.uploadMedia(NUMBER, form);
  const { url, mime_type: mime } = await client.retrieveMedia(id, NUMBER);
  assert.equal(mime, "image/png");
  assert.equal(await (await client.fetchMedia(url)).text(), "not really a picture");
  assert.deepEqual(await client.deleteMedia(id), { success: true });
  assert.equal((await client.retrieveMedia(id)).error.code, 33);
});

test("what comes in is understood and answered", async () => {
  const { Text, Interactive, ActionButtons, Button, Body } = M;
  await control("say", { from: "ana", text: "Olá 👋 https://example.org/a" });
  await idle();
  const [{ message, contact, reply, received }] = seen;
  assert.deepEqual([message.text.body, contact.profile.name, contact.wa_id], ["Olá 👋 https://example.org/a", "Ana", ANA]);
  await reply(new Text("hello Ana"), true);
  assert.equal((await last()).context, message.id);
  assert.deepEqual(await received("text"), { success: true });
  await idle();
  seen = [];
  await send(new Interactive(new ActionButtons(new Button("y", "Yes")), new Body("Yes?")));
  await idle();
  assert.deepEqual(seen.map((update) => update.status), ["sent", "delivered"]);
  seen = [];
  await control("say", { from: "ana", tap: "y" });
  await idle();
  assert.equal(seen[0].message.interactive.button_reply.id, "y");
  const file = await (await fetch(`${simulator.url}/control/media`, { method: "POST", headers: { "content-type": "image/jpeg" }, body: "photo" })).json();
  await control("say", { from: "ana", message: { type: "image", image: { id: file.id } } });
  await idle();
  const { image } = seen.at(-1).message;
  assert.equal(await (await client.fetchMedia(image.url)).text(), "photo");
});

test("people without a number, and groups", async () => {
  const { Text } = M;
  const mia = await control("people", { name: "Mia", hidden: true });
  await control("say", { from: "mia", text: "guess who" });
  await idle();
  assert.deepEqual([seen[0].contact.wa_id, seen[0].contact.user_id], [undefined, mia.user_id]);
  await seen[0].reply(new Text("hello Mia"));
  assert.equal((await control("messages?person=mia&newest=1")).messages[0].body.body, "hello Mia");
  const group = await control("groups", { subject: "Street", members: ["ana", "mia"] });
  seen = [];
  await control("say", { from: "ana", group: group.id, text: "hello all" });
  await idle();
  const said = seen.find((update) => update.message);
  assert.equal(said.recipient.group, group.id);
  await said.reply(new Text("welcome"));
  const kept = (await control(`messages?group=${group.id}`)).messages;
  assert.deepEqual(kept.map((message) => message.body.body), ["welcome"]);
});

test("errors are the platform's, and calls without a version are not taken", async () => {
  const answer = await client.sendMessage(NUMBER, { phone: "31610000102", bsuid: "" }, new M.Text("we never spoke"));
  assert.equal(answer.error.code, 131047);
  // It blocks people at an address without a version; whatsapp.md knows none.
  assert.equal((await client.blockUser(NUMBER, { phone: ANA, bsuid: "" })).error.code, 100);
});
