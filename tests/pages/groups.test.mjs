// Groups on the chat page: creation, joining with and without approval, messages, suspension.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SECRETS } from "./daemon.mjs";
import { daemon, open, phone, picture, quiet, simulator } from "./opened.mjs";

/** A call to the Graph API as the business. */
const graph = (path, body) => fetch(`${simulator.url}/v26.0/${path}`, {
  method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` },
  body: JSON.stringify({ messaging_product: "whatsapp", ...body }),
});

/** The only group, by the control API. */
const theGroup = async () => (await (await fetch(`${simulator.url}/control/groups`)).json()).groups[0];

/** Creates the group on the page with these people. */
async function make(page, subject, { approval = false, members = [] } = {}) {
  await page.getByRole("button", { name: "New group" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Subject").fill(subject);
  if (approval) await dialog.getByLabel("Require approval").check();
  for (const name of members) await dialog.getByLabel(name).check();
  await dialog.getByRole("button", { name: "Create" }).click();
  const group = phone(page, subject);
  await group.getByText("no window").waitFor();
  return group;
}

test("a group is created, joined, written to and answered", async () => {
  const { page, complaints, close } = await open();
  const group = await make(page, "Harbour Street", { approval: true, members: ["Ana"] });
  await group.getByRole("button", { name: "About" }).click();
  await group.getByRole("listitem").filter({ hasText: "Kadri" }).getByRole("button", { name: "Request to join" }).click();
  await group.getByText("1 pending").waitFor();
  await group.getByRole("textbox").fill("Who has a ladder?");
  await group.getByRole("textbox").press("Enter");
  await group.getByText("24 h 00 min").waitFor();
  const made = await theGroup();
  await graph(`${made.id}/join_requests`, { join_requests: [made.join_requests[0].id] });
  await group.getByText("Ana, Kadri").waitFor();
  // Ana has read it before Kadri's phone is opened.
  const read = page.waitForResponse((response) => response.url().endsWith("/control/read"));
  await graph("106540352242922/messages", { recipient_type: "group", to: made.id, type: "text", text: { body: "Bram keeps it, *number 7*" } });
  const answer = group.locator(".theirs").filter({ hasText: "number 7" });
  await Promise.all([answer.waitFor(), read]);
  await group.getByLabel("Send as").selectOption("kadri");
  await group.locator(".theirs .author").getByText("Ana").waitFor();
  await group.getByRole("textbox").fill("Thank you!");
  await group.getByRole("textbox").press("Enter");
  await group.locator(".mine").getByText("Thank you!").waitFor();
  // Ana and Kadri opened it: read by all.
  await answer.locator(".ticks.read").waitFor();
  await group.getByRole("button", { name: "About" }).click();
  await picture(page, "group");
  await group.getByRole("listitem").filter({ hasText: "Kadri" }).getByRole("button", { name: "Leave" }).click();
  await group.locator("header small").getByText("Ana", { exact: true }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("the link of an open group joins at once, and a webhook reports it", async () => {
  const { page, complaints, close } = await open();
  const before = daemon.groups.length;
  const group = await make(page, "Harbour Street");
  await group.locator("header small").getByText("no participants").waitFor();
  assert.equal(await group.getByRole("textbox").isDisabled(), true);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const about = () => group.getByRole("button", { name: "About" }).click();
  await about();
  const { invite_link: link } = await theGroup();
  await group.getByText(link).waitFor();
  await group.getByRole("button", { name: "Copy" }).click();
  await page.waitForFunction((link) => navigator.clipboard.readText().then((copied) => copied === link), link);
  const row = (name) => group.getByRole("listitem").filter({ hasText: name });
  assert.equal(await row("Ana").getByRole("button", { name: "Request to join" }).count(), 0);
  await row("Ana").getByRole("button", { name: "Join" }).click();
  await group.locator("header small").getByText("Ana", { exact: true }).waitFor();
  await about();
  await row("Bram").getByRole("button", { name: "Join" }).click();
  await group.locator("header small").getByText("Ana, Bram").waitFor();
  await group.getByLabel("Send as").selectOption("bram");
  await group.getByRole("textbox").fill("Hello, all");
  await group.getByRole("textbox").press("Enter");
  await group.locator(".mine .ticks.read").waitFor();
  await quiet();
  const joined = daemon.groups.slice(before).filter((group) => group.type === "group_participants_add");
  assert.deepEqual(joined.map((group) => [group.reason, group.added_participants[0].wa_id]),
    [["invite_link", "351910000101"], ["invite_link", "31610000102"]]);
  await about();
  await picture(page, "group-joined");
  // A removed participant cannot rejoin by the link.
  await page.keyboard.press("Escape");
  const { id } = await theGroup();
  await fetch(`${simulator.url}/v26.0/${id}/participants`, {
    method: "DELETE", headers: { "content-type": "application/json", authorization: `Bearer ${SECRETS.accessToken}` },
    body: JSON.stringify({ messaging_product: "whatsapp", participants: [{ user: "+31610000102" }] }) });
  await group.locator("header small").getByText("Ana", { exact: true }).waitFor();
  await about();
  await row("Bram").getByText("removed by the business").waitFor();
  assert.equal(await row("Bram").getByRole("button").count(), 0);
  assert.deepEqual(complaints, []);
  await close();
});

test("a suspended group is silent on both sides until the suspension ends", async () => {
  const { page, complaints, close } = await open();
  const group = await make(page, "Harbour Street", { members: ["Ana", "Bram"] });
  await group.getByRole("textbox").fill("Before");
  await group.getByRole("textbox").press("Enter");
  await group.locator(".mine .ticks.read").waitFor();
  await group.getByRole("button", { name: "About" }).click();
  await group.getByRole("button", { name: "Suspend the group" }).click();
  await group.locator("header small").getByText("suspended · Ana, Bram").waitFor();
  for (const control of [group.getByRole("textbox"), group.getByLabel("Send as"), group.getByRole("button", { name: "Attach" })]) {
    assert.equal(await control.isDisabled(), true);
  }
  await picture(page, "group-suspended");
  const { id } = await theGroup();
  const refused = await graph("106540352242922/messages", { recipient_type: "group", to: id, type: "text", text: { body: "anybody?" } });
  assert.deepEqual([refused.status, (await refused.json()).error.code], [403, 131207]);
  await group.getByRole("button", { name: "About" }).click();
  await group.getByRole("button", { name: "Unsuspend the group" }).click();
  await group.locator("header small").getByText("Ana, Bram", { exact: true }).waitFor();
  await group.getByRole("textbox").fill("After");
  await group.getByRole("textbox").press("Enter");
  await group.locator(".mine").getByText("After").waitFor();
  await quiet();
  const types = daemon.groups.map((group) => group.type).filter((type) => type.startsWith("group_suspend"));
  assert.deepEqual(types, ["group_suspend", "group_suspend_cleared"]);
  assert.deepEqual(complaints, []);
  await close();
});

test("a join request can be revoked", async () => {
  const { page, close } = await open();
  const group = await make(page, "Harbour Street", { approval: true });
  const about = () => group.getByRole("button", { name: "About" }).click();
  await about();
  await group.getByRole("listitem").filter({ hasText: "Ana" }).getByRole("button", { name: "Request to join" }).click();
  await group.getByText("1 pending").waitFor();
  await about();
  await group.getByRole("listitem").filter({ hasText: "Ana" }).getByRole("button", { name: "Withdraw" }).click();
  await group.getByText("1 pending").waitFor({ state: "detached" });
  assert.deepEqual((await theGroup()).join_requests, []);
  await close();
});
