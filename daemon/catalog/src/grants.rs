//! Which capabilities a plugin may have: what its binary asks for, against what everybody has and what the operator gave.
//!
//! Capabilities are given in TOML (`grant = […]`) or by `beadle plugins grant`; both count. What a capability lets a plugin do is
//! said here in plain words, for whoever decides.

use std::collections::BTreeSet;

/// Capabilities that every plugin has (DESIGN section 5).
pub const DEFAULT: [&str; 10] =
    ["settings", "clock", "random", "log", "state", "timers", "replies", "media", "documents", "contacts"];

/// Capabilities that the operator gives, and what each lets a plugin do, in plain words.
pub const GRANTABLE: [(&str, &str); 2] = [
    ("messages", "write to people first, inside their window or with a template"),
    ("groups", "make and change groups of the platform, and decide who comes in"),
];

/// What the capabilities that everybody has let a plugin do.
const GIVEN: [(&str, &str); 10] = [
    ("settings", "read its settings"),
    ("clock", "know the time"),
    ("random", "draw random numbers"),
    ("log", "write to the log"),
    ("state", "remember things, within its quota"),
    ("timers", "be woken later"),
    ("replies", "answer in the conversation of the event"),
    ("contacts", "look people up: names, no numbers"),
    ("media", "read what was sent in, and send files"),
    ("documents", "read its folder of text files"),
];

/// What a capability lets a plugin do.
pub fn meaning(capability: &str) -> &'static str {
    GRANTABLE.iter().chain(&GIVEN).find(|(known, _)| *known == capability).map_or("", |(_, meaning)| meaning)
}

/// Whether the operator gives this capability; the others everybody has, or nobody.
pub fn is_grantable(capability: &str) -> bool {
    GRANTABLE.iter().any(|(known, _)| *known == capability)
}

/// What is asked for and was not given, in order. Empty: it may run.
pub fn missing<'a>(requested: impl IntoIterator<Item = &'a str>, granted: &BTreeSet<String>) -> Vec<String> {
    let requested: BTreeSet<&str> = requested.into_iter().collect();
    let has = |capability: &&str| DEFAULT.contains(capability) || granted.contains(*capability);
    requested.into_iter().filter(|capability| !has(capability)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_given() {
        let granted = |capabilities: &[&str]| capabilities.iter().map(|capability| (*capability).to_owned()).collect();
        assert!(missing(["state", "replies"], &granted(&[])).is_empty());
        assert_eq!(missing(["messages", "state"], &granted(&[])), ["messages"]);
        assert!(missing(["messages"], &granted(&["messages"])).is_empty());
        // A grant for something that nobody asks for gives nothing and harms nothing.
        assert!(missing(["clock"], &granted(&["messages"])).is_empty());
    }

    #[test]
    fn every_right_that_a_plugin_can_ask_for_is_said_in_words() {
        for capability in GRANTABLE.iter().map(|(capability, _)| *capability).chain(DEFAULT) {
            assert!(!meaning(capability).is_empty(), "{capability}");
        }
    }
}
