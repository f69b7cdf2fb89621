"""Messages that pywa sends: every type and button; README.md lists them."""

import datetime
import pathlib
import tempfile

from fixture import ANA, BRAM, JPEG, NUMBER, Case
from pywa import errors, types


class Messages(Case):
    def kept(self, sent, kind=None):
        """The message as the simulator received it."""
        kept = self.fixture.last()
        self.assertEqual(kept["id"], sent.id)
        if kind:
            self.assertEqual(kept["body"]["type"], kind)
        return kept

    def test_texts_reach_a_person_by_every_address(self):
        sent = self.wa.send_message(ANA, "Hello *there*", preview_url=True, tracker="msg_1", identity_key_hash="abc")
        kept = self.kept(sent)
        self.assertEqual((kept["body"], kept["callback_data"]), ({"body": "Hello *there*", "preview_url": True}, "msg_1"))
        self.assertEqual(self.kept(self.wa.send_text("+351 91 000 0101", "by any spelling", sender=NUMBER))["person"], "ana")
        again = self.wa.send_message(ANA, "again", reply_to_message_id=sent.id)
        self.assertEqual(self.kept(again)["context"], sent.id)
        user_id = self.fixture.control("people/ana")["user_id"]
        answer = self.wa.send_message(user_id, "by user id")
        self.kept(answer)
        self.refused(100, self.wa.send_message, ANA, "x" * 4097)

    def test_reply_buttons_are_accepted(self):
        buttons = [types.Button("Yes", "y"), types.Button("No", "n")]
        kept = self.kept(self.wa.send_message(ANA, "Yes?", header="Hm", footer="ok", buttons=buttons), "button")
        self.assertEqual((kept["body"]["header"]["text"], kept["body"]["footer"]["text"]), ("Hm", "ok"))
        for send, mime, kind in [(self.wa.send_image, "image/jpeg", "image"), (self.wa.send_video, "video/mp4", "video"),
                                 (self.wa.send_document, "application/pdf", "document")]:
            media = self.wa.upload_media(JPEG, mime_type=mime, filename="file")
            named = {"filename": "a.pdf"} if kind == "document" else {}
            kept = self.kept(send(ANA, media.id, caption="Look", footer="ok", buttons=buttons, **named), "button")
            self.assertEqual((kept["body"]["header"]["type"], kept["state"]), (kind, "delivered"))
        self.refused(131009, self.wa.send_message, ANA, "Yes?", buttons=[types.Button("x" * 21, "y")])

    def test_lists_have_at_most_ten_rows(self):
        rows = [types.SectionRow("Lifts", "lifts", "who drives"), types.SectionRow("Tools", "tools")]
        sections = types.SectionList("Topics", [types.Section("Street", rows)])
        kept = self.kept(self.wa.send_message(ANA, "Choose", header="Hm", footer="ok", buttons=sections), "list")
        self.assertEqual([row["id"] for row in kept["body"]["action"]["sections"][0]["rows"]], ["lifts", "tools"])
        many = [types.Section(str(n), [types.SectionRow(str(m), f"{n}-{m}") for m in range(6)]) for n in range(2)]
        self.refused(131009, self.wa.send_message, ANA, "Choose", buttons=types.SectionList("Topics", many))

    def test_links_flows_and_requests_are_accepted(self):
        self.kept(self.wa.send_message(ANA, "Look", buttons=types.URLButton("Open", "https://example.org")), "cta_url")
        navigate = types.FlowButton("Start", flow_id="1", flow_token="x", flow_action_type=types.FlowActionType.NAVIGATE,
                                    flow_action_screen="A", flow_action_payload={"name": "Ana"})
        kept = self.kept(self.wa.send_message(ANA, "Flow", buttons=navigate), "flow")
        self.assertEqual(kept["body"]["action"]["parameters"]["flow_action_payload"], {"screen": "A", "data": {"name": "Ana"}})
        exchange = types.FlowButton("Start", flow_name="survey", flow_token="x", mode=types.FlowStatus.DRAFT,
                                    flow_action_type=types.FlowActionType.DATA_EXCHANGE)
        self.assertEqual(self.kept(self.wa.send_message(ANA, "Flow", buttons=exchange), "flow")["body"]["action"]["parameters"]["mode"], "draft")
        self.kept(self.wa.request_location(ANA, "Where are you?"), "location_request_message")
        self.kept(self.wa.request_contact_info(ANA, "Who are you?"), "request_contact_info")
        self.kept(self.wa.send_message(ANA, "Who?", buttons=types.ContactInfoRequestButton()), "request_contact_info")

    def test_call_buttons_are_refused(self):
        # Call buttons need Direct Send and therefore a category, which pywa cannot set.
        self.fixture.control("faults", {"direct_send": True})
        self.refused(100, self.wa.send_message, ANA, "Call?", buttons=types.VoiceCallButton("Call us", datetime.timedelta(days=3)))
        # Meta documents the reply, not the request.
        self.refused(131009, self.wa.send_message, ANA, "May we?", buttons=types.CallPermissionRequestButton())

    def test_media_of_every_kind_are_accepted(self):
        for send, mime, kind in [
            (self.wa.send_image, "image/jpeg", "image"), (self.wa.send_video, "video/mp4", "video"),
            (self.wa.send_audio, "audio/mpeg", "audio"), (self.wa.send_voice, "audio/ogg", "audio"),
            (self.wa.send_sticker, "image/webp", "sticker"), (self.wa.send_document, "application/pdf", "document"),
        ]:
            media = self.wa.upload_media(JPEG, mime_type=mime, filename="file")
            # pywa 4.5.0 cannot send a document without a name: its placeholder ends up in the JSON.
            more = {"filename": "a.pdf"} if kind == "document" else {}
            kept = self.kept(send(ANA, media.id, reply_to_message_id="wamid.x", **more))
            self.assertEqual((kept["type"], kept["body"]["id"], kept["state"]), (kind, str(media.id), "delivered"))
            kept = self.kept(send(ANA, f"https://example.org/{kind}", **more))
            self.assertEqual((kept["type"], kept["body"]["link"]), (kind, f"https://example.org/{kind}"))
        kept = self.kept(self.wa.send_image(ANA, JPEG, mime_type="image/jpeg", caption="uploaded on the way"))
        self.assertEqual((kept["body"]["caption"], kept["state"]), ("uploaded on the way", "delivered"))
        self.assertIs(self.kept(self.wa.send_voice(ANA, b"OggS", mime_type="audio/ogg"))["body"]["voice"], True)

    def test_files_can_be_uploaded_downloaded_and_deleted(self):
        media = self.wa.upload_media(JPEG, mime_type="image/jpeg", filename="a.jpg")
        url = self.wa.get_media_url(media.id)
        self.assertEqual((url.mime_type, url.file_size, self.wa.get_media_bytes(url.url)), ("image/jpeg", str(len(JPEG)), JPEG))
        self.assertEqual(b"".join(self.wa.stream_media(url.url, chunk_size=7)), JPEG)
        with tempfile.TemporaryDirectory() as folder:
            path = self.wa.download_media(url=url.url, path=folder, filename="b.jpg")
            self.assertEqual(path.read_bytes(), JPEG)
            again = self.wa.upload_media(pathlib.Path(folder) / "b.jpg")
        self.assertTrue(self.wa.delete_media(again.id, phone_id=NUMBER))
        self.assertTrue(self.wa.delete_media(media.id))
        with self.assertRaises(errors.WhatsAppError):
            self.wa.get_media_url(media.id)

    def test_locations_contacts_and_products_are_accepted(self):
        self.wa.send_location(ANA, 52.37, 4.89, name="Quay", address="Harbour Street")
        self.assertEqual(self.fixture.last()["body"], {"latitude": 52.37, "longitude": 4.89, "name": "Quay", "address": "Harbour Street"})
        card = types.Contact(
            name=types.Contact.Name(formatted_name="Bram B", first_name="Bram", last_name="B", prefix="Mr"), birthday="2000-01-31",
            phones=[types.Contact.Phone(phone="+31610000102", type="WORK", wa_id=BRAM)],
            emails=[types.Contact.Email(email="bram@example.org", type="HOME")], urls=[types.Contact.Url(url="https://example.org", type="WORK")],
            addresses=[types.Contact.Address(street="Quay 1", city="Tallinn", country="Estonia", country_code="EE", zip="1", state="H", type="HOME")],
            org=types.Contact.Org(company="Harbour", department="Cranes", title="Foreman"))
        self.wa.send_contact(ANA, [card, card])
        kept = self.fixture.last()["body"]
        self.assertEqual((len(kept), kept[0]["name"]["formatted_name"], kept[0]["org"]["title"]), (2, "Bram B", "Foreman"))
        self.kept(self.wa.send_catalog(ANA, "All we have", "ok", thumbnail_product_sku="1"), "catalog_message")
        self.kept(self.wa.send_product(ANA, "7", "sku", body="One thing", footer="ok"), "product")
        tools = types.ProductsSection("Tools", ["a", "b"])
        self.kept(self.wa.send_products(ANA, "7", [tools], "Tools", "Some things", "ok"), "product_list")
        link = types.URLButton("Open", "https://example.org")
        cards = [types.ImageCarouselCard(image="https://example.org/a.jpg", body="one", buttons=link),
                 types.VideoCarouselCard(video="https://example.org/a.mp4", body="two", buttons=link)]
        kept = self.kept(self.wa.send_carousel(ANA, body="Look", cards=cards), "carousel")
        self.assertEqual(len(kept["body"]["action"]["cards"]), 2)

    def test_reactions_read_marks_and_typing_are_accepted(self):
        said = self.say(text="react to me")
        shown = lambda: self.fixture.control("messages?from=person&newest=1")["messages"][0]
        self.wa.send_reaction(ANA, "🎉", said["id"])
        self.assertEqual(shown()["reactions"], [{"from": "business", "emoji": "🎉"}])
        self.wa.remove_reaction(ANA, said["id"])
        self.assertEqual(shown()["reactions"], [])
        self.assertTrue(self.wa.mark_message_as_read(said["id"]))
        self.assertEqual(shown()["state"], "read")
        self.assertTrue(self.wa.indicate_typing(said["id"]))
        self.assertEqual(self.fixture.control("messages")["counts"]["typing"], 1)

    def test_errors_become_exceptions(self):
        with self.assertRaises(errors.ReEngagementMessage):
            self.wa.send_message(BRAM, "we never spoke")
        kinds = [kind for base in errors.WhatsAppError.__subclasses__() for kind in base.__subclasses__()]
        # Codes of seven digits are not for messages. 131201 is a partial success (HTTP 206), not an error for pywa.
        known = [(code, kind) for kind in kinds for code in kind.__error_codes__ or () if code < 1_000_000 and code != 131201]
        self.assertGreater(len(known), 100)
        for code, kind in known:
            self.fixture.control("faults", {"send_error": {"next": 1, "code": code}})
            with self.subTest(code), self.assertRaises(errors.WhatsAppError) as caught:
                self.wa.send_message(ANA, "no")
            self.assertEqual((caught.exception.code, type(caught.exception)), (code, kind))
        self.fixture.control("faults", {"token_expired": True})
        self.refused(190, self.wa.send_message, ANA, "expired")
