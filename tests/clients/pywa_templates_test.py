"""Templates by pywa: creation with every component, review, sending, editing, deletion, webhooks; README.md lists them."""

import datetime

from fixture import ANA, BRAM, JPEG, Case
from pywa import handlers as h
from pywa.types import templates as t

EN = t.TemplateLanguage.ENGLISH_US


class Templates(Case):
    def make(self, name, *components, category=t.TemplateCategory.UTILITY, **more):
        """Creates a template, which is approved."""
        made = self.wa.create_template(t.Template(name=name, language=EN, category=category, components=list(components), **more))
        self.fixture.idle()
        self.assertEqual(self.wa.get_template(made.id).status, t.TemplateStatus.APPROVED)
        return made

    def send(self, name, *params, to=BRAM):
        """Sends it; returns what its reader sees."""
        sent = self.wa.send_template(to, name, EN, params=list(params))
        kept = self.fixture.last("bram" if to == BRAM else "ana")
        self.assertEqual((kept["id"], kept["state"]), (sent.id, "delivered"))
        return kept["rendered"]

    def test_template_can_be_created_sent_and_tapped(self):
        self.listen(h.TemplateStatusUpdateHandler, h.CallbackButtonHandler)
        body = t.BodyText("Hi {{name}}, your order {{order}} is ready", name="Ana", order="A1")
        buttons = t.Buttons(buttons=[t.QuickReplyButton(text="Thanks"), t.URLButton(text="Track", url="https://example.org/{{1}}", example="x")])
        header = t.HeaderImage(example=JPEG, mime_type="image/jpeg")
        made = self.make("order_ready", header, body, t.FooterText(text="Harbour Street"), buttons, parameter_format=t.ParamFormat.NAMED)
        update, = self.arrived()
        self.assertEqual((update.template_name, update.new_status.value), ("order_ready", "APPROVED"))
        media = self.wa.upload_media(JPEG, mime_type="image/jpeg", filename="a.jpg")
        seen = self.send("order_ready", header.params(image=media.id), body.params(name="Bram", order="B2"),
                         t.QuickReplyButton.params(callback_data="thx", index=0), t.URLButton.params(url_variable="b2", index=1))
        self.assertEqual((seen["body"], seen["footer"]), ("Hi Bram, your order B2 is ready", "Harbour Street"))
        self.assertEqual(seen["buttons"][1]["url"], "https://example.org/b2")
        self.fixture.control("say", {"from": "bram", "tap": "thx"})
        self.assertEqual(self.arrived(2)[1].data, "thx")
        self.assertEqual([template.name for template in self.wa.get_templates()], ["order_ready"])
        self.refused(132000, self.wa.send_template, BRAM, "order_ready", EN, params=[header.params(image=media.id)])
        self.refused(132001, self.wa.send_template, BRAM, "order_unready", EN, params=[])
        self.wa.update_template(made.id, new_components=[t.BodyText("New words")])
        self.fixture.idle()
        self.assertTrue(self.wa.delete_template("order_ready"))
        self.assertEqual(list(self.wa.get_templates()), [])

    def test_headers_of_every_kind_are_rendered(self):
        body = t.BodyText("Look")
        text = t.HeaderText("Hi {{1}}", "Ana")
        self.make("with_text", text, body)
        self.assertEqual(self.send("with_text", text.params("Bram"))["header"], {"type": "text", "text": "Hi Bram"})
        for kind, mime, made in [("video", "video/mp4", t.HeaderVideo), ("document", "application/pdf", t.HeaderDocument)]:
            header = made(example=b"bytes", mime_type=mime)
            self.make(f"with_{kind}", header, body)
            more = {"filename": "a.pdf"} if kind == "document" else {}
            seen = self.send(f"with_{kind}", header.params(**{kind: "https://example.org/a"}, **more))
            self.assertEqual((seen["header"]["type"], seen["header"][kind]["link"]), (kind, "https://example.org/a"))
        moving = t.HeaderGIF(example=b"bytes", mime_type="video/mp4")
        self.make("with_gif", moving, body, category=t.TemplateCategory.MARKETING)
        media = self.wa.upload_media(b"mp4", mime_type="video/mp4", filename="a.mp4")
        self.assertEqual(self.send("with_gif", moving.params(gif=media.id))["header"]["type"], "video")
        self.make("with_place", t.HeaderLocation(), body)
        seen = self.send("with_place", t.HeaderLocation.params(lat=52.3, lon=4.8, name="Quay", address="Harbour Street"))
        self.assertEqual(seen["header"]["location"]["name"], "Quay")

    def test_currency_and_time_parameters_are_rendered(self):
        body = t.BodyText("{{1}} until {{2}}", "10 EUR", "Monday")
        self.make("sale", body, category=t.TemplateCategory.MARKETING)
        seen = self.send("sale", body.params(t.Currency(fallback_value="$100.99", code="USD", amount_1000=100990), t.DateTime(fallback_value="Tuesday")))
        self.assertEqual(seen["body"], "$100.99 until Tuesday")

    def test_buttons_of_every_kind_are_rendered(self):
        for name, button, params, kind in [
            ("phone", t.PhoneNumberButton(text="Call", phone_number="+31610000102"), None, "phone_number"),
            ("link", t.URLButton(text="Open", url="https://example.org"), None, "url"),
            ("coupon", t.CopyCodeButton(example="TEN"), t.CopyCodeButton.params(coupon_code="TEN", index=0), "copy_code"),
            ("flow", t.FlowButton(text="Start", flow_id="1", navigate_screen="A", flow_action=t.FlowActionType.NAVIGATE),
             t.FlowButton.params(index=0, flow_token="t", flow_action_data={"a": 1}), "flow"),
            ("catalog", t.CatalogButton(text="All"), t.CatalogButton.params(thumbnail_product_sku="1", index=0), "catalog"),
            ("goods", t.MPMButton(text="Some"), t.MPMButton.params(product_sections=[t.ProductsSection("Tools", ["a"])],
             thumbnail_product_sku="a", index=0), "mpm"),
            ("thing", t.SPMButton(text="One"), None, "spm"),
            ("voice", t.VoiceCallButton(text="Call"), None, "voice_call"),
            ("contact", t.ContactInfoRequestButton(), None, "request_contact_info"),
        ]:
            with self.subTest(name):
                self.make(name, t.BodyText("Look"), t.Buttons(buttons=[button]), category=t.TemplateCategory.MARKETING)
                seen = self.send(name, *([params] if params else []))
                self.assertEqual([button["type"] for button in seen["buttons"]], [kind])

    def test_authentication_templates_have_the_platforms_text(self):
        button = t.CopyCodeOTPButton()
        self.make("code", t.AuthenticationBody(add_security_recommendation=True), t.AuthenticationFooter(code_expiration_minutes=5),
                  t.Buttons(buttons=[button]), category=t.TemplateCategory.AUTHENTICATION)
        sent = [t.AuthenticationBody.params(otp="1234"), button.params(otp="1234")]
        app = [t.OTPSupportedApp(package_name="org.example", signature_hash="abc")]
        for name, other in [("one_tap", t.OneTapOTPButton(supported_apps=app)),
                            ("zero_tap", t.ZeroTapOTPButton(supported_apps=app, zero_tap_terms_accepted=True))]:
            self.make(name, t.AuthenticationBody(), t.Buttons(buttons=[other]), category=t.TemplateCategory.AUTHENTICATION)
            self.assertEqual(self.send(name, *sent)["body"], "*1234* is your verification code.")
        self.assertEqual(self.send("code", *sent)["buttons"][0]["code"], "1234")
        self.refused(131062, self.wa.send_template, self.fixture.control("people/ana")["user_id"], "code", EN, params=sent)

    def test_offers_and_carousels_are_accepted(self):
        offer = t.LimitedTimeOffer(text="Today", has_expiration=True)
        self.make("offer", t.BodyText("Look"), offer, category=t.TemplateCategory.MARKETING)
        self.send("offer", t.LimitedTimeOffer.params(expiration_time=datetime.datetime(2026, 12, 1)))
        cards = [t.CarouselCard(components=[t.HeaderImage(example=JPEG, mime_type="image/jpeg"),
                 t.Buttons(buttons=[t.QuickReplyButton(text="This")])]) for _ in range(2)]
        self.make("cards", t.BodyText("Look"), t.Carousel(cards=cards), category=t.TemplateCategory.MARKETING)
        filled = [t.CarouselCard.params(index=n, params=[t.HeaderImage.params(image="https://example.org/a.jpg"),
                  t.QuickReplyButton.params(callback_data=f"card-{n}", index=0)]) for n in range(2)]
        self.assertEqual(self.send("cards", t.Carousel.params(cards=filled))["body"], "Look")

    def test_library_template_can_be_sent(self):
        self.wa.create_template(t.LibraryTemplate(name="invite", library_template_name="group_invite_link",
                                category=t.TemplateCategory.UTILITY, language=t.TemplateLanguage.ENGLISH))
        self.fixture.idle()
        template, = self.wa.get_templates()
        self.assertEqual((template.name, template.status.value), ("invite", "APPROVED"))

    def test_template_webhooks_are_understood(self):
        self.listen(h.TemplateStatusUpdateHandler, h.TemplateQualityUpdateHandler, h.TemplateCategoryUpdateHandler, h.TemplateComponentsUpdateHandler)
        made = self.make("news", t.BodyText("Look"))
        tell = lambda **change: (self.fixture.control("templates", {"name": "news", **change}), self.fixture.idle())
        for change in [{"event": "flag"}, {"quality": "RED"}, {"event": "pause"}]:
            tell(**change)
        # An identical update in the same second would be a duplicate.
        self.fixture.control("clock", {"advance_ms": 1000})
        self.assertTrue(self.wa.unpause_template(made.id).success)
        self.assertFalse(self.wa.unpause_template(made.id).success)
        for change in [{"event": "reject", "reason": "PROMOTIONAL"}, {"event": "disable"}, {"category": "MARKETING"}]:
            tell(**change)
        named = {"message_template_id": int(made.id), "message_template_name": "news", "message_template_language": "en_US"}
        self.webhook("template_category_update", {**named, "new_category": "MARKETING", "correct_category": "UTILITY", "category_update_timestamp": 1763900000})
        self.webhook("message_template_components_update", {**named, "message_template_element": "New words", "message_template_footer": "ok",
                     "message_template_buttons": [{"message_template_button_type": "URL", "message_template_button_text": "Open"}]})
        for event in ("ARCHIVED", "IN_APPEAL", "LIMIT_EXCEEDED", "LOCKED", "PENDING", "REINSTATED", "PENDING_DELETION"):
            self.webhook("message_template_status_update", {**named, "event": event, "reason": None, "message_template_category": "UTILITY"})
        self.wa.delete_template("news")
        updates = self.arrived(18)
        statuses = [update.new_status.value for update in updates if isinstance(update, t.TemplateStatusUpdate)]
        self.assertEqual(statuses, ["APPROVED", "FLAGGED", "PAUSED", "APPROVED", "REJECTED", "DISABLED", "ARCHIVED", "IN_APPEAL",
                                    "LIMIT_EXCEEDED", "LOCKED", "PENDING", "REINSTATED", "PENDING_DELETION", "DELETED"])
        paused, rejected = updates[3], updates[5]
        self.assertEqual((paused.other_info.title, rejected.reason.value), ("FIRST_PAUSE", "PROMOTIONAL"))
        quality, done, announced, changed = [update for update in updates if not isinstance(update, t.TemplateStatusUpdate)]
        self.assertEqual((quality.previous_quality_score.value, quality.new_quality_score.value), ("UNKNOWN", "RED"))
        self.assertEqual((done.previous_category.value, done.new_category.value, announced.correct_category.value), ("UTILITY", "MARKETING", "UTILITY"))
        self.assertEqual(changed.template_element, "New words")

    def test_undocumented_components_are_refused(self):
        body = t.BodyText("Look")
        self.refused(100, self.wa.create_template, t.Template(name="product", language=EN, category=t.TemplateCategory.MARKETING, components=[t.HeaderProduct(), body]))
        self.make("plain", body)
        self.refused(132018, self.wa.send_template, ANA, "plain", EN, params=[t.TapTargetConfiguration(title="Open", url="https://example.org")])
        self.refused(100, self.wa.send_template, ANA, "plain", EN, params=[], use_mm_lite_api=True)
        self.refused(100, self.wa.upsert_authentication_template, name="code", languages=[EN], otp_button=t.CopyCodeOTPButton())
