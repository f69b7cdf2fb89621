//! The parts of a template's definition, in the platform's JSON.

use serde_json::Value;

/// The variables of a text, in the order of their first appearance: `1` and `name` in
/// `{{1}} {{name}}`.
pub fn variables(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split("{{").skip(1) {
        if let Some((name, _)) = part.split_once("}}")
            && !found.contains(&name.trim())
        {
            found.push(name.trim());
        }
    }
    found
}

/// The component of this type.
pub(super) fn component<'a>(components: &'a Value, kind: &str) -> Option<&'a Value> {
    components.as_array()?.iter().find(|component| is(component, "type", kind))
}

pub(super) fn is(value: &Value, key: &str, expected: &str) -> bool {
    text(value, key).eq_ignore_ascii_case(expected)
}

/// A member that is a text; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
