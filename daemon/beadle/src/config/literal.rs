//! Where a part of a string's value is in the TOML text of the string: quotes and escapes take
//! other numbers of bytes than what they stand for.

use std::ops::Range;

/// The place of a part of `decoded`, in bytes of `raw`, the string as written with its quotes.
pub fn place_in(raw: &str, decoded: &str, part: &Range<usize>) -> Range<usize> {
    let delimiter = ["\"\"\"", "'''"].into_iter().find(|delimiter| raw.starts_with(delimiter)).map_or(1, str::len);
    let has_escapes = raw.starts_with('"');
    let mut at = delimiter;
    if delimiter == 3 {
        // A line break right after the opening is no part of the value.
        let rest = raw.get(at..).unwrap_or_default();
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let (mut start, mut end) = (None, None);
    for (offset, c) in decoded.char_indices().chain([(decoded.len(), '\0')]) {
        if has_escapes {
            at += continuation(raw.get(at..).unwrap_or_default());
        }
        if start.is_none() && part.start <= offset {
            start = Some(at);
        }
        if end.is_none() && part.end <= offset {
            end = Some(at);
        }
        at += width(raw.get(at..).unwrap_or_default(), c, has_escapes);
    }
    let limit = raw.len().saturating_sub(delimiter);
    let start = start.unwrap_or(limit).min(limit);
    start..end.unwrap_or(limit).clamp(start, limit)
}

/// The length of a backslash at the end of a line, and of the white space after it.
fn continuation(raw: &str) -> usize {
    let Some(rest) = raw.strip_prefix('\\') else { return 0 };
    let space = rest.len() - rest.trim_start().len();
    if rest.get(..space).is_some_and(|space| space.contains('\n')) { 1 + space } else { 0 }
}

/// The length of what stands for a character.
fn width(raw: &str, c: char, has_escapes: bool) -> usize {
    match raw.strip_prefix('\\').filter(|_| has_escapes).and_then(|rest| rest.chars().next()) {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        Some(_) => 2,
        None if c == '\n' && raw.starts_with("\r\n") => 2,
        None => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_every_kind_of_string() {
        for (raw, decoded, part, found) in [
            ("'abc'", "abc", "b", "b"),
            ("\"abc\"", "abc", "abc", "abc"),
            (r#""a\"b\" c""#, "a\"b\" c", "\"b\"", r#"\"b\""#),
            (r#""\u00e9b\t""#, "\u{e9}b\t", "b", "b"),
            (r#""\u00e9b\t""#, "\u{e9}b\t", "\u{e9}", r"\u00e9"),
            ("'\u{1d4b3}b'", "\u{1d4b3}b", "b", "b"),
            ("'''\nab\ncd'''", "ab\ncd", "cd", "cd"),
            ("\"\"\"\nab \\\n    cd\"\"\"", "ab cd", "cd", "cd"),
            ("\"\"\"\nab \\\n    cd\"\"\"", "ab cd", "b c", "b \\\n    c"),
        ] {
            let start = decoded.find(part).unwrap();
            let place = place_in(raw, decoded, &(start..start + part.len()));
            assert_eq!(&raw[place], found, "{raw}");
        }
        // Beyond the end, as an error about what is missing.
        assert_eq!(place_in("'ab'", "ab", &(2..9)), 3..3);
        assert_eq!(place_in("''", "", &(0..0)), 1..1);
    }
}
