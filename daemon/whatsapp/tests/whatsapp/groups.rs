//! Groups: webhooks become events and update the store's copy of the group; requests have the
//! documented form.

use crate::channel_env::{NOW, NUMBER, StoreEnv, channel};
use crate::webhook_env::{app, receive};
use beadle_model::event::GroupNotification;
use beadle_model::outgoing::GroupChange;
use beadle_model::{Alias, AliasKind, ContactId, EventBody, EventId, MessageId, Outgoing};
use beadle_pipeline::{Acceptance, Channel, SendRequest, SendResponse};
use beadle_store::step::Batch;
use beadle_test_support::graph::{FakeGraph, error, ok};
use serde_json::{Value, json};

const GROUP: &str = "Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD";

fn webhook(field: &str, group: &Value) -> Value {
    let value = json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}, "groups": [group]});
    json!({"entry": [{"id": "1", "time": 1, "changes": [{"field": field, "value": value}]}]})
}

fn element(kind: &str, more: Value) -> Value {
    let mut element = json!({"timestamp": "1750269342", "group_id": GROUP, "type": kind});
    element.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    element
}

/// Stores a webhook and returns the events that it made.
async fn ingest(env: &StoreEnv, webhook: &Value) -> Vec<EventBody> {
    let before = env.store.reader().events_after(EventId(0), 1000).unwrap().len();
    let parsed = receive(&app(), webhook.to_string().as_bytes());
    env.store.append(Batch { events: parsed.events, ..Batch::default() }).await.unwrap();
    let rows = env.store.reader().events_after(EventId(0), 1000).unwrap();
    rows[before..].iter().map(|row| env.store.reader().event(row.id).unwrap().unwrap().body).collect()
}

fn notification(events: &[EventBody]) -> &GroupNotification {
    let notification = events.iter().find_map(|body| match body {
        EventBody::GroupChanged(notification) => Some(notification),
        _ => None,
    });
    notification.unwrap()
}

#[tokio::test]
async fn group_life_cycle_is_mirrored_in_the_store() {
    let env = StoreEnv::new();
    let reader = env.store.reader();
    let created = element(
        "group_create",
        json!({"request_id": "R1", "subject": "Potters", "description": "Clay", "invite_link": "https://chat.whatsapp.com/x",
            "join_approval_mode": "approval_required"}),
    );
    let events = ingest(&env, &webhook("group_lifecycle_update", &created)).await;
    assert_eq!(
        (notification(&events).change.as_str(), notification(&events).request.as_deref()),
        ("created", Some("R1"))
    );
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.approval_required, group.members), (Some("Potters"), Some(true), 0));

    let join_request =
        |id: &str, number: &str| element("group_join_request_created", json!({"join_request_id": id, "wa_id": number}));
    for (id, number) in [("J1", "16505551234"), ("J2", "16505551235"), ("J3", "16505551236")] {
        let events = ingest(&env, &webhook("group_participants_update", &join_request(id, number))).await;
        assert!(matches!(&events[..], [EventBody::JoinRequest { request, revoked: false, .. }] if request == id));
    }
    assert_eq!(reader.join_requests(group.conversation).unwrap().len(), 3);
    let revoked = element("group_join_request_revoked", json!({"join_request_id": "J3", "wa_id": "16505551236"}));
    ingest(&env, &webhook("group_participants_update", &revoked)).await;
    // An approved participant has `input`. Ids may be numbers.
    let added = element(
        "group_participants_add",
        json!({"timestamp": 1_750_269_343, "reason": "invite_link",
            "added_participants": [{"input": "+1 650 555 1234", "wa_id": 16_505_551_234_u64}, {"user_id": "US.77", "username": "bo"}]}),
    );
    let events = ingest(&env, &webhook("group_participants_update", &added)).await;
    let reasons: Vec<_> = events
        .iter()
        .map(|body| match body {
            EventBody::MemberJoined { reason, again } => (reason.as_str(), *again),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reasons, [("approved", false), ("invite-link", false)]);
    assert_eq!(reader.group_members(group.conversation).unwrap().len(), 2);
    let open: Vec<_> =
        reader.join_requests(group.conversation).unwrap().into_iter().map(|request| request.request).collect();
    assert_eq!(open, ["J2"], "requests that were approved or revoked are closed");

    let left = element(
        "group_participants_remove",
        json!({"timestamp": "1750269350", "initiated_by": "participant", "removed_participants": [{"wa_id": "16505551234"}]}),
    );
    let events = ingest(&env, &webhook("group_participants_update", &left)).await;
    assert!(matches!(&events[..], [EventBody::MemberLeft { reason }] if reason == "left"));
    let again = element(
        "group_participants_add",
        json!({"timestamp": "1750269360", "added_participants": [{"wa_id": "16505551234"}]}),
    );
    let events = ingest(&env, &webhook("group_participants_update", &again)).await;
    assert!(matches!(&events[..], [EventBody::MemberJoined { again: true, .. }]));

    // As in Meta's example: the wrong type, and `initiated_by` next to the group.
    let mut removed = webhook(
        "group_participants_update",
        &element(
            "group_create",
            json!({"timestamp": "1750269370", "request_id": "R2",
            "removed_participants": [{"input": "+16505551234"}],
            "failed_participants": [{"input": "1", "errors": []}, {"input": "+16505551239", "errors": [{"code": 131_212}]}],
            "errors": [{"code": 131_201, "title": "Not All Participants Remove Succeeded"}]}),
        ),
    );
    removed["entry"][0]["changes"][0]["value"]["initiated_by"] = json!("business");
    let events = ingest(&env, &removed).await;
    assert!(matches!(&events[0], EventBody::MemberLeft { reason } if reason == "removed"));
    assert_eq!(notification(&events).problem.as_ref().unwrap().code, "131201");
    let failed = &notification(&events).extra["failed"];
    assert_eq!((failed[0].get("contact"), &failed[1]["errors"][0]["code"]), (None, &json!(131_212)));
    let contact = failed[1]["contact"].as_str().unwrap().parse().unwrap();
    assert_eq!(reader.contact_aliases(contact).unwrap()[0].value, "16505551239");
    assert!(notification(&events).failed.is_empty(), "the event contains no number");
    assert_eq!(reader.group_members(group.conversation).unwrap().len(), 1);

    let settings = element(
        "group_settings_update",
        json!({"request_id": "R3", "group_subject": {"text": "Clay", "update_successful": true},
            "group_description": {"text": "no", "update_successful": false, "errors": [{"code": 131_000}]}}),
    );
    let events = ingest(&env, &webhook("group_settings_update", &settings)).await;
    assert_eq!(notification(&events).problem.as_ref().unwrap().code, "131000");
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.description.as_deref()), (Some("Clay"), Some("Clay")));
    for (kind, suspended) in [("group_suspend", true), ("group_suspend_cleared", false)] {
        ingest(&env, &webhook("group_status_update", &element(kind, json!({})))).await;
        assert_eq!(reader.group(GROUP).unwrap().unwrap().suspended, suspended);
    }
    ingest(&env, &webhook("group_lifecycle_update", &element("group_delete", json!({"request_id": "R4"})))).await;
    assert_eq!(reader.group(GROUP).unwrap(), None);
}

#[tokio::test]
async fn duplicates_are_ignored_and_unknown_or_malformed_elements_kept() {
    let env = StoreEnv::new();
    let added = element(
        "group_participants_add",
        json!({"added_participants": [{"wa_id": "1650555123"}, {"wa_id": "1650555124"}]}),
    );
    let webhook_added = webhook("group_participants_update", &added);
    assert_eq!(ingest(&env, &webhook_added).await.len(), 2);
    assert_eq!(ingest(&env, &webhook_added).await.len(), 0);
    let events = ingest(&env, &webhook("group_participants_update", &element("group_party", json!({})))).await;
    assert!(matches!(&events[..], [EventBody::Unrouted { .. }]), "{events:?}");
    for malformed in [
        json!("?"),
        element("group_join_request_created", json!({})),
        element("group_join_request_created", json!({"join_request_id": "1"})),
        element("group_participants_add", json!({"added_participants": [{}]})),
    ] {
        let parsed = receive(&app(), webhook("group_participants_update", &malformed).to_string().as_bytes());
        assert_eq!(parsed.rejected.len(), 1, "{malformed}");
    }
    let failed = element("group_create", json!({"request_id": "R", "errors": [{"code": 131_211, "title": "Limit"}]}));
    let events = ingest(&env, &webhook("group_lifecycle_update", &failed)).await;
    assert_eq!(
        (notification(&events).change.as_str(), notification(&events).problem.as_ref().unwrap().code.as_str()),
        ("failed", "131211")
    );
}

async fn change(graph: &FakeGraph, env: &StoreEnv, group: &str, change: GroupChange) -> SendResponse {
    let request = SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: group.into() },
        group: Some(group.into()),
        body: Outgoing::Group(change),
        callback: String::new(),
    };
    channel(graph).with_media_store(env.media_store()).send(&request).await
}

#[tokio::test]
async fn requests_have_the_documented_form() {
    let env = StoreEnv::new();
    let member = webhook(
        "group_participants_update",
        &element(
            "group_participants_add",
            json!({"added_participants": [{"wa_id": "16505551234"}, {"user_id": "US.77"}]}),
        ),
    );
    ingest(&env, &member).await;
    let people: Vec<ContactId> = {
        let group = env.store.reader().group(GROUP).unwrap().unwrap();
        env.store.reader().group_members(group.conversation).unwrap().iter().map(|contact| contact.id).collect()
    };
    let graph = FakeGraph::start(|_| ok(json!({"messaging_product": "whatsapp", "request_id": "R9"}))).await;
    let product = json!({"messaging_product": "whatsapp"});
    let with = |more: Value| {
        let mut body = product.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let create = GroupChange::Create { subject: "P".into(), description: Some("d".into()), approval_required: false };
    for (group, requested, line, body) in [
        (
            "",
            create,
            format!("POST /v26.0/{NUMBER}/groups"),
            with(json!({"subject": "P", "description": "d", "join_approval_mode": "auto_approve"})),
        ),
        (
            GROUP,
            GroupChange::Settings { subject: Some("Q".into()), description: None },
            format!("POST /v26.0/{GROUP}"),
            with(json!({"subject": "Q"})),
        ),
        (GROUP, GroupChange::Delete, format!("DELETE /v26.0/{GROUP}"), product.clone()),
        (
            GROUP,
            GroupChange::Remove { contacts: people },
            format!("DELETE /v26.0/{GROUP}/participants"),
            with(json!({"participants": [{"user": "+16505551234"}, {"user_id": "US.77"}]})),
        ),
    ] {
        assert_eq!(change(&graph, &env, group, requested).await, SendResponse::accepted(Some("R9".into())), "{line}");
        let last = graph.requests().pop().unwrap();
        assert_eq!((last.line.as_str(), last.json()), (line.as_str(), body));
    }
    let unknown = change(&graph, &env, GROUP, GroupChange::Remove { contacts: vec![ContactId(999)] }).await;
    assert!(matches!(unknown, SendResponse::Refused(problem, _) if problem.code == "no-recipient"));
}

#[tokio::test]
async fn immediate_answers_become_events_and_are_mirrored() {
    let env = StoreEnv::new();
    let reader = env.store.reader();
    for id in ["J1", "J2", "J3"] {
        let join_request =
            element("group_join_request_created", json!({"join_request_id": id, "wa_id": format!("165055512{id}")}));
        ingest(&env, &webhook("group_participants_update", &join_request)).await;
    }
    let store_answer = async |answer: SendResponse| {
        let SendResponse::Accepted(Acceptance { platform_id: None, events, .. }) = answer else { panic!("{answer:?}") };
        assert!(events.iter().all(|event| event.happened_at == NOW));
        let EventBody::GroupChanged(notification) = events[0].body.clone() else { panic!() };
        env.store.append(Batch { events, ..Batch::default() }).await.unwrap();
        *notification
    };
    let graph = FakeGraph::start(|_| ok(json!({"invite_link": "https://chat.whatsapp.com/new"}))).await;
    for (reset, line) in [(false, "GET"), (true, "POST")] {
        let notification = store_answer(change(&graph, &env, GROUP, GroupChange::InviteLink { reset }).await).await;
        assert_eq!((notification.change.as_str(), notification.requested_by), ("invite-link", Some(MessageId(7))));
        assert_eq!(graph.lines().pop().unwrap(), format!("{line} /v26.0/{GROUP}/invite_link"));
    }
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!(group.invite_link.as_deref(), Some("https://chat.whatsapp.com/new"));

    let graph = FakeGraph::start(|_| {
        ok(json!({"messaging_product": "whatsapp", "rejected_join_requests": ["J1"],
            "failed_join_requests": [{"join_request_id": "J2", "errors": [{"code": 131_213, "title": "unknown"}]}]}))
    })
    .await;
    let answered = GroupChange::Answer { requests: vec!["J1".into(), "J2".into()], approve: false };
    let notification = store_answer(change(&graph, &env, GROUP, answered).await).await;
    assert_eq!(graph.lines(), [format!("DELETE /v26.0/{GROUP}/join_requests")]);
    assert_eq!(graph.requests()[0].json()["join_requests"], json!(["J1", "J2"]));
    assert_eq!(
        (notification.problem.unwrap().code.as_str(), &notification.extra["rejected"]),
        ("131213", &json!(["J1"]))
    );
    let open: Vec<_> =
        reader.join_requests(group.conversation).unwrap().into_iter().map(|request| request.request).collect();
    assert_eq!(open, ["J2", "J3"]);

    let graph = FakeGraph::start(|_| {
        ok(json!({"id": GROUP, "subject": "Now", "suspended": true, "join_approval_mode": "auto_approve",
            "participants": [{"wa_id": "16505559999"}]}))
    })
    .await;
    store_answer(change(&graph, &env, GROUP, GroupChange::Refresh).await).await;
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.suspended, group.members), (Some("Now"), true, 1));
}

#[tokio::test]
async fn group_errors_follow_the_table() {
    let env = StoreEnv::new();
    for (code, advice) in [
        (131_208, beadle_pipeline::Advice::Retry { attempts: 6 }),
        (131_207, beadle_pipeline::Advice::Fail),
        (131_215, beadle_pipeline::Advice::Fail),
    ] {
        let graph = FakeGraph::start(move |_| error(400, code)).await;
        let SendResponse::Refused(problem, hint) = change(&graph, &env, GROUP, GroupChange::Delete).await else {
            panic!()
        };
        assert_eq!((problem.code, hint), (code.to_string(), advice));
    }
}
