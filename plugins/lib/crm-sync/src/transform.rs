//! How a value of a member becomes one of the CRM, and back.
//!
//! Values are compared in one form, that of the CRM after `comparable`, so that a system which
//! returns what it was given in another spelling has not changed it.

use crate::phone;
use crate::settings::{MapEntry, Transform};
use crate::time;
use crate::value::Value;

/// The CRM's value for one of the member.
pub fn to_crm(entry: &MapEntry, value: Option<Value>) -> Option<Value> {
    let value = value?.tidied()?;
    let value = match (&entry.prefix, value) {
        (Some(prefix), Value::List(elements)) => {
            Value::list(elements.iter().filter_map(|element| element.strip_prefix(prefix.as_str())))?
        }
        (_, value) => value,
    };
    let value = if entry.values.is_empty() { value } else { replaced(value, |word| entry.values.get(word).cloned())? };
    let at_ms = |value: &Value| time::parse_ms(&value.to_string());
    match entry.transform {
        Transform::None => Some(value),
        Transform::Lower => Value::text(value.to_string().to_lowercase()),
        Transform::Upper => Value::text(value.to_string().to_uppercase()),
        Transform::Phone => {
            let text = value.to_string();
            let number = phone::digits(&text, None);
            Value::text(number.map_or(text, |digits| format!("+{digits}")))
        }
        Transform::Date => at_ms(&value).and_then(|at_ms| Value::text(time::date(at_ms))),
        Transform::DateTime => at_ms(&value).and_then(|at_ms| Value::text(time::rfc3339(at_ms))),
        Transform::SqlDateTime => at_ms(&value).and_then(|at_ms| Value::text(time::sql(at_ms))),
        Transform::Semicolons => Value::text(value.elements().join(";")),
        Transform::Commas => Value::text(value.elements().join(",")),
    }
}

/// The member's value for one of the CRM. `present` is the member's value now: tags without the
/// prefix stay.
pub fn from_crm(entry: &MapEntry, value: Option<Value>, present: Option<&Value>) -> Option<Value> {
    let value = comparable(entry, value, None);
    let ours = |word: &str| entry.values.iter().find(|(_, crm)| *crm == word).map(|(ours, _)| ours.clone());
    let value = match value {
        Some(value) if !entry.values.is_empty() => replaced(value, ours),
        other => other,
    };
    let Some(prefix) = &entry.prefix else { return value };
    let others = present.map(Value::elements).unwrap_or_default();
    let others = others.into_iter().filter(|element| !element.starts_with(prefix.as_str()));
    let from_crm = value.map(|value| value.elements()).unwrap_or_default();
    Value::list(others.chain(from_crm.into_iter().map(|element| format!("{prefix}{element}"))))
}

/// The value in the form in which it is compared: lists as lists, numbers in one spelling, times to
/// the second.
pub fn comparable(entry: &MapEntry, value: Option<Value>, country_code: Option<&str>) -> Option<Value> {
    let value = value?.tidied()?;
    let text = value.to_string();
    match entry.transform {
        Transform::None => Some(value),
        Transform::Lower => Value::text(text.to_lowercase()),
        Transform::Upper => Value::text(text.to_uppercase()),
        Transform::Phone => {
            let number = phone::digits(&text, country_code);
            Value::text(number.map_or(text, |digits| format!("+{}", phone::canonical(&digits))))
        }
        Transform::Date => Value::text(time::parse_ms(&text).map_or(text, time::date)),
        Transform::DateTime | Transform::SqlDateTime => {
            let second = |at_ms: i64| time::rfc3339(at_ms.div_euclid(1000) * 1000);
            Value::text(time::parse_ms(&text).map_or(text, second))
        }
        Transform::Semicolons | Transform::Commas => match value {
            Value::Text(text) => Value::list(text.split(if entry.transform == Transform::Commas { ',' } else { ';' })),
            value => Some(value),
        },
    }
}

/// Every word of a value replaced; words without a replacement are left out.
fn replaced(value: Value, replacement: impl Fn(&str) -> Option<String>) -> Option<Value> {
    match value {
        Value::List(elements) => Value::list(elements.iter().filter_map(|element| replacement(element))),
        other => match replacement(&other.to_string())?.as_str() {
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            word => Value::text(word),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(transform: Transform) -> MapEntry {
        MapEntry { transform, ..MapEntry::default() }
    }

    #[test]
    fn values_are_converted_and_compared_in_one_form() {
        let number = |number: i64| Some(Value::Number(number.into()));
        for (transform, ours, written, returned) in [
            (Transform::None, Value::text(" Ana "), Value::text("Ana"), Value::text("Ana")),
            (Transform::Lower, Value::text("Ana@X.org"), Value::text("ana@x.org"), Value::text("ANA@x.org")),
            (Transform::Upper, Value::text("nl"), Value::text("NL"), Value::text("nl")),
            (
                Transform::Phone,
                Value::text("+5511987654321"),
                Value::text("+5511987654321"),
                Value::text("+55 11 8765-4321"),
            ),
            (Transform::Date, number(1_790_000_000_000), Value::text("2026-09-21"), Value::text("2026-09-21")),
            (
                Transform::DateTime,
                number(1_790_000_000_123),
                Value::text("2026-09-21T14:13:20.123Z"),
                Value::text("2026-09-21T16:13:20+02:00"),
            ),
            (
                Transform::SqlDateTime,
                number(1_790_000_000_000),
                Value::text("2026-09-21 14:13:20"),
                Value::text("2026-09-21 14:13:20"),
            ),
            (Transform::Semicolons, Value::list(["b", "a"]), Value::text("a;b"), Value::text("b; a")),
            (Transform::Commas, Value::list(["a"]), Value::text("a"), Value::list(["a"])),
        ] {
            let entry = entry(transform);
            let crm = to_crm(&entry, ours);
            assert_eq!(crm, written, "{transform:?}");
            assert_eq!(comparable(&entry, crm, None), comparable(&entry, returned, None), "{transform:?}");
        }
    }

    #[test]
    fn words_are_translated_both_ways() {
        let values = [("granted", "subscribed"), ("withdrawn", "false")];
        let values = values.map(|(ours, crm)| (ours.to_owned(), crm.to_owned())).into();
        let entry = MapEntry { values, ..MapEntry::default() };
        assert_eq!(to_crm(&entry, Value::text("granted")), Value::text("subscribed"));
        assert_eq!(to_crm(&entry, Value::text("withdrawn")), Some(Value::Flag(false)));
        assert_eq!(from_crm(&entry, Some(Value::Flag(false)), None), Value::text("withdrawn"));
        assert_eq!(from_crm(&entry, Value::text("archived"), None), None);
    }

    #[test]
    fn tags_without_the_prefix_stay() {
        let entry = MapEntry { prefix: Some("crm-".into()), ..MapEntry::default() };
        let tags = Value::list(["vip", "crm-new", "crm-old"]);
        assert_eq!(to_crm(&entry, tags.clone()), Value::list(["new", "old"]));
        assert_eq!(from_crm(&entry, Value::list(["new"]), tags.as_ref()), Value::list(["vip", "crm-new"]));
        assert_eq!(from_crm(&entry, None, tags.as_ref()), Value::list(["vip"]));
    }
}
