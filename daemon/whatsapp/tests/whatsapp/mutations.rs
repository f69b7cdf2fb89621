//! Mutated webhooks: parsing never panics, and every element that is still recognisable is kept.

use crate::webhook_env::{NOW, NUMBER, app, receive, webhooks};
use beadle_model::EventBody;
use beadle_whatsapp::Parsed;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// The number of elements of `messages` and of `statuses` in the places where the platform puts
/// them.
fn elements(webhook: &Value) -> (usize, usize) {
    // A webhook about another product has no messages.
    if webhook["object"].as_str().is_some_and(|object| object != "whatsapp_business_account") {
        return (0, 0);
    }
    let empty = Vec::new();
    let list = |value: &'_ Value, key: &str| value[key].as_array().unwrap_or(&empty).clone();
    let (mut messages, mut statuses) = (0, 0);
    for entry in list(webhook, "entry") {
        for change in list(&entry, "changes") {
            if change["field"] == "messages" {
                messages += list(&change["value"], "messages").len();
                statuses += list(&change["value"], "statuses").len();
            }
        }
    }
    (messages, statuses)
}

/// The number of messages and statuses in the result: as a message, reaction, receipt, unrouted
/// event or rejected part.
fn found(parsed: &Parsed) -> (usize, usize) {
    let unrouted = |prefix: &str| {
        let matches = |body: &EventBody| matches!(body, EventBody::Unrouted { kind, .. } if kind.starts_with(prefix));
        parsed.events.iter().filter(|event| matches(&event.body)).count()
    };
    // A notice about a person is an element of `messages` too.
    let is_message = |body: &EventBody| match body {
        EventBody::Message { .. } | EventBody::Reaction { .. } => true,
        EventBody::ContactChanged { change, .. } => change.ends_with("-changed"),
        _ => false,
    };
    let messages = parsed.events.iter().filter(|event| is_message(&event.body)).count();
    let (mut in_messages, mut in_statuses) = (0, 0);
    for rejected in &parsed.rejected {
        let (messages, statuses) = serde_json::from_slice(&rejected.body).map_or((0, 0), |webhook| elements(&webhook));
        (in_messages, in_statuses) = (in_messages + messages, in_statuses + statuses);
    }
    (messages + unrouted("messages/") + in_messages, parsed.receipts.len() + unrouted("statuses/") + in_statuses)
}

fn check(body: &[u8]) -> Result<Parsed, TestCaseError> {
    let parsed = receive(&app(), body);
    if let Ok(webhook) = serde_json::from_slice::<Value>(body) {
        prop_assert_eq!(found(&parsed), elements(&webhook), "{}", webhook);
    }
    let counts = parsed.counts;
    prop_assert_eq!(parsed.events.len(), counts.messages + counts.reactions + counts.notifications + counts.unrouted);
    prop_assert_eq!(parsed.receipts.len(), counts.receipts);
    prop_assert_eq!(parsed.rejected.len(), counts.rejected);
    for rejected in &parsed.rejected {
        // Parsed again by the same version, a rejected part is rejected in the same way.
        let again = app().parse(&rejected.body, NOW);
        prop_assert_eq!((&again.rejected, again.events.len()), (&vec![rejected.clone()], 0));
    }
    for event in &parsed.events {
        let stored = serde_json::to_string(&event.body).unwrap();
        prop_assert!(serde_json::from_str::<EventBody>(&stored).is_ok(), "{}", stored);
    }
    prop_assert_eq!(&receive(&app(), body), &parsed);
    Ok(parsed)
}

fn any_webhook() -> impl Strategy<Value = Value> {
    prop::sample::select(webhooks().into_iter().map(|(_, webhook)| webhook).collect::<Vec<_>>())
}

/// The JSON pointers of all values in a document.
fn places(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(member, format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| places(item, format!("{at}/{place}"), all));
        }
        _ => {}
    }
    all.push(at);
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(Value),
    Delete,
    Duplicate,
    Wrap,
    AsText,
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let odd = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("\u{0}\u{fffd}👍"),
        json!([]),
        json!([null, 1]),
        json!({}),
        json!({"id": {"id": []}, "type": "text"}),
        json!("9".repeat(400)),
    ]);
    prop_oneof![
        odd.prop_map(Mutation::Replace),
        Just(Mutation::Delete),
        Just(Mutation::Duplicate),
        (1..200usize).prop_map(|levels| Mutation::Replace((0..levels).fold(json!(7), |inner, _| json!([inner])))),
        Just(Mutation::Wrap),
        Just(Mutation::AsText),
    ]
}

fn mutate(webhook: &mut Value, place: &Index, mutation: &Mutation) {
    let mut all = Vec::new();
    places(webhook, String::new(), &mut all);
    let at = &all[place.index(all.len())];
    match mutation {
        Mutation::Replace(with) => *webhook.pointer_mut(at).unwrap() = with.clone(),
        Mutation::Wrap => {
            let inner = webhook.pointer_mut(at).unwrap();
            *inner = json!([inner.take()]);
        }
        Mutation::AsText => {
            let inner = webhook.pointer_mut(at).unwrap();
            *inner = json!(inner.to_string());
        }
        Mutation::Delete | Mutation::Duplicate => {
            let Some((parent, name)) = at.rsplit_once('/') else { return };
            match (webhook.pointer_mut(parent).unwrap(), mutation) {
                (Value::Array(items), Mutation::Delete) => drop(items.remove(name.parse::<usize>().unwrap())),
                (Value::Array(items), _) => items.push(items[name.parse::<usize>().unwrap()].clone()),
                (Value::Object(members), Mutation::Delete) => drop(members.remove(name)),
                (Value::Object(members), _) => {
                    let twin = members[name].clone();
                    members.insert(format!("{name}_2"), twin);
                }
                _ => unreachable!("only containers have members"),
            }
        }
    }
}

proptest! {
    #[test]
    fn unexpected_shapes_lose_nothing(
        mut webhook in any_webhook(),
        mutations in prop::collection::vec((any::<Index>(), any_mutation()), 1..5),
    ) {
        for (place, mutation) in &mutations {
            mutate(&mut webhook, place, mutation);
        }
        check(webhook.to_string().as_bytes())?;
    }

    #[test]
    fn corrupted_bytes_do_not_panic(
        webhook in any_webhook(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut body = webhook.to_string().into_bytes();
        for (place, bits) in flips {
            let at = place.index(body.len());
            body[at] ^= bits;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        check(&body)?;
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&body)?;
    }

    #[test]
    fn message_between_two_malformed_ones_is_parsed(
        broken in prop::collection::vec(any_mutation(), 2),
        places in prop::collection::vec(any::<Index>(), 2),
    ) {
        let message = |id: &str| json!({
            "from": "16505551234", "id": id, "timestamp": "1749416383", "type": "text", "text": {"body": "hi"},
        });
        let mut around = [message("wamid.1"), message("wamid.3")];
        for ((message, place), mutation) in around.iter_mut().zip(&places).zip(&broken) {
            mutate(message, place, mutation);
        }
        let [before, after] = around;
        let webhook = json!({"entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "metadata": {"phone_number_id": NUMBER},
            "messages": [before, message("wamid.2"), after],
        }}]}]});
        let parsed = check(webhook.to_string().as_bytes())?;
        let is_it = |event: &EventBody| matches!(event, EventBody::Message { message, .. } if message == "wamid.2");
        prop_assert_eq!(parsed.events.iter().filter(|event| is_it(&event.body)).count(), 1);
    }
}
