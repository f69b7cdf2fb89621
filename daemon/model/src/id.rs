//! Ids, typed and readable: `evt_104`, `msg_77`, `con_3`, `cnv_9`, and `hnd_104.2` for event 104 in plugin number 2.
//!
//! Each is a row number behind a prefix, so that a person can tell what an id names, see which came first, and type it
//! into `beadle why`. They are ours alone: what the platform calls things is a [`crate::contact::Alias`] or a platform id.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The text was not an id of this kind.
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
    /// An event in the inbox; later ones have higher numbers, without gaps.
    EventId,
    "evt"
);
row_id!(
    /// A message that leaves, or is to leave, the machine: a row of the outbox.
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
    /// A webhook, or a part of one, that could not be understood.
    WebhookId,
    "whk"
);
row_id!(
    /// A file that came with a message, or that a plugin made to send.
    MediaId,
    "med"
);

/// The number a plugin's name has in this installation's store; names are long, rows are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginNo(pub i64);

impl PluginNo {
    /// Beadle itself, where a row needs an author (the answer to STOP).
    pub const HOST: PluginNo = PluginNo(0);
}

/// The number of a plugin's state as a whole. A plugin has one at a time; a migration makes the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateNo(pub i64);

/// One event given to one plugin: `hnd_104.2`.
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
        fn an_id_reads_what_it_prints(event in 1..i64::MAX, plugin in 0..i64::MAX) {
            prop_assert_eq!(EventId(event).to_string().parse(), Ok(EventId(event)));
            let handling = HandlingId { event: EventId(event), plugin: PluginNo(plugin) };
            prop_assert_eq!(handling.to_string().parse(), Ok(handling));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,40}") {
            let _ = text.parse::<EventId>();
            let _ = text.parse::<HandlingId>();
        }
    }

    #[test]
    fn kinds_do_not_mix() {
        assert!("msg_1".parse::<EventId>().is_err());
        assert!("evt_0".parse::<EventId>().is_err());
        assert_eq!(
            "evt_x".parse::<EventId>().unwrap_err().to_string(),
            "`evt_x` is not an id of the form `evt_NUMBER`"
        );
    }
}
