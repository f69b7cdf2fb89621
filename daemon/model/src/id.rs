//! Typed, readable ids: `evt_104`, `msg_77`, `con_3`, `cnv_9`, and `hnd_104.2` for event 104 in
//! plugin number 2.
//!
//! Each is a row number behind a prefix, so that a person can see what an id refers to and which of
//! two came first, and can type it into `beadle why`. They are Beadle's own: the platform's names
//! are a [`crate::contact::Alias`] or a platform id.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{form}`")]
pub struct ParseIdError {
    text: String,
    form: &'static str,
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|number| number.parse().ok())
                    .filter(|number| *number > 0)
                    .map(Self)
                    .ok_or_else(|| ParseIdError { text: text.into(), form: concat!($prefix, "_NUMBER") })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

row_id!(
    /// An event in the inbox. Later events have higher numbers, without gaps.
    EventId,
    "evt"
);
row_id!(
    /// A row of the outbox: a message that was or will be sent.
    MessageId,
    "msg"
);
row_id!(
    /// A person.
    ContactId,
    "con"
);
row_id!(
    /// One contact on one channel, or one group.
    ConversationId,
    "cnv"
);
row_id!(
    /// A webhook, or a part of one, that was rejected.
    WebhookId,
    "whk"
);
row_id!(
    /// A file that arrived with a message, or that a plugin created.
    MediaId,
    "med"
);
row_id!(
    /// One message to many people.
    BroadcastId,
    "bro"
);

row_id!(
    /// A durable request of a plugin to another server.
    RequestId,
    "req"
);

/// The number of a plugin's name in this installation; rows refer to plugins by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginNo(pub i64);

impl PluginNo {
    /// Beadle itself, as the author of a row (the reply to STOP).
    pub const HOST: PluginNo = PluginNo(0);
}

/// The number of a plugin's whole state. A plugin has one at a time; a migration creates the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateNo(pub i64);

/// One event processed by one plugin: `hnd_104.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlingId {
    /// The event.
    pub event: EventId,
    /// The plugin.
    pub plugin: PluginNo,
}

impl fmt::Display for HandlingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hnd_{}.{}", self.event.0, self.plugin.0)
    }
}

impl FromStr for HandlingId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.strip_prefix("hnd_")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(event, plugin)| Some((event.parse().ok()?, plugin.parse().ok()?)))
            .filter(|(event, plugin): &(i64, i64)| *event > 0 && *plugin >= 0)
            .map(|(event, plugin)| Self { event: EventId(event), plugin: PluginNo(plugin) })
            .ok_or_else(|| ParseIdError { text: text.into(), form: "hnd_EVENT.PLUGIN" })
    }
}

impl Serialize for HandlingId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_round_trip_as_text(event in 1..i64::MAX, plugin in 0..i64::MAX) {
            prop_assert_eq!(EventId(event).to_string().parse(), Ok(EventId(event)));
            let handling = HandlingId { event: EventId(event), plugin: PluginNo(plugin) };
            prop_assert_eq!(handling.to_string().parse(), Ok(handling));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<EventId>();
            let _ = text.parse::<HandlingId>();
        }
    }

    #[test]
    fn id_of_another_kind_is_rejected() {
        assert!("msg_1".parse::<EventId>().is_err());
        assert!("evt_0".parse::<EventId>().is_err());
        assert_eq!(
            "evt_x".parse::<EventId>().unwrap_err().to_string(),
            "`evt_x` is not an id of the form `evt_NUMBER`"
        );
    }
}
