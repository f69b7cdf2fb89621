"""Groups by pywa: creation, joining, messages, settings, deletion, webhooks; README.md lists them."""

from fixture import ANA, BRAM, JPEG, NUMBER, Case
from pywa import handlers as h
from pywa import types


class Groups(Case):
    def street(self, *members, approval=False):
        """Creates a group with pywa and lets these people join by its link."""
        mode = types.GroupJoinApprovalMode.APPROVAL_REQUIRED if approval else types.GroupJoinApprovalMode.AUTO_APPROVE
        operation = self.wa.create_group(subject="Street", description="All of us", join_approval_mode=mode)
        self.assertTrue(operation.request_id)
        self.fixture.idle()
        # pywa expects groups at `data`, Meta documents `data.groups`: requested without pywa's types.
        group, = self.wa.api.get_active_groups(NUMBER)["data"]["groups"]
        group = self.wa.get_group(group["id"])
        for person in members:
            self.join(group, person)
        return group

    def join(self, group, person):
        link = self.wa.get_group_invite_link(group.id).link
        self.fixture.control(f"groups/{link.rsplit('/', 1)[1]}", {"action": "join", "person": person})
        self.fixture.idle()

    def reported(self, kind):
        """The group webhooks of this kind, raw: pywa has no handlers for them."""
        self.fixture.idle()
        return [group for update in self.seen for group in update.value.get("groups", []) if group["type"] == kind]

    def test_open_group_is_joined_at_once(self):
        self.listen(h.RawUpdateHandler)
        group = self.street("ana", "bram")
        details = self.wa.get_group(group.id)
        self.assertEqual((details.subject, details.description, details.total_participant_count), ("Street", "All of us", 2))
        self.assertEqual([participant.wa_id for participant in details.participants], [ANA, BRAM])
        self.assertEqual((details.suspended, details.join_approval_mode.value), (False, "auto_approve"))
        self.assertEqual(self.reported("group_create")[0]["subject"], "Street")
        self.assertEqual([added["reason"] for added in self.reported("group_participants_add")], ["invite_link"] * 2)

    def test_join_requests_are_approved_and_rejected(self):
        self.listen(h.RawUpdateHandler)
        group = self.street("ana", "bram", approval=True)
        requests = list(self.wa.get_group_join_requests(group.id))
        self.assertEqual([request.user.wa_id for request in requests], [ANA, BRAM])
        # pywa expects a `request_id` in the response, which Meta does not document: requested without pywa's types.
        ana, bram = [request.id for request in requests]
        self.assertEqual(self.wa.api.approve_group_join_requests(group.id, (ana,))["approved_join_requests"], [ana])
        self.assertEqual(self.wa.api.reject_group_join_requests(group.id, (bram,))["rejected_join_requests"], [bram])
        self.assertEqual(self.wa.get_group(group.id).total_participant_count, 1)
        for approve in (self.wa.approve_group_join_requests, self.wa.reject_group_join_requests):
            with self.assertRaises(KeyError):
                approve(group.id, [bram])
        self.fixture.control(f"groups/{group.id}", {"action": "join", "person": "bram"})
        self.fixture.control(f"groups/{group.id}", {"action": "revoke", "person": "bram"})
        self.assertEqual(len(self.reported("group_join_request_created")), 3)
        self.assertEqual(len(self.reported("group_join_request_revoked")), 1)

    def test_group_messages_and_receipts_are_exchanged(self):
        self.listen(h.MessageHandler, h.GroupMessageStatusesHandler)
        group = self.street("ana", "bram")
        self.say(group=group.id, text="hello all")
        message, = self.arrived()
        self.assertEqual((message.text, message.chat.id, message.from_user.wa_id), ("hello all", group.id, ANA))
        # pywa's `reply` writes to the person.
        message.reply("hello Ana")
        self.assertEqual(self.fixture.last()["body"]["body"], "hello Ana")
        sent = self.wa.send_message(group.id, "welcome", reply_to_message_id=message.id)
        self.assertEqual(self.fixture.last_of(group.id)["context"], message.id)
        # A group's `sent` has no participant and no contact, so pywa drops it.
        statuses, = self.arrived(2)[1:]
        self.assertEqual([(s.status.value, s.id, s.from_user.wa_id) for s in statuses], [("delivered", sent.id, who) for who in (ANA, BRAM)])
        self.say(group=group.id, message={"type": "unsupported", "errors": [{"code": 130501, "title": "Message type unknown",
                 "message": "Message type unknown", "error_data": {"details": "no"}}]})
        self.assertEqual(self.arrived(3)[2].error.code, 130501)

    def test_groups_accept_only_some_types(self):
        group = self.street("ana", "bram")
        self.say(group=group.id, text="hello all")
        media = self.wa.upload_media(JPEG, mime_type="image/jpeg", filename="a.jpg")
        self.wa.send_image(group.id, media.id, caption="the quay")
        self.assertEqual(self.fixture.last_of(group.id)["type"], "image")
        sent = self.wa.send_message(group.id, "read this")
        self.wa.pin_message(group.id, sent.id, expiration_days=7)
        pins = lambda: [shown["pins"] for shown in self.fixture.control("groups")["groups"] if shown["id"] == group.id][0]
        self.assertEqual(pins(), [sent.id])
        self.wa.unpin_message(group.id, sent.id)
        self.assertEqual(pins(), [])
        self.refused(131051, self.wa.send_message, group.id, "Yes?", buttons=[types.Button("Yes", "y")])
        self.refused(131051, self.wa.send_location, group.id, 52.3, 4.8)
        self.refused(131051, self.wa.send_reaction, group.id, "🎉", sent.id)
        self.refused(131051, self.wa.send_contact, group.id, types.Contact(name=types.Contact.Name(formatted_name="B", first_name="B")))

    def test_members_are_removed_and_leave(self):
        self.listen(h.RawUpdateHandler)
        group = self.street("ana", "bram", "kadri")
        self.assertTrue(self.wa.remove_group_participants(group.id, [BRAM]).request_id)
        self.fixture.idle()
        self.fixture.control(f"groups/{group.id}", {"action": "leave", "person": "kadri"})
        gone = self.reported("group_participants_remove")
        self.assertEqual([group["initiated_by"] for group in gone], ["business", "participant"])
        self.assertEqual(self.wa.get_group(group.id).total_participant_count, 1)

    def test_group_can_be_changed_suspended_and_deleted(self):
        self.listen(h.RawUpdateHandler)
        group = self.street("ana")
        link = self.wa.get_group_invite_link(group.id).link
        self.wa.update_group_settings(group_id=group.id, subject="The street", description="Us", profile_picture=JPEG)
        settings, = self.reported("group_settings_update")
        self.assertTrue(settings["group_subject"]["update_successful"] and settings["profile_picture"]["update_successful"])
        self.assertEqual(self.wa.get_group(group.id).subject, "The street")
        self.assertNotEqual(self.wa.reset_group_invite_link(group.id).link, link)
        self.fixture.control(f"groups/{group.id}", {"action": "suspend"})
        self.fixture.idle()
        self.assertTrue(self.wa.get_group(group.id).suspended)
        self.refused(131207, self.wa.send_message, group.id, "anybody?")
        self.fixture.control(f"groups/{group.id}", {"action": "unsuspend"})
        self.assertEqual((len(self.reported("group_suspend")), len(self.reported("group_suspend_cleared"))), (1, 1))
        self.wa.delete_group(group.id)
        self.assertEqual(len(self.reported("group_delete")), 1)
        self.assertEqual(self.wa.api.get_active_groups(NUMBER)["data"]["groups"], [])

    def test_group_errors_are_raised(self):
        self.fixture.control("faults", {"groups_eligible": False})
        self.refused(131215, self.wa.create_group, subject="Street")
        self.fixture.control("faults", {"groups_eligible": True})
        self.refused(131041, self.wa.send_message, "Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD", "anybody?")
        group = self.street()
        self.refused(131020, self.wa.send_message, group.id, "alone")
        self.fixture.control("faults", {"group_async_failure": {"next": 1, "code": 131209, "only": ["settings"]}})
        self.listen(h.RawUpdateHandler)
        self.wa.update_group_settings(group_id=group.id, subject="x", profile_picture=JPEG)
        self.assertEqual(self.reported("group_settings_update")[0]["errors"][0]["code"], 131209)
