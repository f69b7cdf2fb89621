//! Nothing that a guest gets of an event contains a phone number, readable or in base64.

use super::Encoder;
use crate::handles::Handles;
use crate::tests::{call_with, conversation, event};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use beadle_model::content::Context;
use beadle_model::event::{ChannelNotification, GroupNotification, Problem};
use beadle_model::{ContactId, Content, ConversationId, EventBody, EventKind, MessageId, PersonIds, PluginNo};
use serde_json::{Value, json};
use std::sync::Arc;

/// The number of the conversation's contact.
const NUMBER: &str = "31612345678";

/// The number of someone else, whom the platform's JSON names.
const OTHER: &str = "351910000209";

/// An id of the platform with the number in it.
fn id(prefix: &str) -> String {
    format!("{prefix}{}", STANDARD_NO_PAD.encode(format!("\x1d\x18\x0b{NUMBER}\x15\x02\0\x12\x18")))
}

fn message_id() -> String {
    id("wamid.")
}

/// The platform's JSON with the number in every place where it occurs or could.
fn platform_json() -> Value {
    json!({
        "id": message_id(), "from": NUMBER, "from_logical_id": NUMBER, "new_wa_id": NUMBER,
        "group_id": id(""), "timestamp": "1749416383", "body": format!("Ada changed to +{NUMBER}."),
        "mentions": [OTHER], "caller": format!("+{OTHER}"), "author": 351_910_000_209_u64, "members": [{ "id": OTHER }],
        "formatted": "(351) 910-000-209", "display": "+31 612 345 678",
        "statuses": [{ "recipient_id": NUMBER, "participant_recipient_id": NUMBER, "unknown": NUMBER }],
        "contacts": { NUMBER: { "address": format!("{NUMBER}@lid"), "number": 31_612_345_678_u64 } },
    })
}

fn bodies() -> Vec<EventBody> {
    let extra = platform_json();
    let context = Context { quoted: Some(message_id()), ..Context::default() };
    let details = format!("Message to {NUMBER} ({}) failed.", message_id());
    let problem =
        Problem { code: "131026".into(), title: details.clone(), details: Some(details), by: "platform".into() };
    let contents = [
        Content::Text("ping".into()),
        Content::Edited { original: message_id(), text: None, json: extra.clone() },
        Content::Deleted { original: message_id() },
        Content::Other { kind: "request_welcome".into(), json: extra.clone() },
    ];
    let messages = contents.iter().map(|content| EventBody::Message {
        message: message_id(),
        content: content.clone(),
        context: Some(context.clone()),
        referral: None,
        keyword: None,
        addressed: None,
        extra: extra.clone(),
    });
    let others = [
        EventBody::Reaction {
            message: message_id(),
            own_message: Some(MessageId(4)),
            emoji: Some("👍".into()),
            extra: extra.clone(),
        },
        EventBody::JoinRequest { request: id(""), revoked: false, extra: extra.clone() },
        EventBody::ChannelChanged(ChannelNotification { json: extra.clone(), ..ChannelNotification::default() }),
        EventBody::ContactChanged { change: "number-changed".into(), merged: None, extra: extra.clone() },
        EventBody::GroupChanged(Box::new(GroupNotification {
            group: Some(id("")),
            request: Some(id("")),
            problem: Some(problem.clone()),
            extra: extra.clone(),
            ..GroupNotification::default()
        })),
        EventBody::Echo { message: message_id(), content: contents[2].clone(), context: None, extra: extra.clone() },
        EventBody::MessageStatus {
            plugin: PluginNo(1),
            message: MessageId(4),
            platform: Some(message_id()),
            status: "failed".into(),
            problem: Some(problem),
            pricing: None,
            participant: None,
            extra: extra.clone(),
        },
        EventBody::EraseContact(PersonIds {
            contact: ContactId(3),
            merged: vec![ContactId(2)],
            conversations: vec![ConversationId(9)],
        }),
        EventBody::MemberJoined { reason: "start".into(), again: false },
        EventBody::MemberLeft { reason: "stop".into() },
    ];
    messages.chain(others).collect()
}

/// What a guest gets, as text. None: nothing in it comes from the platform.
fn seen(encoder: &Encoder<'_>, kind: EventKind) -> Option<String> {
    Some(match kind {
        EventKind::Message => format!("{:?}", encoder.message().unwrap()),
        EventKind::Reaction => format!("{:?}", encoder.reaction().unwrap()),
        EventKind::MemberJoined => format!("{:?}", encoder.member_joined().unwrap()),
        EventKind::MemberLeft => format!("{:?}", encoder.member_left().unwrap()),
        EventKind::MessageStatus => format!("{:?}", encoder.message_status().unwrap()),
        EventKind::JoinRequest => format!("{:?}", encoder.join_request().unwrap()),
        EventKind::ChannelChanged => format!("{:?}", encoder.channel_changed().unwrap()),
        EventKind::ContactChanged => format!("{:?}", encoder.contact_changed().unwrap()),
        EventKind::GroupChanged => format!("{:?}", encoder.group_changed().unwrap()),
        EventKind::Echo => format!("{:?}", encoder.echo().unwrap()),
        EventKind::EraseContact => match &encoder.call.event.body {
            EventBody::EraseContact(ids) => format!("{:?}", super::person(ids)),
            other => panic!("{other:?}"),
        },
        // Beadle's own events, one of other programs than the platform, and one that no plugin
        // gets.
        EventKind::Timer
        | EventKind::Schedule
        | EventKind::WindowExpiring
        | EventKind::WindowClosed
        | EventKind::ConsentChanged
        | EventKind::DocumentsChanged
        | EventKind::Webhook
        | EventKind::Response
        | EventKind::Unrouted => return None,
    })
}

/// Whether the number is in a text, also in base64 that starts anywhere.
fn contains_number(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let hidden = |token: &str| {
        (0..token.len().min(4)).any(|start| {
            let whole = &token[start..start + (token.len() - start) / 4 * 4];
            let decoded = STANDARD_NO_PAD.decode(whole).or_else(|_| URL_SAFE_NO_PAD.decode(whole));
            decoded.is_ok_and(|bytes| bytes.windows(NUMBER.len()).any(|window| window == NUMBER.as_bytes()))
        })
    };
    let spellings = [NUMBER, OTHER, "910-000-209", "612 345 678"];
    spellings.iter().any(|spelling| text.contains(spelling)) || text.split(|c| !is_base64(c)).any(hidden)
}

#[test]
fn no_field_of_an_event_contains_a_number() {
    assert!(contains_number(&message_id()) && contains_number(&platform_json().to_string()));
    let handles = Handles::new(&[7; 32]);
    for body in bodies() {
        for group in [None, Some(id(""))] {
            let conversation = Arc::new(beadle_model::ConversationView { group, ..conversation() });
            let kind = body.kind();
            let event = beadle_model::Event { body: body.clone(), conversation: Some(conversation), ..event(1) };
            let call = call_with(event);
            let seen = seen(&Encoder::new(&call, &handles), kind).unwrap();
            assert!(!contains_number(&seen), "{kind:?}: {seen}");
        }
    }
}
