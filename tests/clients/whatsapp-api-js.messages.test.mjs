// Messages that whatsapp-api-js sends: every type and action; README.md lists them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ANA, BRAM, M, NUMBER, TO_ANA, control, fixture, last, put, refused, send } from "./client.mjs";

test("texts reach numbers and user ids", async () => {
  const { Text } = M;
  const text = await send(new Text("Hello *there*", true));
  assert.deepEqual(text.body, { body: "Hello *there*", preview_url: true });
  assert.equal((await send(new Text("again"), undefined, text.id)).context, text.id);
  const { user_id: bsuid } = await control("people/ana");
  assert.equal((await send(new Text("by user id"), { bsuid })).person, "ana");
  const sent = [];
  fixture.client.on.sent = ({ id, type, to }) => sent.push({ id, type, to });
  const answer = await fixture.client.sendMessage(NUMBER, TO_ANA, new Text("tracked"), undefined, "msg_1");
  assert.deepEqual(sent, [{ id: answer.messages[0].id, type: "text", to: ANA }]);
  fixture.client.on.sent = undefined;
  assert.equal((await last()).callback_data, "msg_1");
  assert.equal(await refused(new Text("we never spoke"), { phone: BRAM, bsuid: "" }), 131047);
});

test("one message is sent to several recipients", async () => {
  const { user_id: bsuid } = await control("people/ana");
  const answers = await Promise.all(fixture.client.broadcastMessage(NUMBER, [TO_ANA, { bsuid }], new M.Text("all of you"), 2, 0));
  assert.deepEqual(answers.map((answer) => answer.messages.length), [1, 1]);
  const made = fixture.client.broadcastMessage(NUMBER, ["Ana"], (name) => [TO_ANA, new M.Text(`hello ${name}`)], 1, 0);
  await Promise.all(made);
  assert.equal((await last()).body.body, "hello Ana");
});

test("media of every kind are accepted by id and by link", async () => {
  const { Image, Audio, Document, Sticker, Video } = M;
  for (const [File, type, kind, more] of [
    [Image, "image/jpeg", "image", ["the quay"]], [Audio, "audio/mpeg", "audio", []], [Audio, "audio/ogg", "audio", [true]],
    [Document, "application/pdf", "document", ["read", "a.pdf"]], [Sticker, "image/webp", "sticker", []], [Video, "video/mp4", "video", ["look"]],
  ]) {
    const kept = await send(new File(await put(type), true, ...more));
    assert.deepEqual([kept.type, kept.state], [kind, "delivered"]);
    assert.equal((await send(new File(`https://example.org/${kind}`, false, ...more))).body.link, `https://example.org/${kind}`);
  }
});

test("locations and reactions are accepted, contacts as a string are refused", async () => {
  const { Text, Location, Reaction, Contacts, Name, Phone, Address, Birthday, Email, Organization, Url } = M;
  assert.deepEqual((await send(new Location(4.89, 52.37, "Quay", "Harbour Street"))).body,
    { longitude: 4.89, latitude: 52.37, name: "Quay", address: "Harbour Street" });
  const text = await send(new Text("hello"));
  await send(new Reaction(text.id, "🎉"));
  const reactions = async () => (await control("messages?person=ana")).messages.find((kept) => kept.id === text.id).reactions;
  assert.equal((await reactions())[0].emoji, "🎉");
  await send(new Reaction(text.id));
  assert.deepEqual(await reactions(), []);
  // 6.3.0 sends contacts as a string of JSON.
  const card = [new Name("Bram B", "Bram"), new Phone("+31610000102", "WORK", BRAM), new Address("Estonia", "EE"), new Birthday("2000", "01", "31"),
    new Email("b@example.org", "HOME"), new Organization("Harbour"), new Url("https://example.org", "WORK")];
  assert.equal(await refused(new Contacts(card)), 131008);
});

test("buttons and lists are accepted", async () => {
  const { Interactive, Body, Header, Footer, ActionButtons, Button, ActionList, ListSection, Row, Image, Video, Document } = M;
  const buttons = new ActionButtons(new Button("y", "Yes"), new Button("n", "No"));
  const kept = await send(new Interactive(buttons, new Body("Yes?"), new Header("Hm"), new Footer("ok")));
  assert.deepEqual([kept.body.type, kept.body.header.text, kept.body.footer.text], ["button", "Hm", "ok"]);
  for (const [File, type, kind] of [[Image, "image/jpeg", "image"], [Video, "video/mp4", "video"], [Document, "application/pdf", "document"]]) {
    const header = new Header(new File(await put(type), true));
    assert.equal((await send(new Interactive(buttons, new Body("Look"), header))).body.header.type, kind);
  }
  const sections = [new ListSection("Street", new Row("lifts", "Lifts", "who drives")), new ListSection("House", new Row("heat", "Heat"))];
  assert.equal((await send(new Interactive(new ActionList("Topics", ...sections), new Body("Choose"), new Header("Hm"), new Footer("ok")))).body.type, "list");
  const rows = (prefix) => Array.from({ length: 6 }, (_, n) => new Row(`${prefix}${n}`, `Row ${n}`));
  const many = new ActionList("Topics", new ListSection("A", ...rows("a")), new ListSection("B", ...rows("b")));
  assert.equal(await refused(new Interactive(many, new Body("Choose"))), 131009);
});

test("links, flows, requests and products are accepted", async () => {
  const { Interactive, Body, Header, ActionCTA, ActionLocation, ActionContactRequest, ActionCallPermission } = M;
  const { ActionFlow, ActionNavigateFlow, ActionDataExchangeFlow, ActionCatalog, ActionProduct, ActionProductList } = M;
  const { Product, CatalogProduct, ProductSection } = M;
  for (const [action, type, header] of [
    [new ActionCTA("Open", "https://example.org"), "cta_url"], [new ActionLocation(), "location_request_message"],
    [new ActionContactRequest(), "request_contact_info"],
    [new ActionNavigateFlow("token", "1", "Start", "FIRST", { name: "Ana" }), "flow"],
    [new ActionDataExchangeFlow("token", "1", "Start", "draft"), "flow"],
    [new ActionFlow({ flow_name: "survey", flow_token: "t", flow_cta: "Start", flow_action: "data_exchange", mode: "draft" }), "flow"],
    [new ActionCatalog(new Product("1")), "catalog_message"], [new ActionProduct(new CatalogProduct("1", "7")), "product"],
    [new ActionProductList("7", new ProductSection("Tools", new Product("1"))), "product_list", new Header("Tools")],
  ]) {
    assert.equal((await send(new Interactive(action, new Body("Look"), header))).body.type, type);
  }
  // Meta documents the reply, not the request.
  assert.equal(await refused(new Interactive(new ActionCallPermission(), new Body("May we?"))), 131009);
});
