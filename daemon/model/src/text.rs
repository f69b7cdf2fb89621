//! Text for people and logs: hexadecimal, numbers of things, and foreign text as one line of
//! visible characters.
//!
//! Pure functions. How wide a text may be is decided by who prints it.

use std::fmt::Write as _;

/// The bytes as lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `1 event`, `2 events`
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The bytes of exactly `2 * N` hexadecimal digits, in either case.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// The text as one line in which nothing moves the cursor, reorders the line or is invisible: line
/// breaks and controls become spaces, format characters become `�`. Zero-width joiners and
/// non-joiners stay, because emoji and several scripts need them.
pub fn one_line(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// The same for text of several lines: its line breaks stay.
pub fn visible_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

fn visible(c: char) -> char {
    match c {
        '\u{2028}' | '\u{2029}' => ' ',
        _ if c.is_control() => ' ',
        _ if is_hidden(c) => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// Unicode's format characters (general category Cf) and other default-ignorable code points that
/// render as nothing: bidirectional controls, zero-width spaces, invisible operators, fillers and
/// tags. Line and paragraph separators count too. Zero-width joiners and non-joiners do not.
pub fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Characters that a reader does not see and that separate no words: [`is_hidden`], controls,
/// joiners and variation selectors. They are ignored where texts or ids are compared. White space
/// is none of them.
pub fn is_ignorable(c: char) -> bool {
    let is_selector = matches!(c, '\u{200c}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    !c.is_whitespace() && (c.is_control() || is_selector || is_hidden(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_lower_case() {
        assert_eq!(hex([0, 10, 255]), "000aff");
        assert_eq!(hex(b""), "");
    }

    #[test]
    fn hex_digits_are_parsed_as_they_are_printed() {
        assert_eq!(from_hex("000aff"), Some([0, 10, 255]));
        assert_eq!(from_hex("000AFF"), Some([0, 10, 255]));
        for text in ["", "0", "000af", "000aff0", "000aff00", "00 aff", "gggggg", "é0aff", "+f+f+f"] {
            assert_eq!(from_hex::<3>(text), None, "{text}");
        }
    }

    #[test]
    fn text_cannot_reorder_or_hide_itself() {
        assert_eq!(one_line("Gus \u{202e})draob( neleH\u{200b}"), "Gus �)draob( neleH�");
        assert_eq!(one_line("a\u{2066}\u{2028}b\u{feff}\u{61c}\u{e0041}\u{85}c"), "a� b��� c");
        assert_eq!(one_line("\u{1b}[2J\n"), " [2J ");
        assert_eq!(visible_lines("a\u{202e}\u{1b}\nb\r\n"), "a� \nb \n");
    }

    #[test]
    fn emoji_and_right_to_left_scripts_stay() {
        for text in ["👩‍👩‍👧", "❤️", "שלום", "مرحبا", "می‌خواهم"] {
            assert_eq!(one_line(text), text);
        }
    }
}
