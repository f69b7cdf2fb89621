//! Settings against the schema that a plugin says it has, before it gets them.
//!
//! The schema comes from a plugin, so it is not trusted: it may name no other document, and its patterns are run by an
//! engine whose time is linear.

use beadle_sandbox::About;
use boon::{Compiler, Schemas, UrlLoader};
use serde_json::Value;
use std::error::Error;

/// Where the schema is said to be; nothing is ever looked up there.
const PLACE: &str = "beadle:settings";

/// Loads nothing.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("the schema names {url}, and may name no other document").into())
    }
}

/// What is wrong with the settings, or with the schema; empty where nothing is. A plugin without a schema takes anything.
pub(crate) fn mistakes(about: Option<&About>, settings: &Value) -> Vec<String> {
    let Some(schema) = about.and_then(|about| about.settings_schema.clone()) else { return Vec::new() };
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Nowhere));
    let mut schemas = Schemas::new();
    let unusable = |error: boon::CompileError| vec![format!("the plugin's own schema cannot be used: {error}")];
    if let Err(error) = compiler.add_resource(PLACE, schema) {
        return unusable(error);
    }
    let index = match compiler.compile(PLACE, &mut schemas) {
        Ok(index) => index,
        Err(error) => return unusable(error),
    };
    match schemas.validate(settings, index) {
        Ok(()) => Vec::new(),
        Err(error) => {
            let mut found = Vec::new();
            leaves(&error, &mut found);
            found
        }
    }
}

/// The innermost causes: what a person can act on.
fn leaves(error: &boon::ValidationError<'_, '_>, found: &mut Vec<String>) {
    if error.causes.is_empty() {
        let key = error.instance_location.to_string();
        let key = key.trim_start_matches('/').replace('/', ".");
        let what = error.kind.to_string();
        found.push(if key.is_empty() { what } else { format!("`{key}`: {what}") });
    }
    error.causes.iter().for_each(|cause| leaves(cause, found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(schema: Value, settings: &Value) -> String {
        let about = About { version: String::new(), summary: String::new(), settings_schema: Some(schema) };
        mistakes(Some(&about), settings).join("; ")
    }

    #[test]
    fn settings_are_held_against_the_schema() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"brand": {"type": "string", "maxLength": 3}, "wait": {"$ref": "#/$defs/Span"}},
            "required": ["brand"],
            "additionalProperties": false,
            "$defs": {"Span": {"type": "string", "pattern": "^[0-9]+[smhd]$"}}
        });
        assert_eq!(found(schema.clone(), &json!({"brand": "abc", "wait": "2h"})), "");
        for (settings, said) in [
            (json!({"brand": "abcd"}), "`brand`"),
            (json!({"brand": "abc", "wait": "soon"}), "`wait`"),
            (json!({"brand": "abc", "brnad": 1}), "brnad"),
            (json!({}), "brand"),
        ] {
            let found = found(schema.clone(), &settings);
            assert!(found.contains(said), "{settings}: {found}");
        }
        assert!(mistakes(None, &json!({"anything": 1})).is_empty());
    }

    #[test]
    fn a_schema_reaches_for_nothing() {
        for place in ["file:///etc/passwd", "http://127.0.0.1/schema"] {
            assert!(found(json!({"$ref": place}), &json!({})).contains("schema cannot be used"), "{place}");
        }
        assert!(found(json!({"type": "no such type"}), &json!({})).contains("cannot be used"));
    }
}
