//! Which rights a plugin may have: what its binary asks for, against what everybody has and what the operator gave.

use std::collections::BTreeSet;

/// Rights that every plugin has (DESIGN section 5).
pub const GIVEN_TO_ALL: [&str; 10] =
    ["settings", "clock", "random", "log", "state", "timers", "replies", "media", "documents", "contacts"];

/// Rights that the operator gives, and what each lets a plugin do, in plain words.
pub const ASKED_FOR: [(&str, &str); 2] = [
    ("messages", "write to people first, inside their window or with a template"),
    ("groups", "make and change groups of the platform, and decide who comes in"),
];

/// What is asked for and was not given, in order. Empty: it may run.
pub fn missing<'a>(wishes: impl IntoIterator<Item = &'a str>, granted: &[String]) -> Vec<String> {
    let wishes: BTreeSet<&str> = wishes.into_iter().collect();
    let has = |wish: &&str| GIVEN_TO_ALL.contains(wish) || granted.iter().any(|granted| granted == wish);
    wishes.into_iter().filter(|wish| !has(wish)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn what_is_asked_for_must_be_given() {
        assert!(missing(["state", "replies"], &[]).is_empty());
        assert_eq!(missing(["messages", "state"], &[]), ["messages"]);
        assert!(missing(["messages"], &["messages".into()]).is_empty());
        // A grant for something that nobody asks for gives nothing and harms nothing.
        assert!(missing(["clock"], &["messages".into()]).is_empty());
    }
}
