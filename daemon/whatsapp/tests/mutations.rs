//! Webhooks that went wrong on the way or in the platform: nothing panics, and no message is lost that can still be seen.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking, in its helpers too")]

mod support;

use beadle_model::EventBody;
use beadle_whatsapp::Parsed;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use support::{app, receive, webhooks};

/// Elements of `messages` and of `statuses` that a JSON reader finds where the platform puts them.
fn elements(webhook: &Value) -> (usize, usize) {
    let nothing = Vec::new();
    let list = |value: &'_ Value, key: &str| value[key].as_array().unwrap_or(&nothing).clone();
    let (mut messages, mut statuses) = (0, 0);
    for entry in list(webhook, "entry") {
        for change in list(&entry, "changes") {
            // A field may come as a number; it is then none that we know.
            if change["field"] == "messages" {
                messages += list(&change["value"], "messages").len();
                statuses += list(&change["value"], "statuses").len();
            }
        }
    }
    (messages, statuses)
}

/// The same two, as they came out: each became a message, a reaction, a receipt, an excerpt or a letter.
fn found(parsed: &Parsed) -> (usize, usize) {
    let strays = |prefix: &str| {
        let is_stray = |body: &EventBody| matches!(body, EventBody::Unrouted { kind, .. } if kind.starts_with(prefix));
        parsed.events.iter().filter(|event| is_stray(&event.body)).count()
    };
    // What the platform tells of a person comes as a message too.
    let is_message = |body: &EventBody| match body {
        EventBody::Message { .. } | EventBody::Reaction { .. } => true,
        EventBody::ContactChanged { change, .. } => change.ends_with("-changed"),
        _ => false,
    };
    let messages = parsed.events.iter().filter(|event| is_message(&event.body)).count();
    let (mut in_messages, mut in_statuses) = (0, 0);
    for letter in &parsed.letters {
        let (messages, statuses) = serde_json::from_slice(&letter.body).map_or((0, 0), |webhook| elements(&webhook));
        (in_messages, in_statuses) = (in_messages + messages, in_statuses + statuses);
    }
    (messages + strays("messages/") + in_messages, parsed.receipts.len() + strays("statuses/") + in_statuses)
}

fn check(body: &[u8]) -> Result<Parsed, TestCaseError> {
    let parsed = receive(&app(), body);
    if let Ok(webhook) = serde_json::from_slice::<Value>(body) {
        prop_assert_eq!(found(&parsed), elements(&webhook), "{}", webhook);
    }
    let counts = parsed.counts;
    prop_assert_eq!(parsed.events.len(), counts.messages + counts.reactions + counts.news + counts.unrouted);
    prop_assert_eq!(parsed.receipts.len(), counts.receipts);
    prop_assert_eq!(parsed.letters.len(), counts.unreadable);
    for letter in &parsed.letters {
        // Read again by the same version it is the same letter, and nothing else comes of it.
        let again = app().understand(&letter.body, support::NOW);
        prop_assert_eq!((&again.letters, again.events.len()), (&vec![letter.clone()], 0));
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

/// Every place in a document.
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
    fn shapes_that_are_not_expected(
        mut webhook in any_webhook(),
        mutations in prop::collection::vec((any::<Index>(), any_mutation()), 1..5),
    ) {
        for (place, mutation) in &mutations {
            mutate(&mut webhook, place, mutation);
        }
        check(webhook.to_string().as_bytes())?;
    }

    #[test]
    fn bytes_that_fell_over(
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
    fn no_json_at_all(body in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&body)?;
    }

    #[test]
    fn a_message_between_two_that_are_broken_is_heard(
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
            "metadata": {"phone_number_id": support::NUMBER},
            "messages": [before, message("wamid.2"), after],
        }}]}]});
        let parsed = check(webhook.to_string().as_bytes())?;
        let heard = |event: &EventBody| matches!(event, EventBody::Message { message, .. } if message == "wamid.2");
        prop_assert_eq!(parsed.events.iter().filter(|event| heard(&event.body)).count(), 1);
    }
}
