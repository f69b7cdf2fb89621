// Webhooks as whatsapp-api-js understands them, and calls other than messages; README.md lists them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ANA, M, NUMBER, TO_ANA, updatesOf, control, fixture, idle, last, say, send } from "./client.mjs";

const { Text } = M;

test("messages of every type are understood", async () => {
  const file = await (await fetch(`${fixture.url}/control/media`, { method: "POST", headers: { "content-type": "image/jpeg" }, body: "photo" })).json();
  const error = { code: 131051, title: "Message type unknown", message: "Message type unknown", error_data: { details: "no" } };
  const context = { from: "15550783881", id: "wamid.x" };
  for (const message of [
    { type: "text", text: { body: "Olá 👋 https://example.org/a" } }, { type: "image", image: { id: file.id, caption: "the quay" } },
    { type: "video", video: { id: "1", mime_type: "video/mp4" } }, { type: "audio", audio: { id: "1", voice: true } },
    { type: "document", document: { id: "1", filename: "a.pdf" } }, { type: "sticker", sticker: { id: "1", animated: false } },
    { type: "location", location: { latitude: 52.3, longitude: 4.8 } }, { type: "contacts", contacts: [{ name: { formatted_name: "Bram" } }] },
    { type: "order", order: { catalog_id: "7", product_items: [{ product_retailer_id: "s", quantity: 1, item_price: 2, currency: "EUR" }] } },
    { type: "unsupported", unsupported: { type: "poll" }, errors: [error] },
    { type: "interactive", context, interactive: { type: "nfm_reply", nfm_reply: { name: "flow", body: "Sent", response_json: "{}" } } },
    { type: "interactive", context, interactive: { type: "call_permission_reply", call_permission_reply: { response: "accept" } } },
    { type: "edit", edit: { original_message_id: "wamid.x", message: { type: "text", text: { body: "hello" } } } },
    { type: "revoke", revoke: { original_message_id: "wamid.x" } },
    { type: "system", system: { type: "user_changed_number", body: "User Ana changed", wa_id: ANA } },
    { type: "system", system: { type: "user_identity_changed", body: "User Ana changed", wa_id: ANA } },
    { type: "interactive", errors: [error] },
    { type: "text", text: { body: "by an ad" }, referral: { source_url: "https://fb.me/x", source_type: "ad", ctwa_clid: "Aff" } },
    { type: "text", text: { body: "forwarded" }, context: { forwarded: true } },
  ]) {
    const [update, ...more] = await say({ message });
    assert.deepEqual([update.message.type, update.from, update.phoneID, more.length], [message.type, ANA, NUMBER, 0]);
    const came = update.message[message.type];
    for (const [key, value] of Object.entries(message[message.type] ?? {})) assert.deepEqual(came[key], value);
    assert.deepEqual(update.message.referral, message.referral);
  }
});

test("a message is answered and marked as read, its file fetched", async () => {
  const [{ message, contact, reply, received }] = await say({ text: "hello" });
  assert.deepEqual([contact.profile.name, contact.wa_id], ["Ana", ANA]);
  await reply(new Text("hello Ana"), true, "mine");
  assert.deepEqual([(await last()).context, (await last()).callback_data], [message.id, "mine"]);
  assert.deepEqual(await received("text"), { success: true });
  assert.equal((await control("messages")).counts.typing, 1);
  assert.deepEqual(await fixture.client.markAsRead(NUMBER, message.id), { success: true });
  const file = await (await fetch(`${fixture.url}/control/media`, { method: "POST", headers: { "content-type": "image/jpeg" }, body: "photo" })).json();
  const [{ message: { image } }] = await say({ message: { type: "image", image: { id: file.id } } });
  assert.equal(await (await fixture.client.fetchMedia(image.url)).text(), "photo");
});

test("taps, reactions and quotes are understood", async () => {
  const { Interactive, ActionButtons, ActionList, ListSection, Row, Button, Body } = M;
  await send(new Interactive(new ActionButtons(new Button("y", "Yes")), new Body("Yes?")));
  assert.deepEqual((await say({ tap: "y" }))[0].message.interactive.button_reply, { id: "y", title: "Yes" });
  const list = await send(new Interactive(new ActionList("Topics", new ListSection("", new Row("lifts", "Lifts", "who"))), new Body("Choose")));
  const [{ message }] = await say({ tap: "lifts" });
  assert.deepEqual([message.interactive.list_reply, message.context.id], [{ id: "lifts", title: "Lifts", description: "who" }, list.id]);
  assert.deepEqual((await say({ reaction: "👍", on: list.id }))[0].message.reaction, { message_id: list.id, emoji: "👍" });
  assert.deepEqual((await say({ reaction: "", on: list.id }))[0].message.reaction, { message_id: list.id });
  assert.equal((await say({ text: "about that", on: list.id }))[0].message.context.id, list.id);
});

test("receipts with prices and failures are understood", async () => {
  const sent = await send(new Text("hello"));
  await control("read", { from: "ana" });
  await idle();
  assert.deepEqual(fixture.seen.map(({ status, id, contact }) => [status, id, contact.wa_id]), ["sent", "delivered", "read"].map((state) => [state, sent.id, ANA]));
  assert.equal(fixture.seen[0].pricing.category, "service");
  await control("faults", { send_async_failure: { next: 1, code: 131026 } });
  const failures = await updatesOf(() => send(new Text("never arrives")));
  assert.deepEqual(failures.map(({ status, error }) => [status, error.code]), [["failed", 131026]]);
});

test("people without a number and their changes are understood", async () => {
  const mia = await control("people", { name: "Mia", hidden: true });
  const [{ contact, reply }] = await say({ from: "mia", text: "guess who" });
  assert.deepEqual([contact.wa_id, contact.user_id], [undefined, mia.user_id]);
  await reply(new Text("hello Mia"));
  assert.equal((await last("person=mia")).body.body, "hello Mia");
  const changes = await updatesOf(() => control("people/mia", { user_id: "PT.1234567890123" }));
  assert.deepEqual(changes.map(({ message }) => [message.system.type, message.system.user_id]), [["user_changed_user_id", "PT.1234567890123"]]);
});

test("group messages are exchanged", async () => {
  const group = await control("groups", { subject: "Street", members: ["ana", "bram"] });
  const [said] = await say({ group: group.id, text: "hello all" });
  assert.equal(said.recipient.group, group.id);
  const receipts = await updatesOf(() => said.reply(new Text("welcome")));
  const kept = (await control(`messages?group=${group.id}`)).messages;
  assert.deepEqual(kept.map((message) => message.body.body), ["welcome"]);
  assert.deepEqual(receipts.map(({ status, type }) => [status, type]), [["sent", "group"], ["delivered", "group"]]);
  // It reports the first person of a receipt; the others are in the raw update.
  const statuses = receipts[1].raw.entry[0].changes[0].value.statuses;
  assert.equal(statuses.length, 2);
});

test("files can be uploaded, downloaded and deleted", async () => {
  const form = new FormData();
  form.set("file", new Blob(["not really a picture"], { type: "image/png" }), "a.png");
  const { id } = await fixture.client.uploadMedia(NUMBER, form);
  const { url, mime_type: mime } = await fixture.client.retrieveMedia(id, NUMBER);
  assert.equal(mime, "image/png");
  assert.equal(await (await fixture.client.fetchMedia(url)).text(), "not really a picture");
  assert.deepEqual(await fixture.client.deleteMedia(id, NUMBER), { success: true });
  assert.equal((await fixture.client.retrieveMedia(id)).error.code, 100);
});

test("only the first update of a batch arrives, and fields without a number fail", async () => {
  // All updates wait and are then delivered in one webhook.
  await control("faults", { webhooks_paused: true, max_batch_size: 10, batch_wait_ms: 50 });
  for (const from of ["ana", "bram", "kadri"]) await control("say", { from, text: from });
  await control("faults", { webhooks_paused: false });
  await idle();
  const changes = fixture.seen.flatMap(({ raw }) => raw.entry.flatMap((entry) => entry.changes));
  assert.equal(changes.reduce((sum, change) => sum + change.value.messages.length, 0), 3);
  assert.equal(fixture.seen.length, fixture.answers.length);
  await control("faults", { max_batch_size: 1, batch_wait_ms: 0 });
  fixture.answers = [];
  // It expects the number's id in every change; account changes have none, so it answers 500 and they are repeated.
  await control("webhook", { field: "account_update", value: { event: "ACCOUNT_DELETED" } });
  await idle();
  assert.deepEqual(fixture.answers, [500]);
  // Changes that name the number are answered with 200 and dropped.
  fixture.answers = [];
  assert.deepEqual(await updatesOf(() => control("marketing", { person: "ana", value: "stop" })), []);
  assert.deepEqual(fixture.answers, [200]);
});

test("undocumented requests are refused", async () => {
  const { client } = fixture;
  for (const answer of [
    await client.initiateCall(NUMBER, TO_ANA, "sdp"),
    await client.preacceptCall(NUMBER, "wacid.x", "sdp"), await client.acceptCall(NUMBER, "wacid.x", "sdp"), await client.rejectCall(NUMBER, "wacid.x"),
    await client.terminateCall(NUMBER, "wacid.x"),
    await client.createQR(NUMBER, "hello"), await client.retrieveQR(NUMBER), await client.updateQR(NUMBER, "1", "hello"), await client.deleteQR(NUMBER, "1"),
  ]) {
    assert.equal(answer.error?.code, 100, JSON.stringify(answer));
  }
});
