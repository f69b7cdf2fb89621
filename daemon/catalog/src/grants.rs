//! Capabilities: which plugins may have, and what each allows.
//!
//! A plugin requests capabilities by its imports. It has the default ones, those granted in TOML (`grant = […]`) and those
//! granted by `beadle plugins grant`.

use std::collections::BTreeSet;

/// Capabilities that every plugin has (`docs/design.md#contract`).
pub const DEFAULT: [&str; 10] =
    ["settings", "clock", "random", "log", "state", "timers", "replies", "media", "documents", "contacts"];

/// Capabilities that the operator grants, and what each allows a plugin to do.
pub const GRANTABLE: [(&str, &str); 2] = [
    ("messages", "write to people first, inside their window or with a template"),
    ("groups", "create and change groups of the platform, and decide who may join"),
];

/// What the default capabilities allow a plugin to do.
const DEFAULT_MEANINGS: [(&str, &str); 10] = [
    ("settings", "read its settings"),
    ("clock", "read the time"),
    ("random", "draw random numbers"),
    ("log", "write to the log"),
    ("state", "store data, within its quota"),
    ("timers", "set timers"),
    ("replies", "answer in the conversation of the event"),
    ("contacts", "look up people by id: names, no phone numbers"),
    ("media", "read received files, and send files"),
    ("documents", "read its folder of text files"),
];

/// What a capability allows a plugin to do.
pub fn meaning(capability: &str) -> &'static str {
    let mut known = GRANTABLE.iter().chain(&DEFAULT_MEANINGS);
    known.find(|(known, _)| *known == capability).map_or("", |(_, meaning)| meaning)
}

/// Whether the operator can grant this capability.
pub fn is_grantable(capability: &str) -> bool {
    GRANTABLE.iter().any(|(known, _)| *known == capability)
}

/// The requested capabilities that are neither default nor granted, in order.
pub fn missing<'a>(requested: impl IntoIterator<Item = &'a str>, granted: &BTreeSet<String>) -> Vec<String> {
    let requested: BTreeSet<&str> = requested.into_iter().collect();
    let has = |capability: &&str| DEFAULT.contains(capability) || granted.contains(*capability);
    requested.into_iter().filter(|capability| !has(capability)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_are_requested_capabilities_that_are_not_granted() {
        let granted = |capabilities: &[&str]| capabilities.iter().map(|capability| (*capability).to_owned()).collect();
        assert!(missing(["state", "replies"], &granted(&[])).is_empty());
        assert_eq!(missing(["messages", "state"], &granted(&[])), ["messages"]);
        assert!(missing(["messages"], &granted(&["messages"])).is_empty());
        // A grant that the plugin does not request has no effect.
        assert!(missing(["clock"], &granted(&["messages"])).is_empty());
    }

    #[test]
    fn every_capability_has_a_meaning() {
        for capability in GRANTABLE.iter().map(|(capability, _)| *capability).chain(DEFAULT) {
            assert!(!meaning(capability).is_empty(), "{capability}");
        }
    }
}
