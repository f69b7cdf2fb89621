//! Words with places in them, as operators write them in settings: `Hi {name|there}!`.

use std::borrow::Cow;

/// Fills the places in `words`: `{name}` with what `value` says to `name`, `{name|there}` with "there" where that is empty.
/// A place that `value` does not know stays as it is.
pub fn fill<'v>(words: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
    let mut filled = String::with_capacity(words.len());
    let mut rest = words;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            break;
        };
        let (what, fallback) = inside.split_once('|').unwrap_or((inside, ""));
        match value(what) {
            Some(value) if value.is_empty() => filled.push_str(fallback),
            Some(value) => filled.push_str(&value),
            None => filled.extend(["{", inside, "}"]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}
