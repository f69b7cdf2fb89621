//! Bounds what validating settings against a plugin's JSON Schema can cost. Pure.
//!
//! The schema comes from the plugin and is not trusted. Validation takes time in proportion to the
//! number of subschemas that are evaluated, which references can make exponential in the size of
//! the schema. [`check`] counts the evaluations for the settings at hand, with a budget, and bounds
//! the patterns. It accepts only references within the document.

use serde_json::Value;

/// Subschemas that may be evaluated for one value of the settings. Schemas of real plugins need
/// some hundreds.
const MAX_EVALUATIONS: usize = 20_000;
/// Patterns of a schema, each compiled to an automaton.
const MAX_PATTERNS: usize = 32;
/// The length of a pattern.
const MAX_PATTERN_BYTES: usize = 512;
/// The product of the counts in a pattern, such as `{3}{4}`, by which its automaton grows.
const MAX_REPETITIONS: u64 = 10_000;

/// Keywords whose value is applied to a part of the value.
const PARTS: [&str; 9] = [
    "items",
    "additionalItems",
    "prefixItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords with a map of schemas that are applied to parts of the value.
const PART_MAPS: [&str; 2] = ["properties", "patternProperties"];
/// Keywords whose value, or the schemas in it, is applied to the same value.
const SAME: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref"];
/// Keywords with a map of schemas that are applied to the same value.
const SAME_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords that change what references mean.
const UNSUPPORTED: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$anchor"];

/// Rejects a schema that could take too long to compile, or to validate `settings` against.
pub(crate) fn check(schema: &Value, settings: &Value) -> Result<(), String> {
    check_keywords(schema)?;
    let depth = depth_of(settings);
    let mut evaluations = 0;
    // A schema and how many levels of the settings are above it.
    let mut pending = vec![(schema, 0)];
    while let Some((part, level)) = pending.pop() {
        evaluations += 1;
        if evaluations > MAX_EVALUATIONS {
            return Err(format!("it evaluates more than {MAX_EVALUATIONS} subschemas for one value"));
        }
        let Value::Object(keywords) = part else { continue };
        for (keyword, value) in keywords {
            let keyword = keyword.as_str();
            if keyword == "$ref" {
                pending.push((target(schema, value)?, level));
                continue;
            }
            let below = level + usize::from(PARTS.contains(&keyword) || PART_MAPS.contains(&keyword));
            let is_applied = PARTS.contains(&keyword) || SAME.contains(&keyword);
            let is_map = PART_MAPS.contains(&keyword) || SAME_MAPS.contains(&keyword);
            if below > depth || !is_applied && !is_map {
                continue;
            }
            match value {
                Value::Object(parts) if is_map => pending.extend(parts.values().map(|part| (part, below))),
                Value::Array(parts) => pending.extend(parts.iter().map(|part| (part, below))),
                part => pending.push((part, below)),
            }
        }
    }
    Ok(())
}

/// Looks at every object in the schema, applied or not.
fn check_keywords(schema: &Value) -> Result<(), String> {
    let mut patterns = 0;
    let mut pending = vec![(schema, true)];
    while let Some((value, is_root)) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, false))),
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    let is_unsupported = UNSUPPORTED.contains(&keyword.as_str()) || keyword == "$id" && !is_root;
                    if is_unsupported && value.is_string() {
                        return Err(format!("`{keyword}` is not supported"));
                    }
                    match (keyword.as_str(), value) {
                        ("pattern", Value::String(pattern)) => check_pattern(pattern, &mut patterns)?,
                        ("patternProperties", Value::Object(parts)) => {
                            parts.keys().try_for_each(|pattern| check_pattern(pattern, &mut patterns))?;
                        }
                        _ => {}
                    }
                    pending.push((value, false));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_pattern(pattern: &str, patterns: &mut usize) -> Result<(), String> {
    *patterns += 1;
    if *patterns > MAX_PATTERNS {
        return Err(format!("it has more than {MAX_PATTERNS} patterns"));
    }
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("it has a pattern of {} bytes, the maximum is {MAX_PATTERN_BYTES}", pattern.len()));
    }
    let counts = pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let largest = counts.map(|count| count.split(',').filter_map(|n| n.trim().parse::<u64>().ok()).max().unwrap_or(1));
    let repetitions = largest.fold(1_u64, |product, count| product.saturating_mul(count.max(1)));
    if repetitions > MAX_REPETITIONS {
        return Err(format!("it has a pattern with {repetitions} repetitions, the maximum is {MAX_REPETITIONS}"));
    }
    Ok(())
}

/// The schema that a reference leads to.
fn target<'a>(schema: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let text = reference.as_str().unwrap_or_default();
    let pointer = text.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
    let pointer = pointer.ok_or_else(|| format!("it refers to `{text}`, but must not refer to other documents"))?;
    schema.pointer(pointer).ok_or_else(|| format!("it refers to `{text}`, which does not exist"))
}

/// How deep a value is nested; 0 for a number.
fn depth_of(value: &Value) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(value, 0)];
    while let Some((value, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        match value {
            Value::Array(items) => pending.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(items) => pending.extend(items.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A schema in which each definition refers to the next one several times.
    fn bomb(levels: usize, width: usize) -> Value {
        let mut definitions = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"allOf": vec![next; width]}));
        }
        definitions.insert(format!("d{levels}"), json!({"type": "object"}));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    }

    #[test]
    fn exponential_references_are_rejected() {
        assert_eq!(check(&bomb(4, 3), &json!({})), Ok(()));
        let error = check(&bomb(40, 2), &json!({})).unwrap_err();
        assert!(error.contains("evaluates more than"), "{error}");
        // A reference to itself without going into the value.
        let endless = json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"});
        assert!(check(&endless, &json!({})).unwrap_err().contains("evaluates more than"));
    }

    #[test]
    fn recursion_is_as_deep_as_the_settings() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert_eq!(check(&tree, &json!({"left": {"left": {}}})), Ok(()));
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({"left": deep});
        }
        assert!(check(&tree, &deep).is_err());
    }

    #[test]
    fn patterns_are_bounded() {
        assert_eq!(check(&json!({"pattern": "^[a-z]{2,16}(-[0-9]{4}){0,3}$"}), &json!({})), Ok(()));
        for (schema, expected) in [
            (json!({"pattern": "((a{100}){100}){100}"}), "repetitions"),
            (json!({"patternProperties": {"(a{1000}){1000}": true}}), "repetitions"),
            (json!({"pattern": "a".repeat(600)}), "bytes"),
            (json!({"anyOf": vec![json!({"pattern": "a"}); 40]}), "more than 32 patterns"),
        ] {
            let error = check(&schema, &json!({})).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn only_references_within_the_document_are_supported() {
        for (schema, expected) in [
            (json!({"$ref": "http://127.0.0.1/schema"}), "other documents"),
            (json!({"$ref": "#name"}), "other documents"),
            (json!({"$ref": "#/$defs/none"}), "does not exist"),
            (json!({"$dynamicRef": "#a"}), "`$dynamicRef` is not supported"),
            (json!({"$defs": {"a": {"$id": "http://a"}}}), "`$id` is not supported"),
        ] {
            let error = check(&schema, &json!({})).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        // Properties may have such names.
        assert_eq!(check(&json!({"properties": {"$id": {"type": "string"}, "pattern": {}}}), &json!({})), Ok(()));
    }
}
