//! The operator's settings as the fields of the plugin's struct. Granted by default.
//!
//! ```
//! use beadle_plugin::{prelude::*, settings::Span};
//!
//! /// A comment is the description in the schema; `default` makes the setting optional.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Nudge {
//!     /// How long to wait before asking again.
//!     #[serde(default = "two_hours")]
//!     ask_again_after: Span,
//! }
//!
//! fn two_hours() -> Span {
//!     Span::hours(2)
//! }
//! # impl OnMessage for Nudge {
//! #     fn on_message(&self, _: MessageEvent) -> Result<Disposition, Failure> {
//! #         Ok(Disposition::Pass)
//! #     }
//! # }
//! plugin!(Nudge: Settings, OnMessage);
//! # fn main() {}
//! ```
//!
//! In TOML: `[plugins.nudge] settings = { ask_again_after = "90m" }`.

use crate::host;
use crate::types::Failure;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::time::Duration;

/// The settings, deserialised. [`plugin!`](crate::plugin) calls it once per instance; a change of
/// the settings replaces all instances.
pub fn load<T: DeserializeOwned>() -> Result<T, Failure> {
    // From bytes, as in `state`: so the binary contains one deserialiser, not two.
    serde_json::from_slice(host::settings::get().as_bytes())
        .map_err(|error| Failure::GiveUp(format!("settings: {error}")))
}

/// The JSON Schema (draft 2020-12) of the settings as text, for `about`.
pub fn schema<T: JsonSchema>() -> String {
    // A schema can always be written as JSON.
    serde_json::to_string(&schemars::schema_for!(T)).unwrap_or_default()
}

/// A duration as the operator writes it: `"90s"`, `"30m"`, `"2h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// A number of minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// A number of hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours.saturating_mul(60))
    }

    /// The duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = match text.strip_prefix(digits)? {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Self(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(seconds)?)))
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a duration; write it as \"30m\" or \"2h\""))
        })
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = self.0.as_secs();
        // The largest unit that divides it.
        let (count, unit) = [(86_400, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
            .map_or((seconds, "s"), |(unit, name)| (seconds / unit, name));
        serializer.serialize_str(&format!("{count}{unit}"))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+[smhd]$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_reads_what_it_writes() {
        for text in ["90s", "30m", "2h", "7d", "0s"] {
            let span: Span = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(span).unwrap(), text);
        }
        for text in ["", "2", "h", "2 h", "-2h", "2w", "99999999999999999d", "é"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
