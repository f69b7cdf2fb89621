//! Values of contacts: their checks, and how they are written.

use beadle_model::is_language_tag;
use beadle_model::profile::{AttributeValue, ProfileError};
use beadle_schedule::Zone;

/// The error for a value of a profile.
pub fn profile_error(error: &ProfileError) -> String {
    error.to_string()
}

/// Checks a language; empty clears it.
pub fn check_language(tag: &str) -> Result<(), String> {
    if tag.is_empty() || is_language_tag(tag) {
        return Ok(());
    }
    Err(format!("`{tag}` is not a language tag; it must follow BCP 47, such as `nl` or `pt-BR`"))
}

/// Checks a time zone; empty clears it.
pub fn check_timezone(name: &str) -> Result<(), String> {
    if name.is_empty() || Zone::named(name).is_some() {
        return Ok(());
    }
    let near = Zone::suggest(name).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("unknown time zone `{name}`; it must be an IANA time zone, such as `Europe/Amsterdam`{near}"))
}

/// A value as it is written in files.
pub fn value_text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Boolean(value) => value.to_string(),
        AttributeValue::Number(number) => number.to_string(),
        AttributeValue::Text(text) => text.clone(),
        AttributeValue::Choices(choices) => choices.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}
