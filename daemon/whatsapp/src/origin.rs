//! Where an element of a webhook stands: its entry, its change, and the configured channel of its
//! number.

use crate::config::AppConfig;
use crate::json::Json;
use crate::unparsable::Unparsable;
use beadle_model::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

/// The entry and the change around an element.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) app: &'a AppConfig,
    pub(crate) entry: &'a Json<'a>,
    pub(crate) change: &'a Json<'a>,
    /// The change's `value`.
    pub(crate) value: &'a Json<'a>,
    /// `metadata.phone_number_id`; empty if missing.
    pub(crate) number: &'a str,
    /// The channel of that number, if configured.
    pub(crate) channel: Option<&'a str>,
}

impl Origin<'_> {
    /// The webhook field; empty if missing.
    pub(crate) fn field(&self) -> Cow<'_, str> {
        self.change.text_of("field").unwrap_or_default()
    }

    /// The business account that the entry is about; empty if missing.
    pub(crate) fn account(&self) -> Cow<'_, str> {
        self.entry.text_of("id").unwrap_or_default()
    }

    /// The channel, for elements that need a configured one.
    pub(crate) fn configured_channel(&self) -> Result<&str, Unparsable> {
        self.channel.ok_or(Unparsable::UnknownNumber)
    }

    /// The entry's account id and time as the platform wrote them: part of the key of an element
    /// without an id.
    pub(crate) fn entry_id(&self) -> [String; 2] {
        ["id", "time"].map(|name| self.entry.string_of(name).unwrap_or_default())
    }

    /// The time of the entry, or else of the first element of any array in the value.
    pub(crate) fn timestamp(&self) -> Option<Timestamp> {
        let first = |(_, part): &(_, Json<'_>)| part.items()?.first()?.timestamp_of("timestamp");
        self.entry.timestamp_of("time").or_else(|| self.value.members()?.iter().find_map(first))
    }

    /// The entry reduced to this change and, if `part` is given, to this member of its value.
    pub(crate) fn excerpt(&self, part: Option<(&str, Value)>) -> Value {
        let mut change = self.change.without(|name| name == "value");
        let value = match part {
            None => self.value.to_value(),
            Some((name, part)) => {
                let mut value = self.value.without(|name| name != "metadata" && name != "contacts");
                value.insert(name.to_owned(), part);
                Value::Object(value)
            }
        };
        change.insert("value".to_owned(), value);
        let mut entry = self.entry.without(|name| name == "changes");
        entry.insert("changes".to_owned(), Value::Array(vec![Value::Object(change)]));
        Value::Object(entry)
    }
}
