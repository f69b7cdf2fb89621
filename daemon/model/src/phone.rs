//! Phone numbers as people write them, and numbers that have two spellings
//! (`docs/whatsapp.md#number-spellings`).
//!
//! Brazil added a 9 to its mobile numbers, Mexico removed a 1 after its country code, Argentina
//! writes a 9 there for calls from abroad. WhatsApp keeps the spelling with which an account was
//! created while people and address books use the other, so one person appears under both. In no
//! other country are two digit strings one number.

/// A number that a person wrote, with its country code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenNumber {
    /// Digits with country code, without `+`.
    pub digits: String,
    /// Whether `+` or `00` says that it begins with a country code.
    pub is_international: bool,
}

impl WrittenNumber {
    /// Reads a number; `None` if it is none, or lacks the country code. Spaces, dashes, slashes,
    /// dots and brackets are ignored, and so is the national zero of `+44 (0)20 …` and what address
    /// books put around a number to fix its direction.
    pub fn parse(text: &str) -> Option<Self> {
        // A number has at most 15 digits; what is longer than this is not read.
        if text.len() > MAX_WRITTEN_BYTES {
            return None;
        }
        let is_direction =
            |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let text: String = text.chars().filter(|c| !is_direction(c)).collect();
        let written = text.trim();
        let rest = written.strip_prefix('+').or_else(|| written.strip_prefix("00"));
        let is_international = rest.is_some();
        let number = rest.unwrap_or(written);
        let number = if is_international { number.replacen("(0)", "", 1) } else { number.to_owned() };
        let is_separator =
            |c: char| c.is_whitespace() || matches!(c, '-' | '/' | '.' | '(' | ')' | '\u{2010}'..='\u{2015}');
        if !number.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
            return None;
        }
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let has_length = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len());
        (has_length && !digits.starts_with('0')).then_some(Self { digits, is_international })
    }
}

/// The shortest numbers with country code have eight digits (Niue has fewer, but no WhatsApp
/// account is known there).
const MIN_DIGITS: usize = 8;
/// E.164.
const MAX_DIGITS: usize = 15;
/// Twice the longest number, with a separator after each digit.
const MAX_WRITTEN_BYTES: usize = 80;

/// The other spelling of a number (digits with country code, without `+`); `None` if there is none.
pub fn other_spelling(digits: &str) -> Option<String> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Some(rest) = digits.strip_prefix("55") {
        let (area, number) = rest.split_at_checked(2)?;
        return match number.len() {
            // Mobile numbers of before 2016 start with 6 to 9. Landlines start lower and have no 9.
            8 if number.starts_with(['6', '7', '8', '9']) => Some(format!("55{area}9{number}")),
            9 => {
                let old = number.strip_prefix('9').filter(|old| old.starts_with(['6', '7', '8', '9']))?;
                Some(format!("55{area}{old}"))
            }
            _ => None,
        };
    }
    let inserted = |country: &str, digit: &str| {
        let rest = digits.strip_prefix(country)?;
        match rest.len() {
            // National numbers of both countries have ten digits.
            10 => Some(format!("{country}{digit}{rest}")),
            11 => rest.strip_prefix(digit).map(|rest| format!("{country}{rest}")),
            _ => None,
        }
    };
    inserted("52", "1").or_else(|| inserted("54", "9"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, digits, is_international) in [
            ("+31 6 1234 5678", "31612345678", true),
            ("0031612345678", "31612345678", true),
            ("31612345678", "31612345678", false),
            ("+1 (650) 555-1234", "16505551234", true),
            ("+44 (0)20 7946 0000", "442079460000", true),
            ("+49 151/123.456.78", "4915112345678", true),
            ("\u{202a}+351\u{a0}912\u{2011}345\u{2011}678\u{202c}", "351912345678", true),
        ] {
            let number = WrittenNumber { digits: digits.into(), is_international };
            assert_eq!(WrittenNumber::parse(text), Some(number), "{text}");
        }
        for text in [
            "",
            "+",
            "0612345678",
            "+0612345678",
            "+31 6 12x4 5678",
            "+123",
            "+1234567890123456",
            "+31 6 1234 5678, +31 6 1234 5679",
            "++31612345678",
            "+31 6 ١٢٣٤ 5678",
            &format!("+31{}612345678", " ".repeat(80)),
        ] {
            assert_eq!(WrittenNumber::parse(text), None, "{text}");
        }
    }

    #[test]
    fn spellings_map_to_each_other() {
        for (one, other) in
            [("5511987654321", "551187654321"), ("5215512345678", "525512345678"), ("5491123456789", "541123456789")]
        {
            assert_eq!(other_spelling(one).as_deref(), Some(other));
            assert_eq!(other_spelling(other).as_deref(), Some(one));
        }
    }

    #[test]
    fn other_numbers_have_one_spelling() {
        for number in [
            "",
            "16505551234",
            "551133334444",
            "5511933334444",
            "4915112345678",
            "55",
            "5511é7654321",
            "52155",
            "+5511987654321",
        ] {
            assert_eq!(other_spelling(number), None, "{number}");
        }
    }
}
