//! Capabilities: which plugins may have, and what each allows.
//!
//! A plugin requests capabilities by its imports. It has the default ones, those granted in TOML
//! (`grant = […]`) and those granted by `beadle plugins grant`.

use std::collections::BTreeSet;

/// Capabilities that every plugin has (`docs/design.md#contract`).
pub const DEFAULT: [&str; 10] =
    ["settings", "clock", "random", "log", "state", "timers", "replies", "media", "documents", "contacts"];

/// Capabilities that the operator grants, and what each allows a plugin to do.
pub const GRANTABLE: [(&str, &str); 9] = [
    ("messages", "write to people first, inside their window or with a template"),
    ("contacts-identity", "read phone numbers and WhatsApp's ids of people, and find people by number"),
    ("contacts-edit", "change tags, attributes and roles of people"),
    ("consents", "read and record what people agreed to receive"),
    ("segments", "see who belongs to segments and lists"),
    ("broadcasts", "send one message to many people, under the rules of the operator's broadcasts"),
    ("groups", "create and change groups of the platform, and decide who may join"),
    ("http", "send requests to the hosts that `[[plugins.NAME.egress]]` allows"),
    ("requests", "have requests sent to these hosts until they are answered"),
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

/// Whether every plugin has this capability.
pub fn is_default(capability: &str) -> bool {
    DEFAULT.contains(&capability)
}

/// The capabilities that can be granted, for people.
pub fn grantable_names() -> String {
    GRANTABLE.map(|(name, _)| name).join(", ")
}

/// The answer to a grant. `is_requested`: by the loaded revision, if there is one.
pub(crate) fn granted_text(name: &str, capability: &str, is_requested: Option<bool>) -> String {
    let granted = format!("`{name}` is granted {capability} ({})", meaning(capability));
    match is_requested {
        Some(false) => format!("{granted}, but does not request it: the grant has no effect until a revision does"),
        _ => granted,
    }
}

/// The answer to a revocation. `was_granted`: by command; `in_toml`: in the configuration.
pub(crate) fn revoked_text(name: &str, capability: &str, was_granted: bool, in_toml: bool) -> String {
    match (was_granted, in_toml) {
        (_, true) => format!("`{name}` still has {capability} by `grant` in `[plugins.{name}]`"),
        (true, false) => format!("`{name}` is no longer granted {capability} ({})", meaning(capability)),
        (false, false) => format!("`{name}` was not granted {capability}: nothing was changed"),
    }
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
    fn answers_name_the_case() {
        assert_eq!(
            granted_text("bot", "groups", Some(false)),
            "`bot` is granted groups (create and change groups of the platform, and decide who may join), but does not \
             request it: the grant has no effect until a revision does"
        );
        assert!(!granted_text("bot", "groups", Some(true)).contains("no effect"));
        assert!(!granted_text("bot", "groups", None).contains("no effect"));
        assert_eq!(revoked_text("bot", "groups", false, false), "`bot` was not granted groups: nothing was changed");
        assert!(revoked_text("bot", "groups", true, false).contains("no longer granted"));
        assert!(revoked_text("bot", "groups", true, true).contains("still has groups"));
        assert!(is_default("state") && !is_default("groups") && !is_default("nonsense"));
    }

    #[test]
    fn every_capability_has_a_meaning() {
        for capability in GRANTABLE.iter().map(|(capability, _)| *capability).chain(DEFAULT) {
            assert!(!meaning(capability).is_empty(), "{capability}");
        }
    }
}
