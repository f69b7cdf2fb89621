"""The account by pywa: callbacks, numbers, profile, blocking, account webhooks; README.md lists them."""

from fixture import ACCOUNT, ANA, BRAM, JPEG, NUMBER, Case
from pywa import handlers as h


class Account(Case):
    def test_callback_addresses_can_be_set_and_removed(self):
        token = self.wa.get_app_access_token(1, "client-secret")
        self.assertTrue(self.wa.set_app_callback_url(1, token, self.fixture.callback, "client-verify", ("messages",)))
        self.assertTrue(self.wa.override_waba_callback_url(self.fixture.callback, "client-verify"))
        self.assertTrue(self.wa.override_phone_callback_url(self.fixture.callback, "client-verify"))
        for override in (self.wa.override_waba_callback_url, self.wa.override_phone_callback_url):
            self.refused(2200, override, self.fixture.callback, "wrong")
        self.assertTrue(self.wa.delete_phone_callback_url())
        self.assertTrue(self.wa.delete_waba_callback_url())

    def test_numbers_and_account_can_be_read(self):
        number = self.wa.get_business_phone_number()
        self.assertEqual((number.id, number.display_phone_number, number.quality_rating), (NUMBER, "+15550783881", "GREEN"))
        self.assertEqual([number.id for number in self.wa.get_business_phone_numbers()], [NUMBER])
        self.assertEqual(self.wa.get_business_account().id, ACCOUNT)

    def test_profile_is_stored(self):
        self.assertTrue(self.wa.update_business_profile(about="We lift", address="Harbour Street", description="Lifts", email="a@example.org",
                                                        websites=["https://example.org"], profile_picture=JPEG))
        profile = self.wa.get_business_profile()
        self.assertEqual((profile.about, profile.address, profile.websites), ("We lift", "Harbour Street", ("https://example.org",)))

    def test_blocked_people_are_not_delivered(self):
        blocked = self.wa.block_users([ANA, "4915112345678"])
        self.assertEqual((len(blocked.added_users), len(blocked.failed_users)), (1, 1))
        self.assertEqual([user.wa_id for user in self.wa.get_blocked_users()], [ANA])
        with self.assertRaises(Exception):
            self.fixture.control("say", {"from": "ana", "text": "anybody?"})
        self.assertEqual(len(self.wa.unblock_users([ANA]).removed_users), 1)
        self.listen(h.MessageHandler)
        self.say(text="back again")
        self.arrived()

    def test_account_updates_are_understood(self):
        self.listen(h.AccountUpdateHandler)
        for restriction in ("no_business_initiated", "blocked", "locked", "none"):
            self.fixture.control("account", {"restriction": restriction})
            self.fixture.idle()
        more = [{"event": "ACCOUNT_DELETED"}, {"event": "PARTNER_REMOVED"}, {"event": "ACCOUNT_OFFBOARDED",
                 "disconnection_info": {"reason": "ACCOUNT_DISCONNECTED", "initiated_by": "USER"}}]
        for value in more:
            self.webhook("account_update", value)
        first, violated, banned, none, *rest = self.arrived(7)
        self.assertEqual(first.restriction_info[0].type.value, "RESTRICTED_BIZ_INITIATED_MESSAGING")
        self.assertEqual((violated.violation_info.type, banned.ban_info.state.value), ("SCAM", "DISABLE"))
        self.assertEqual((none.restriction_info, [update.event.value for update in rest]), ((), [value["event"] for value in more]))

    def test_restrictions_refuse_sends(self):
        for restriction, code in [("blocked", 368), ("locked", 131031)]:
            self.fixture.control("account", {"restriction": restriction})
            self.refused(code, self.wa.send_message, ANA, "no")
        self.fixture.control("account", {"restriction": "no_business_initiated"})
        self.wa.send_message(ANA, "an answer still goes")

    def test_fields_without_a_handler_arrive_raw(self):
        self.listen(h.RawUpdateHandler)
        self.fixture.control("account", {"messaging_limit": 2000, "throughput_per_second": 1000})
        number = {"display_phone_number": "15550783881"}
        for field, value in [
            ("account_review_update", {"decision": "APPROVED"}),
            ("account_alerts", {"entity_type": "WABA", "entity_id": ACCOUNT, "alert_info": {"alert_severity": "CRITICAL", "alert_status": "ACTIVE",
             "alert_type": "OBA_APPROVED", "alert_description": "no"}}),
            ("phone_number_name_update", {**number, "decision": "APPROVED", "requested_verified_name": "Harbour", "rejection_reason": None}),
            ("security", {**number, "event": "PIN_CHANGED", "requester": "1"}),
            ("business_username_updates", {**number, "username": "harbour", "status": "approved"}),
            ("messaging_handovers", {"type": "control_passed", "control_passed": {"previous_owner_role": "ai_agent", "new_owner_role": "escalation"}}),
            ("standby", {"messages": []}), ("history", {"history": []}), ("smb_app_state_sync", {"state_sync": []}),
        ]:
            self.webhook(field, value)
        fields = [update.field for update in self.seen]
        self.assertEqual(fields[:3], ["business_capability_update", "phone_number_quality_update", "phone_number_quality_update"])
        self.assertEqual(len(fields), 12)

    def test_undocumented_calls_are_refused(self):
        wa = self.wa
        for call in [
            lambda: wa.create_qr_code("hello"), wa.get_qr_codes, wa.get_commerce_settings, lambda: wa.update_commerce_settings(True),
            wa.get_current_username, wa.get_reserved_usernames, lambda: wa.set_username("harbour"), wa.delete_username,
            wa.get_business_phone_number_settings, lambda: wa.get_call_permissions(BRAM), lambda: wa.update_display_name("Harbour"),
            lambda: wa.update_conversational_automation(["hello"]), lambda: wa.set_business_public_key("key"), wa.get_flows,
            lambda: wa.create_flow("survey", ["OTHER"]), lambda: wa.get_flow("1"), lambda: wa.reject_call("wacid.x"),
            lambda: wa.terminate_call("wacid.x"), lambda: wa.request_verification_code(code_method="SMS", language_code="en"),
            lambda: wa.create_phone_number(country_calling_code=1, phone_number=2, verified_name="x"), wa.get_signups,
            lambda: wa.archive_templates(["1"]), lambda: wa.migrate_templates("1"),
        ]:
            with self.subTest(call):
                try:
                    call()
                    self.fail("it was answered")
                except Exception as error:  # Some of its calls raise other exceptions when refused.
                    self.assertIn(getattr(error, "code", 100), (33, 100), error)
