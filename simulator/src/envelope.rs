//! Updates, and the webhook bodies that carry them (docs/whatsapp.md#envelope).
//!
//! An update is kept as the JSON text that goes on the wire, so that delivering it again in another
//! body costs one copy.

use crate::messages::MessageState;
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One element of a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Updates on the same lane keep their order unless a fault reorders them.
    pub lane: usize,
    pub kind: UpdateKind,
    /// The object in wire form; several objects separated by commas if they must share a body.
    pub json: Arc<str>,
    /// Its `contacts` entries in wire form.
    pub contacts: Vec<Arc<str>>,
    /// The person's message that becomes `delivered` once this is answered with 200.
    pub delivers: Option<u64>,
    /// The message that it is about, for the log.
    pub about: Option<u64>,
}

impl Update {
    /// Creates an empty update.
    pub(crate) fn new(lane: usize, kind: UpdateKind) -> Self {
        Self { lane, kind, json: Arc::from(""), contacts: Vec::new(), delivers: None, about: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UpdateKind {
    /// An entry of `messages`.
    Message,
    /// An entry of `statuses`.
    Status(MessageState),
    /// A whole `value` of this field.
    Field(String),
}

impl UpdateKind {
    fn array(&self) -> Option<&'static str> {
        match self {
            Self::Message => Some("messages"),
            Self::Status(_) => Some("statuses"),
            Self::Field(_) => None,
        }
    }
}

/// The identity of the business, which is in every body.
pub(crate) struct Envelope {
    pub business_account_id: String,
    pub phone_number_id: String,
    pub display_number: String,
}

impl Envelope {
    /// Packs updates into one body. A single update makes the plain envelope of Meta's examples;
    /// several are distributed randomly over values, changes and entries, because a receiver must
    /// process all of them.
    pub(crate) fn pack(&self, updates: &[Update], now_ms: i64, rng: &mut Rng) -> String {
        let mut body = String::with_capacity(512 + updates.iter().map(|u| u.json.len() + 160).sum::<usize>());
        body.push_str(r#"{"object":"whatsapp_business_account","entry":["#);
        let mut rest = updates;
        let mut in_entry = false;
        while let Some(first) = rest.first() {
            let array = first.kind.array();
            let same_kind = rest.iter().take_while(|update| array.is_some() && update.kind.array() == array);
            let in_value = match same_kind.count() {
                0 | 1 => 1,
                several => 1 + usize::try_from(rng.below(several as u64)).unwrap_or(0),
            };
            let (value, after) = rest.split_at(in_value);
            rest = after;
            if in_entry && rng.chance(0.5) {
                body.push(',');
            } else {
                if in_entry {
                    body.push_str("]},");
                }
                self.open_entry(&mut body, first, now_ms);
                in_entry = true;
            }
            self.change(&mut body, &first.kind, value);
        }
        if in_entry {
            body.push_str("]}");
        }
        body.push_str("]}");
        body
    }

    fn open_entry(&self, body: &mut String, first: &Update, now_ms: i64) {
        body.push_str(r#"{"id":""#);
        body.push_str(&self.business_account_id);
        body.push('"');
        // Only fields other than `messages` have a time.
        if let UpdateKind::Field(_) = first.kind {
            body.push_str(&format!(r#","time":{}"#, now_ms.div_euclid(1000)));
        }
        body.push_str(r#","changes":["#);
    }

    fn change(&self, body: &mut String, kind: &UpdateKind, updates: &[Update]) {
        body.push_str(r#"{"value":"#);
        let field = match (kind, kind.array()) {
            (UpdateKind::Field(field), _) => {
                updates.iter().for_each(|update| body.push_str(&update.json));
                field.as_str()
            }
            (_, array) => {
                self.value(body, array.unwrap_or_default(), updates);
                "messages"
            }
        };
        body.push_str(r#","field":""#);
        body.push_str(field);
        body.push_str(r#""}"#);
    }

    fn value(&self, body: &mut String, array: &str, updates: &[Update]) {
        body.push_str(r#"{"messaging_product":"whatsapp","metadata":{"display_phone_number":""#);
        body.push_str(&self.display_number);
        body.push_str(r#"","phone_number_id":""#);
        body.push_str(&self.phone_number_id);
        body.push_str(r#""}"#);
        let mut contacts: Vec<&str> =
            updates.iter().flat_map(|update| &update.contacts).map(|contact| &**contact).collect();
        contacts.sort_unstable();
        contacts.dedup();
        if !contacts.is_empty() {
            list(body, "contacts", contacts.into_iter());
        }
        list(body, array, updates.iter().map(|update| &*update.json));
        body.push('}');
    }
}

fn list<'a>(body: &mut String, name: &str, items: impl Iterator<Item = &'a str>) {
    body.push_str(",\"");
    body.push_str(name);
    body.push_str("\":[");
    for (position, item) in items.enumerate() {
        if position > 0 {
            body.push(',');
        }
        body.push_str(item);
    }
    body.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn envelope() -> Envelope {
        Envelope {
            business_account_id: "102290129340398".to_owned(),
            phone_number_id: "106540352242922".to_owned(),
            display_number: "15550783881".to_owned(),
        }
    }

    fn update(kind: UpdateKind, json: &str, contact: Option<&str>) -> Update {
        Update { json: json.into(), contacts: contact.into_iter().map(Into::into).collect(), ..Update::new(0, kind) }
    }

    #[test]
    fn single_message_makes_the_envelope_of_metas_examples() {
        let message = update(UpdateKind::Message, r#"{"id":"wamid.1"}"#, Some(r#"{"wa_id":"16505551234"}"#));
        let body = envelope().pack(&[message], 5_000, &mut Rng::new(1));
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"value":{
                "messaging_product":"whatsapp",
                "metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},
                "contacts":[{"wa_id":"16505551234"}],"messages":[{"id":"wamid.1"}]},"field":"messages"}]}]})
        );
    }

    #[test]
    fn batch_contains_every_update_once_and_in_order() {
        let mut seen_entries = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let updates: Vec<_> = (0..20)
                .map(|n| match n % 5 {
                    0 => update(UpdateKind::Status(MessageState::Sent), &format!(r#"{{"n":{n}}}"#), None),
                    1 => update(UpdateKind::Field("account_update".to_owned()), &format!(r#"{{"n":{n}}}"#), None),
                    _ => update(UpdateKind::Message, &format!(r#"{{"n":{n}}}"#), Some(r#"{"wa_id":"1"}"#)),
                })
                .collect();
            let body: Value = serde_json::from_str(&envelope().pack(&updates, 5_000, &mut Rng::new(seed))).unwrap();
            let entries = body["entry"].as_array().unwrap();
            seen_entries.insert(entries.len());
            let mut found = Vec::new();
            for change in entries.iter().flat_map(|entry| entry["changes"].as_array().unwrap()) {
                let value = &change["value"];
                let lists = ["messages", "statuses"].into_iter().filter_map(|key| value[key].as_array());
                found.extend(lists.flatten().map(|item| item["n"].as_u64().unwrap()));
                found.extend(value["n"].as_u64());
                assert_eq!(change["field"] == "account_update", value["n"].is_u64());
            }
            assert_eq!(found, (0..20).collect::<Vec<_>>());
        }
        assert!(seen_entries.len() > 3, "the number of entries varies: {seen_entries:?}");
    }
}
