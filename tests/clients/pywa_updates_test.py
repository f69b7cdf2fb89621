"""Webhooks as pywa's handlers understand them: messages, replies, receipts, changes of people; README.md lists them."""

from fixture import ANA, BRAM, JPEG, NUMBER, Case
from pywa import handlers as h
from pywa import types


class Updates(Case):
    def test_messages_of_every_type_are_understood(self):
        self.listen(h.MessageHandler)
        put = self.fixture.put
        kinds = [
            {"type": "text", "text": {"body": "Olá 👋 https://example.org/a"}},
            {"type": "image", "image": {"id": put("image/jpeg", JPEG), "caption": "the quay"}},
            {"type": "audio", "audio": {"id": put("audio/ogg; codecs=opus", b"OggS")}},
            {"type": "document", "document": {"id": put("application/pdf", b"%PDF", "a.pdf"), "caption": "read"}},
            {"type": "sticker", "sticker": {"id": put("image/webp", b"RIFF")}},
            {"type": "video", "video": {"id": put("video/mp4", b"mp4")}},
            {"type": "location", "location": {"latitude": 52.3, "longitude": 4.8, "name": "Quay", "address": "Harbour Street"}},
            {"type": "contacts", "contacts": [{"name": {"formatted_name": "Bram", "first_name": "Bram"}, "origin": "contact_request",
             "phones": [{"phone": "+31 6", "wa_id": BRAM, "type": "CELL"}], "birthday": "2012-08-18", "org": {"company": "Harbour"}}]},
            {"type": "order", "order": {"catalog_id": "7", "text": "please", "product_items":
             [{"product_retailer_id": "sku", "quantity": 3, "item_price": 30, "currency": "ILS"}]}},
            {"type": "unsupported", "unsupported": {"type": "poll"}, "errors": [{"code": 131051, "title": "Message type unknown",
             "message": "Message type unknown", "error_data": {"details": "Message type is currently not supported."}}]},
        ]
        for message in kinds:
            self.say(message)
        seen = self.arrived(len(kinds))
        self.assertEqual([message.type.value for message in seen], [message["type"] for message in kinds])
        text, image, audio, document, sticker, video, location, contacts, order, unsupported = seen
        self.assertEqual((text.text, text.from_user.wa_id, text.from_user.name), ("Olá 👋 https://example.org/a", ANA, "Ana"))
        self.assertEqual((image.caption, image.image.get_bytes(), image.image.mime_type), ("the quay", JPEG, "image/jpeg"))
        self.assertTrue(audio.audio.voice)
        self.assertEqual((document.document.filename, document.caption), ("a.pdf", "read"))
        self.assertEqual((sticker.sticker.animated, video.video.get_bytes()), (False, b"mp4"))
        self.assertEqual((location.location.name, location.location.latitude), ("Quay", 52.3))
        self.assertEqual((contacts.contacts.origin.value, contacts.contacts.first_wa_id), ("contact_request", BRAM))
        self.assertEqual((order.order.total_price, order.order.products[0].sku), (90, "sku"))
        self.assertEqual((unsupported.unsupported.type, unsupported.error.code), ("poll", 131051))

    def test_referral_and_context_are_understood(self):
        self.listen(h.MessageHandler)
        self.say({"type": "text", "text": {"body": "by an ad"}, "referral": {"source_url": "https://fb.me/x", "source_id": "1", "source_type": "ad",
                  "headline": "Lifts", "body": "Come", "media_type": "image", "image_url": "https://example.org/a", "ctwa_clid": "Aff-x"}})
        for context in [{"forwarded": True}, {"frequently_forwarded": True},
                        {"from": "15550783881", "id": "wamid.x", "referred_product": {"catalog_id": "7", "product_retailer_id": "sku"}}]:
            self.say({"type": "text", "text": {"body": "hm"}, "context": context})
        ad, forwarded, often, product = self.arrived(4)
        self.assertEqual((ad.referral.ctwa_clid, ad.referral.source_type), ("Aff-x", "ad"))
        self.assertEqual((forwarded.forwarded, forwarded.forwarded_many_times, often.forwarded_many_times), (True, False, True))
        self.assertEqual(product.reply_to_message.referred_product.sku, "sku")

    def test_broken_interactive_message_arrives_with_its_error(self):
        self.listen(h.MessageHandler)
        error = {"code": 131000, "title": "Unsupported webhook payload", "message": "Unsupported webhook payload", "error_data": {"details": "no"}}
        self.webhook("messages", {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550783881", "phone_number_id": NUMBER},
                     "contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": "PT.1"}], "errors": [error],
                     "messages": [{"from": ANA, "id": "wamid.broken", "timestamp": "1763900000", "type": "interactive"}]})
        message, = self.arrived()
        self.assertEqual((message.type.value, message.error.code), ("interactive", 131000))

    def test_taps_reactions_and_replies_are_understood(self):
        self.listen(h.MessageHandler, h.CallbackButtonHandler, h.CallbackSelectionHandler)
        self.wa.send_message(ANA, "Yes?", buttons=[types.Button("Yes", "y")])
        self.say(tap="y")
        rows = [types.SectionRow(title="Lifts", callback_data="lifts", description="who drives")]
        sent = self.wa.send_message(ANA, "Choose", buttons=types.SectionList("Topics", [types.Section("Street", rows)]))
        self.say(tap="lifts")
        self.say(reaction="👍", on=sent.id)
        self.say(reaction="", on=sent.id)
        self.say(text="about that", on=sent.id)
        tap, row, reaction, gone, reply = self.arrived(5)
        self.assertEqual((tap.data, tap.title, row.data, row.title, row.description), ("y", "Yes", "lifts", "Lifts", "who drives"))
        self.assertEqual((reaction.reaction.emoji, bool(gone.reaction.emoji), reply.reply_to_message.id), ("👍", False, sent.id))
        self.assertEqual(row.reply_to_message.id, sent.id)

    def test_flow_replies_and_call_permissions_are_understood(self):
        self.listen(h.FlowCompletionHandler, h.CallPermissionUpdateHandler)
        self.say({"type": "interactive", "context": {"from": "15550783881", "id": "wamid.x"}, "interactive": {"type": "nfm_reply",
                  "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"flow_token":"t","colour":"red"}'}}})
        self.say({"type": "interactive", "context": {"from": "15550783881", "id": "wamid.x"}, "interactive": {"type": "call_permission_reply",
                  "call_permission_reply": {"response": "accept", "expiration_timestamp": 1763900000, "response_source": "user_action"}}})
        flow, call = self.arrived(2)
        self.assertEqual((flow.token, flow.response["colour"]), ("t", "red"))
        self.assertEqual((call.response.value, call.response_source.value), ("accept", "user_action"))

    def test_edits_and_deletions_are_understood(self):
        self.listen(h.EditedMessageHandler, h.DeletedMessageHandler)
        said = self.say(text="helo")
        self.say({"type": "edit", "edit": {"original_message_id": said["id"], "message": {"type": "text", "text": {"body": "hello"}}}})
        self.say({"type": "revoke", "revoke": {"original_message_id": said["id"]}})
        edited, deleted = self.arrived(2)
        self.assertEqual((edited.original_message_id, edited.message.text), (said["id"], "hello"))
        self.assertEqual(deleted.original_message_id, said["id"])

    def test_echoes_are_understood(self):
        # pywa needs contacts, which Meta does not document here.
        self.listen(h.OutgoingMessageHandler, h.OutgoingEditedMessageHandler, h.OutgoingDeletedMessageHandler)
        for more in [{"type": "text", "text": {"body": "hi from the shop"}}, {"type": "revoke", "revoke": {"original_message_id": "wamid.e"}},
                     {"type": "edit", "edit": {"original_message_id": "wamid.e", "message": {"type": "text", "text": {"body": "hello"}}}}]:
            self.webhook("smb_message_echoes", {"messaging_product": "whatsapp",
                         "metadata": {"display_phone_number": "15550783881", "phone_number_id": NUMBER}, "contacts": [{"wa_id": ANA, "user_id": "PT.1"}],
                         "message_echoes": [{"from": "15550783881", "to": ANA, "id": "wamid.e", "timestamp": "1763900000", **more}]})
        said, deleted, edited = self.arrived(3)
        self.assertEqual((said.text, said.to_user.wa_id), ("hi from the shop", ANA))
        self.assertEqual((deleted.original_message_id, edited.message.text), ("wamid.e", "hello"))

    def test_receipts_and_prices_are_understood(self):
        self.listen(h.MessageStatusHandler)
        sent = self.wa.send_message(ANA, "hello", tracker="mine")
        self.fixture.control("read", {"from": "ana"})
        states = [(status.status.value, status.id, status.tracker) for status in self.arrived(3)]
        self.assertEqual(states, [(state, sent.id, "mine") for state in ("sent", "delivered", "read")])
        pricing = self.seen[0].pricing
        self.assertEqual((pricing.category.value, pricing.type.value, pricing.model.value), ("service", "free_customer_service", "PMP"))
        self.assertIsNone(self.seen[0].conversation)

    def test_voice_message_is_played(self):
        self.listen(h.MessageStatusHandler)
        sent = self.wa.send_voice(ANA, b"OggS", mime_type="audio/ogg")
        self.fixture.control("read", {"from": "ana", "message": sent.id, "played": True})
        self.fixture.idle()
        self.assertEqual(self.seen[-1].status.value, "played")

    def test_receipts_name_the_free_entry_point(self):
        self.listen(h.MessageStatusHandler)
        self.say({"type": "text", "text": {"body": "by an ad"}, "referral": {"source_url": "https://fb.me/x", "source_type": "ad"}})
        self.wa.send_message(ANA, "welcome")
        status = self.arrived(2)[0]
        self.assertEqual((status.pricing.type.value, status.pricing.category.value), ("free_entry_point", "referral_conversion"))
        self.assertEqual(status.conversation.category.value, "referral_conversion")
        self.assertIsNotNone(status.conversation.expiration)

    def test_failed_status_does_not_reach_the_handler(self):
        self.listen(h.MessageStatusHandler, h.RawUpdateHandler)
        self.fixture.control("faults", {"send_async_failure": {"next": 1, "code": 131026}})
        sent = self.wa.send_message(ANA, "never arrives")
        raw, = self.arrived()
        status = raw.value["statuses"][0]
        self.assertEqual((status["id"], status["status"], status["errors"][0]["code"]), (sent.id, "failed", 131026))
        self.assertNotIn("contacts", raw.value)

    def test_user_without_a_number_is_known_by_user_id(self):
        self.listen(h.MessageHandler)
        mia = self.fixture.control("people", {"name": "Mia", "hidden": True, "username": "mia.b"})
        self.fixture.control("say", {"from": "mia", "text": "guess who"})
        message, = self.arrived()
        self.assertEqual((message.from_user.bsuid, message.from_user.wa_id, message.from_user.username), (mia["user_id"], None, "mia.b"))
        message.reply("hello Mia")
        self.assertEqual(self.fixture.last("mia")["body"]["body"], "hello Mia")
        message.react("👋")
        message.mark_as_read()

    def test_numbers_and_user_ids_change(self):
        self.listen(h.PhoneNumberChangeHandler)
        self.fixture.control("people/ana", {"number": "31612345678"})
        number, user_id = self.arrived(2)
        self.assertEqual((number.old_wa_id, number.new_wa_id), (ANA, "31612345678"))
        self.assertEqual((user_id.sys_type.value, user_id.new_user_id), ("user_changed_user_id", self.fixture.control("people/ana")["user_id"]))

    def test_changes_unknown_to_pywa_are_dropped(self):
        """A hidden person's change has no `from`, and a system message no contacts; pywa needs both."""
        self.listen(h.PhoneNumberChangeHandler, h.IdentityChangeHandler, h.MessageHandler)
        self.fixture.control("people", {"name": "Mia", "hidden": True})
        self.fixture.control("people/mia", {"user_id": "PT.1234567890123"})
        self.say({"type": "system", "identity": {"acknowledged": True, "created_timestamp": "1763900000", "hash": "abc"},
                  "system": {"type": "user_identity_changed", "body": "Ana's identity changed", "wa_id": ANA}})
        self.arrived(0)

    def test_marketing_preferences_are_understood(self):
        self.listen(h.UserMarketingPreferencesHandler)
        for value in ("stop", "resume", "signup"):
            self.fixture.control("marketing", {"person": "ana", "value": value})
        stop, resume, signup = self.arrived(3)
        self.assertEqual([wish.value.value for wish in self.seen], ["stop", "resume", "signup"])
        self.assertEqual((bool(stop), bool(resume), stop.from_user.wa_id), (False, True, ANA))

    def test_only_the_first_update_of_a_batch_arrives(self):
        self.listen(h.MessageHandler, h.RawUpdateHandler)
        self.fixture.control("faults", {"webhooks_paused": True, "max_batch_size": 10, "batch_wait_ms": 50})
        for person in ("ana", "bram", "kadri"):
            self.fixture.control("say", {"from": person, "text": person})
        self.fixture.control("faults", {"webhooks_paused": False})
        self.fixture.idle()
        batch = [update for update in self.seen if isinstance(update, types.RawUpdate)]
        count = sum(len(change["value"]["messages"]) for update in batch for entry in update["entry"] for change in entry["changes"])
        self.assertEqual(count, 3)
        self.assertEqual(len(self.seen) - len(batch), len(batch))


if __name__ == "__main__":
    import unittest

    unittest.main()
