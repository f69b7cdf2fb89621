// Templates that whatsapp-api-js sends. It cannot create them, so they are created by a plain request with its token;
// README.md lists them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ACCOUNT, M, fixture, idle, put, refused, say, send } from "./client.mjs";

/** Makes a template of these components in addition to a text; it is approved. */
async function make(name, body, more = [], rest = {}) {
  const answer = await fixture.client.$$apiFetch$$(`https://graph.facebook.com/v26.0/${ACCOUNT}/message_templates`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, language: "en", category: "MARKETING", components: [body, ...more], ...rest }),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  await idle();
}

const plain = { type: "BODY", text: "Look" };
const buttons = (...buttons) => ({ type: "BUTTONS", buttons });

test("positional and named parameters are rendered", async () => {
  const { Template, Language, BodyComponent, BodyParameter, HeaderComponent, HeaderParameter, Currency, DateTime } = M;
  await make("numbered", { type: "BODY", text: "{{1}}: {{2}} until {{3}}", example: { body_text: [["a", "b", "c"]] } });
  const body = new BodyComponent(new BodyParameter("Ana"), new BodyParameter(new Currency(100990, "USD", "$100.99")), new BodyParameter(new DateTime("Tuesday")));
  const kept = await send(new Template("numbered", new Language("en"), body));
  assert.equal(kept.rendered.body, "Ana: $100.99 until Tuesday");
  await make("named", { type: "BODY", text: "Hi {{name}}", example: { body_text_named_params: [{ param_name: "name", example: "Ana" }] } },
    [{ type: "HEADER", format: "TEXT", text: "For {{who}}", example: { header_text_named_params: [{ param_name: "who", example: "Ana" }] } }],
    { parameter_format: "NAMED" });
  const named = new Template("named", "en", new HeaderComponent(new HeaderParameter("you", "who")), new BodyComponent(new BodyParameter("Ana", "name")));
  assert.deepEqual((await send(named)).rendered, { header: { type: "text", text: "For you" }, body: "Hi Ana" });
  assert.equal(await refused(new Template("numbered", "en", new BodyComponent(new BodyParameter("Ana")))), 132000);
  assert.equal(await refused(new Template("nameless", "en")), 132001);
});

test("headers of every kind are rendered", async () => {
  const { Template, HeaderComponent, HeaderParameter, Image, Video, Document, Location } = M;
  for (const [File, type, format] of [[Image, "image/jpeg", "IMAGE"], [Video, "video/mp4", "VIDEO"], [Document, "application/pdf", "DOCUMENT"]]) {
    const name = format.toLowerCase();
    await make(name, plain, [{ type: "HEADER", format, example: { header_handle: ["4::abc"] } }]);
    const file = new HeaderComponent(new HeaderParameter(new File(await put(type), true)));
    assert.equal((await send(new Template(name, "en", file))).rendered.header.type, name);
  }
  await make("place", plain, [{ type: "HEADER", format: "LOCATION" }]);
  const place = new HeaderComponent(new HeaderParameter(new Location(4.8, 52.3, "Quay", "Harbour Street")));
  assert.equal((await send(new Template("place", "en", place))).rendered.header.location.name, "Quay");
});

test("buttons of every kind are rendered", async () => {
  const { Template, PayloadComponent, URLComponent, CopyComponent, FlowComponent, CatalogComponent, MPMComponent, SkipButtonComponent } = M;
  const { Product, ProductSection } = M;
  const made = buttons({ type: "PHONE_NUMBER", text: "Call", phone_number: "+31610000102" }, { type: "QUICK_REPLY", text: "Thanks" },
    { type: "URL", text: "Track", url: "https://example.org/{{1}}", example: ["x"] });
  await make("three", plain, [made]);
  const kept = await send(new Template("three", "en", new SkipButtonComponent(), new PayloadComponent("thx"), new URLComponent("b2")));
  assert.deepEqual(kept.rendered.buttons.slice(1).map((button) => button.payload ?? button.url), ["thx", "https://example.org/b2"]);
  assert.deepEqual((await say({ tap: "thx" }))[0].message.button, { payload: "thx", text: "Thanks" });
  for (const [button, part, type] of [
    [{ type: "COPY_CODE", example: "TEN" }, new CopyComponent("TEN"), "copy_code"],
    [{ type: "FLOW", text: "Start", flow_id: "1" }, new FlowComponent("token", { a: 1 }), "flow"],
    [{ type: "CATALOG", text: "All" }, new CatalogComponent(new Product("1")), "catalog"],
    [{ type: "MPM", text: "Some" }, new MPMComponent(new Product("1"), new ProductSection("Tools", new Product("1"))), "mpm"],
  ]) {
    await make(type, plain, [buttons(button)]);
    assert.equal((await send(new Template(type, "en", part))).rendered.buttons[0].type, type);
  }
});

test("authentication, offers and carousels are accepted", async () => {
  const { Template, LTOComponent, CarouselComponent, CarouselCard, PayloadComponent, TapTargetComponent, Image } = M;
  await make("code", { type: "BODY" }, [buttons({ type: "OTP", otp_type: "COPY_CODE" })], { category: "AUTHENTICATION" });
  const kept = await send(Template.OTP("code", "en", "1234"));
  assert.deepEqual([kept.rendered.body, kept.rendered.buttons[0].code], ["*1234* is your verification code.", "1234"]);
  await make("offer", plain, [{ type: "LIMITED_TIME_OFFER", limited_time_offer: { text: "Today", has_expiration: true } }]);
  await send(new Template("offer", "en", new LTOComponent(1796083200000)));
  const card = { components: [{ type: "HEADER", format: "IMAGE", example: { header_handle: ["4::abc"] } }, buttons({ type: "QUICK_REPLY", text: "This" })] };
  await make("cards", plain, [{ type: "CAROUSEL", cards: [card, card] }]);
  const filled = ["a", "b"].map((name) => new CarouselCard(new Image(`https://example.org/${name}.jpg`), new PayloadComponent(name)));
  assert.equal((await send(new Template("cards", "en", new CarouselComponent(...filled)))).rendered.body, "Look");
  // Not documented by Meta.
  assert.equal(await refused(new Template("offer", "en", new TapTargetComponent("Open", "https://example.org"))), 132018);
});
