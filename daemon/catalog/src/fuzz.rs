//! Entry points for fuzzing. No part of the interface.

use crate::settings;
use beadle_sandbox::About;

/// Validates settings against a plugin's schema, both as JSON; texts that are not JSON are ignored.
pub fn settings(schema: &str, settings: &str) {
    if let (Ok(schema), Ok(settings)) = (serde_json::from_str(schema), serde_json::from_str(settings)) {
        let about = About { version: String::new(), summary: String::new(), settings_schema: Some(schema) };
        settings::errors(Some(&about), &settings);
    }
}
