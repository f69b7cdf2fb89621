//! Groups: what the platform tells of them becomes members, requests and news, and a mirror; what we ask of it is asked
//! as its pages say.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/graph.rs"]
mod graph;
#[expect(dead_code, reason = "its other half is for the tests of webhooks")]
mod support;

use beadle_model::event::GroupNews;
use beadle_model::outgoing::GroupChange;
use beadle_model::{Alias, AliasKind, ContactId, EventBody, EventId, MessageId, Outgoing};
use beadle_pipeline::{Channel, SendRequest, SendResponse};
use beadle_store::step::Batch;
use graph::{Graph, House, NOW, channel, error, ok};
use serde_json::{Value, json};
use support::{NUMBER, app, receive};

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

/// Takes a webhook in, and gives the events that it made.
async fn take(house: &House, webhook: &Value) -> Vec<EventBody> {
    let before = house.store.reader().events_after(EventId(0), 1000).unwrap().len();
    let parsed = receive(&app(), webhook.to_string().as_bytes());
    house.store.append(Batch { events: parsed.events, ..Batch::default() }).await.unwrap();
    let rows = house.store.reader().events_after(EventId(0), 1000).unwrap();
    rows[before..].iter().map(|row| house.store.reader().event(row.id).unwrap().unwrap().body).collect()
}

fn news(events: &[EventBody]) -> &GroupNews {
    let news = events.iter().find_map(|body| match body {
        EventBody::GroupChanged(news) => Some(news),
        _ => None,
    });
    news.unwrap()
}

#[tokio::test]
async fn a_group_from_its_making_to_its_end() {
    let house = House::new();
    let reader = house.store.reader();
    let created = element(
        "group_create",
        json!({"request_id": "R1", "subject": "Potters", "description": "Clay", "invite_link": "https://chat.whatsapp.com/x",
            "join_approval_mode": "approval_required"}),
    );
    let events = take(&house, &webhook("group_lifecycle_update", &created)).await;
    assert_eq!((news(&events).change.as_str(), news(&events).request.as_deref()), ("created", Some("R1")));
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.approval_required, group.members), (Some("Potters"), Some(true), 0));

    let asks =
        |id: &str, number: &str| element("group_join_request_created", json!({"join_request_id": id, "wa_id": number}));
    for (id, number) in [("J1", "16505551234"), ("J2", "16505551235"), ("J3", "16505551236")] {
        let events = take(&house, &webhook("group_participants_update", &asks(id, number))).await;
        assert!(matches!(&events[..], [EventBody::JoinRequest { request, revoked: false, .. }] if request == id));
    }
    assert_eq!(reader.join_requests(group.conversation).unwrap().len(), 3);
    let revoked = element("group_join_request_revoked", json!({"join_request_id": "J3", "wa_id": "16505551236"}));
    take(&house, &webhook("group_participants_update", &revoked)).await;
    // Let in: it carries what we wrote. Both spellings of who did it, and numbers as numbers.
    let added = element(
        "group_participants_add",
        json!({"timestamp": 1_750_269_343, "reason": "invite_link",
            "added_participants": [{"input": "+1 650 555 1234", "wa_id": 16_505_551_234_u64}, {"user_id": "US.77", "username": "bo"}]}),
    );
    let events = take(&house, &webhook("group_participants_update", &added)).await;
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
        reader.join_requests(group.conversation).unwrap().into_iter().map(|asked| asked.request).collect();
    assert_eq!(open, ["J2"], "who came in asks no more, who took it back neither");

    let left = element(
        "group_participants_remove",
        json!({"timestamp": "1750269350", "initiated_by": "participant", "removed_participants": [{"wa_id": "16505551234"}]}),
    );
    let events = take(&house, &webhook("group_participants_update", &left)).await;
    assert!(matches!(&events[..], [EventBody::MemberLeft { reason }] if reason == "left"));
    let again = element(
        "group_participants_add",
        json!({"timestamp": "1750269360", "added_participants": [{"wa_id": "16505551234"}]}),
    );
    let events = take(&house, &webhook("group_participants_update", &again)).await;
    assert!(matches!(&events[..], [EventBody::MemberJoined { again: true, .. }]));

    // Meta's own example calls it so, and has what is to be known beside the group.
    let mut removed = webhook(
        "group_participants_update",
        &element(
            "group_create",
            json!({"timestamp": "1750269370", "request_id": "R2",
            "removed_participants": [{"input": "+16505551234"}],
            "failed_participants": [{"input": "1", "errors": [{"code": 131_212}]}],
            "errors": [{"code": 131_201, "title": "Not All Participants Remove Succeeded"}]}),
        ),
    );
    removed["entry"][0]["changes"][0]["value"]["initiated_by"] = json!("business");
    let events = take(&house, &removed).await;
    assert!(matches!(&events[0], EventBody::MemberLeft { reason } if reason == "removed"));
    assert_eq!(news(&events).problem.as_ref().unwrap().code, "131201");
    assert_eq!(reader.group_members(group.conversation).unwrap().len(), 1);

    let settings = element(
        "group_settings_update",
        json!({"request_id": "R3", "group_subject": {"text": "Clay", "update_successful": true},
            "group_description": {"text": "no", "update_successful": false, "errors": [{"code": 131_000}]}}),
    );
    let events = take(&house, &webhook("group_settings_update", &settings)).await;
    assert_eq!(news(&events).problem.as_ref().unwrap().code, "131000");
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.description.as_deref()), (Some("Clay"), Some("Clay")));
    for (kind, suspended) in [("group_suspend", true), ("group_suspend_cleared", false)] {
        take(&house, &webhook("group_status_update", &element(kind, json!({})))).await;
        assert_eq!(reader.group(GROUP).unwrap().unwrap().suspended, suspended);
    }
    take(&house, &webhook("group_lifecycle_update", &element("group_delete", json!({"request_id": "R4"})))).await;
    assert_eq!(reader.group(GROUP).unwrap(), None);
}

#[tokio::test]
async fn what_comes_twice_is_told_once_and_what_is_not_understood_is_kept() {
    let house = House::new();
    let added = element(
        "group_participants_add",
        json!({"added_participants": [{"wa_id": "1650555123"}, {"wa_id": "1650555124"}]}),
    );
    let webhook_added = webhook("group_participants_update", &added);
    assert_eq!(take(&house, &webhook_added).await.len(), 2);
    assert_eq!(take(&house, &webhook_added).await.len(), 0);
    let events = take(&house, &webhook("group_participants_update", &element("group_party", json!({})))).await;
    assert!(matches!(&events[..], [EventBody::Unrouted { .. }]), "{events:?}");
    for senseless in [
        json!("?"),
        element("group_join_request_created", json!({})),
        element("group_join_request_created", json!({"join_request_id": "1"})),
        element("group_participants_add", json!({"added_participants": [{}]})),
    ] {
        let letters = receive(&app(), webhook("group_participants_update", &senseless).to_string().as_bytes()).letters;
        assert_eq!(letters.len(), 1, "{senseless}");
    }
    let failed = element("group_create", json!({"request_id": "R", "errors": [{"code": 131_211, "title": "Limit"}]}));
    let events = take(&house, &webhook("group_lifecycle_update", &failed)).await;
    assert_eq!(
        (news(&events).change.as_str(), news(&events).problem.as_ref().unwrap().code.as_str()),
        ("failed", "131211")
    );
}

async fn change(graph: &Graph, house: &House, group: &str, change: GroupChange) -> SendResponse {
    let shipment = SendRequest {
        message: MessageId(7),
        to: Alias { kind: AliasKind::WaId, value: group.into() },
        group: Some(group.into()),
        body: Outgoing::Group(change),
        callback: String::new(),
    };
    channel(graph).with_depot(house.depot()).send(&shipment).await
}

#[tokio::test]
async fn changes_are_asked_as_the_pages_say() {
    let house = House::new();
    let member = webhook(
        "group_participants_update",
        &element(
            "group_participants_add",
            json!({"added_participants": [{"wa_id": "16505551234"}, {"user_id": "US.77"}]}),
        ),
    );
    take(&house, &member).await;
    let people: Vec<ContactId> = {
        let group = house.store.reader().group(GROUP).unwrap().unwrap();
        house.store.reader().group_members(group.conversation).unwrap().iter().map(|contact| contact.id).collect()
    };
    let graph = Graph::start(|_| ok(json!({"messaging_product": "whatsapp", "request_id": "R9"}))).await;
    let product = json!({"messaging_product": "whatsapp"});
    let with = |more: Value| {
        let mut body = product.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let create = GroupChange::Create { subject: "P".into(), description: Some("d".into()), approval_required: false };
    for (group, asked, line, body) in [
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
        assert_eq!(change(&graph, &house, group, asked).await, SendResponse::Accepted(Some("R9".into())), "{line}");
        let last = graph.asked().pop().unwrap();
        assert_eq!((last.line.as_str(), last.json()), (line.as_str(), body));
    }
    let unknown = change(&graph, &house, GROUP, GroupChange::Remove { contacts: vec![ContactId(999)] }).await;
    assert!(matches!(unknown, SendResponse::Refused(problem, _) if problem.code == "no-recipient"));
}

#[tokio::test]
async fn what_is_answered_at_once_is_told_and_mirrored() {
    let house = House::new();
    let reader = house.store.reader();
    for id in ["J1", "J2", "J3"] {
        let asks =
            element("group_join_request_created", json!({"join_request_id": id, "wa_id": format!("165055512{id}")}));
        take(&house, &webhook("group_participants_update", &asks)).await;
    }
    let told = async |answer: SendResponse| {
        let SendResponse::AcceptedWith(None, events) = answer else { panic!("{answer:?}") };
        assert!(events.iter().all(|event| event.happened_at == NOW));
        let EventBody::GroupChanged(news) = events[0].body.clone() else { panic!() };
        house.store.append(Batch { events, ..Batch::default() }).await.unwrap();
        *news
    };
    let graph = Graph::start(|_| ok(json!({"invite_link": "https://chat.whatsapp.com/new"}))).await;
    for (reset, line) in [(false, "GET"), (true, "POST")] {
        let news = told(change(&graph, &house, GROUP, GroupChange::InviteLink { reset }).await).await;
        assert_eq!((news.change.as_str(), news.asked), ("invite-link", Some(MessageId(7))));
        assert_eq!(graph.lines().pop().unwrap(), format!("{line} /v26.0/{GROUP}/invite_link"));
    }
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!(group.invite_link.as_deref(), Some("https://chat.whatsapp.com/new"));

    let graph = Graph::start(|_| {
        ok(json!({"messaging_product": "whatsapp", "rejected_join_requests": ["J1"],
            "failed_join_requests": [{"join_request_id": "J2", "errors": [{"code": 131_213, "title": "unknown"}]}]}))
    })
    .await;
    let answered = GroupChange::Answer { requests: vec!["J1".into(), "J2".into()], approve: false };
    let news = told(change(&graph, &house, GROUP, answered).await).await;
    assert_eq!(graph.lines(), [format!("DELETE /v26.0/{GROUP}/join_requests")]);
    assert_eq!(graph.asked()[0].json()["join_requests"], json!(["J1", "J2"]));
    assert_eq!((news.problem.unwrap().code.as_str(), &news.extra["rejected"]), ("131213", &json!(["J1"])));
    let open: Vec<_> =
        reader.join_requests(group.conversation).unwrap().into_iter().map(|asked| asked.request).collect();
    assert_eq!(open, ["J2", "J3"]);

    let graph = Graph::start(|_| {
        ok(json!({"id": GROUP, "subject": "Now", "suspended": true, "join_approval_mode": "auto_approve",
            "participants": [{"wa_id": "16505559999"}]}))
    })
    .await;
    told(change(&graph, &house, GROUP, GroupChange::Refresh).await).await;
    let group = reader.group(GROUP).unwrap().unwrap();
    assert_eq!((group.subject.as_deref(), group.suspended, group.members), (Some("Now"), true, 1));
}

#[tokio::test]
async fn group_errors_are_what_the_table_says() {
    let house = House::new();
    for (code, advice) in [
        (131_208, beadle_pipeline::Advice::Retry { attempts: 6 }),
        (131_207, beadle_pipeline::Advice::Fail),
        (131_215, beadle_pipeline::Advice::Fail),
    ] {
        let graph = Graph::start(move |_| error(400, code)).await;
        let SendResponse::Refused(problem, given) = change(&graph, &house, GROUP, GroupChange::Delete).await else {
            panic!()
        };
        assert_eq!((problem.code, given), (code.to_string(), advice));
    }
}
