//! Validates a plugin's settings against the JSON Schema in its `about`.
//!
//! The schema comes from the plugin and is not trusted: it may not refer to other documents, its
//! patterns run in an engine with linear time, and `schema` bounds what it can cost. What remains
//! takes milliseconds, on a blocking thread.

use crate::schema;
use crate::step::{StepError, blocking};
use beadle_sandbox::About;
use boon::{Compiler, ErrorKind, Schemas, UrlLoader};
use serde_json::Value;
use std::error::Error;

/// The URL under which the schema is compiled; nothing is loaded from it.
const SCHEMA_URL: &str = "beadle:settings";

/// Errors that are reported; a person mends them one by one.
const MAX_ERRORS: usize = 10;

/// Rejects every reference to another document.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("the schema refers to {url}, but must not refer to other documents").into())
    }
}

/// Returns the errors of the settings, or of the schema itself, without blocking the caller's
/// thread.
pub(crate) async fn check(about: Option<About>, settings: Value) -> Result<Vec<String>, StepError> {
    blocking(move || Ok(errors(about.as_ref(), &settings))).await
}

/// Returns the errors of the settings, or of the schema itself. A plugin without a schema accepts
/// any settings.
pub(crate) fn errors(about: Option<&About>, settings: &Value) -> Vec<String> {
    let Some(schema) = about.and_then(|about| about.settings_schema.clone()) else { return Vec::new() };
    if let Err(reason) = schema::check(&schema, settings) {
        return vec![format!("the schema in the plugin is not supported: {reason}")];
    }
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(NoLoader));
    let mut schemas = Schemas::new();
    let unusable = |error: boon::CompileError| vec![format!("the schema in the plugin is invalid: {error}")];
    if let Err(error) = compiler.add_resource(SCHEMA_URL, schema) {
        return unusable(error);
    }
    let index = match compiler.compile(SCHEMA_URL, &mut schemas) {
        Ok(index) => index,
        Err(error) => return unusable(error),
    };
    match schemas.validate(settings, index) {
        Ok(()) => Vec::new(),
        Err(error) => {
            let mut found = Vec::new();
            collect_leaves(&error, &mut found);
            found.truncate(MAX_ERRORS);
            found
        }
    }
}

/// Collects the innermost causes, which a person can act on.
fn collect_leaves(error: &boon::ValidationError<'_, '_>, found: &mut Vec<String>) {
    if error.causes.is_empty() {
        let key = error.instance_location.to_string();
        let key = key.trim_start_matches('/').replace('/', ".");
        let quoted = |keys: &mut dyn Iterator<Item = String>| keys.map(|key| format!("`{key}`")).collect::<Vec<_>>();
        let problem = match &error.kind {
            ErrorKind::AdditionalProperties { got } => {
                let keys = quoted(&mut got.iter().map(ToString::to_string));
                format!("unknown {} {}", if keys.len() == 1 { "key" } else { "keys" }, keys.join(", "))
            }
            ErrorKind::Required { want } => {
                let keys = quoted(&mut want.iter().map(ToString::to_string));
                format!("missing {} {}", if keys.len() == 1 { "key" } else { "keys" }, keys.join(", "))
            }
            kind => kind.to_string(),
        };
        found.push(if key.is_empty() { problem } else { format!("`{key}`: {problem}") });
    }
    error.causes.iter().for_each(|cause| collect_leaves(cause, found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(schema: Value, settings: &Value) -> String {
        let about = About { version: String::new(), summary: String::new(), settings_schema: Some(schema) };
        errors(Some(&about), settings).join("; ")
    }

    #[test]
    fn settings_are_validated() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"brand": {"type": "string", "maxLength": 3}, "wait": {"$ref": "#/$defs/Span"}},
            "required": ["brand"],
            "additionalProperties": false,
            "$defs": {"Span": {"type": "string", "pattern": "^[0-9]+[smhd]$"}}
        });
        assert_eq!(found(schema.clone(), &json!({"brand": "abc", "wait": "2h"})), "");
        for (settings, expected) in [
            (json!({"brand": "abcd"}), "`brand`"),
            (json!({"brand": "abc", "wait": "soon"}), "`wait`"),
            (json!({"brand": "abc", "brnad": 1}), "unknown key `brnad`"),
            (json!({}), "missing key `brand`"),
        ] {
            let found = found(schema.clone(), &settings);
            assert!(found.contains(expected), "{settings}: {found}");
        }
        assert!(errors(None, &json!({"anything": 1})).is_empty());
    }

    #[tokio::test]
    async fn other_tasks_of_the_thread_run_during_a_validation() {
        // Close to the limit of evaluations.
        let choices: Vec<Value> = (0..6000).map(|number| json!({"const": number})).collect();
        let schema = json!({"items": {"anyOf": choices}});
        let about = About { version: String::new(), summary: String::new(), settings_schema: Some(schema) };
        let other = tokio::spawn(async {});
        let errors = check(Some(about), json!([7, 8, -1])).await.unwrap();
        assert!(other.is_finished() && errors.len() == MAX_ERRORS, "{errors:?}");
    }

    #[test]
    fn schema_cannot_load_other_documents() {
        for url in ["file:///etc/passwd", "http://127.0.0.1/schema"] {
            assert!(found(json!({"$ref": url}), &json!({})).contains("must not refer to other documents"), "{url}");
        }
        assert!(found(json!({"type": "no such type"}), &json!({})).contains("schema in the plugin is invalid"));
    }
}
