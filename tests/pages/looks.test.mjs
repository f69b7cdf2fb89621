// Screenshots of the chat page: light, dark, on a phone, with groups. People review the pictures; the tests check for
// overflow and console errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { control, open, phone, photo, picture, simulator, post, write } from "./opened.mjs";

const NARROW = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };

test("people and groups side by side, also at phone width", async () => {
  for (const [name, options] of [["side-by-side", {}], ["side-by-side-phone", NARROW]]) {
    const { page, complaints, close } = await open({ deviceScaleFactor: 2, viewport: { width: 1720, height: 900 }, ...options });
    const made = await post("groups", { subject: "Harbour Street", members: ["ana", "bram", "kadri"] });
    const { id } = await (await fetch(`${simulator.url}/control/media?filename=quay.jpg`, {
      method: "POST", headers: { "content-type": "image/jpeg" }, body: (await photo(page)).buffer })).json();
    await control("say", { from: "bram", group: made.id, message: { type: "image", image: { id, caption: "Sunset on the quay" } } });
    await control("say", { from: "kadri", group: made.id, text: "Beautiful! Is the feast still on?" });
    await control("say", { from: "ana", text: "Hello" });
    const group = phone(page, "Harbour Street");
    if (options.isMobile) await page.getByRole("navigation").getByRole("button", { name: "Harbour Street" }).click();
    await group.getByRole("img", { name: "Sunset on the quay" }).waitFor();
    await group.getByText("Is the feast still on?").waitFor();
    const box = await group.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= page.viewportSize().width, "nothing sticks out to the side");
    await picture(page, name);
    assert.deepEqual(complaints, []);
    await close();
  }
});

for (const [name, options] of [
  ["desktop-light", { colorScheme: "light" }],
  ["desktop-dark", { colorScheme: "dark" }],
  ["phone-light", { colorScheme: "light", ...NARROW }],
  ["phone-dark", { colorScheme: "dark", ...NARROW }],
]) {
  test(`no overflow and no errors: ${name}`, async () => {
    const { page, complaints, close } = await open({ deviceScaleFactor: 2, ...options });
    const take = (who) => options.isMobile && page.getByRole("navigation").getByRole("button", { name: who }).click();
    const minutes = (n) => control("clock", { advance_ms: n * 60_000 });
    await take("Bram");
    await write(page, "Bram", "help");
    await phone(page, "Bram").getByText("STOP").waitFor();
    await minutes(2);
    await write(page, "Bram", "Thanks, that is clear 👍");
    await phone(page, "Bram").getByRole("button", { name: "Yes, count me in" }).waitFor();
    await minutes(41);
    await take("Kadri");
    await write(page, "Kadri", "Tere! Kas siin on keegi?");
    await phone(page, "Kadri").getByRole("button", { name: "Yes, count me in" }).waitFor();
    await minutes(3);
    await take("Ana");
    await write(page, "Ana", "Olá! I just moved in at number 12 👋");
    await minutes(1);
    await phone(page, "Ana").getByRole("button", { name: "Yes, count me in" }).click();
    await phone(page, "Ana").getByRole("button", { name: "Choose a topic" }).waitFor();
    await phone(page, "Ana").locator(".theirs .ticks.read").nth(1).waitFor();
    await control("say", { from: "bram", tap: "rules-yes" });
    await control("say", { from: "kadri", text: "Human, please 🙂" });
    await phone(page, "Bram").locator(".theirs .ticks.delivered").last().waitFor({ state: "attached" });
    await phone(page, "Kadri").getByText("is typing").waitFor({ state: "attached" });
    const box = await phone(page, "Ana").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= page.viewportSize().width, "nothing sticks out to the side");
    await picture(page, name);
    await page.getByRole("button", { name: "Controls" }).click();
    await picture(page, `${name}-controls`);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add a person" }).click();
    await picture(page, `${name}-new-person`);
    assert.deepEqual(complaints, []);
    await close();
  });
}
