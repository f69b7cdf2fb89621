//! Phone numbers as address books have them, and their variants.
//!
//! The rules for Brazil, Mexico and Argentina are those of `docs/whatsapp.md#number-spellings`. A
//! number is compared by its variants and never rewritten: landlines and service numbers exist in
//! one spelling only.

/// The shortest numbers with country code have eight digits.
const MIN_DIGITS: usize = 8;
/// E.164.
const MAX_DIGITS: usize = 15;
/// Twice the longest number, with a separator after each digit.
const MAX_WRITTEN_BYTES: usize = 80;

/// The digits with country code, without `+`, of a number that a person wrote. National numbers
/// need `country_code`, the operator's. `None` if the text is no number.
pub fn digits(text: &str, country_code: Option<&str>) -> Option<String> {
    if text.len() > MAX_WRITTEN_BYTES {
        return None;
    }
    let is_direction =
        |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text: String = text.chars().filter(|c| !is_direction(c)).collect();
    let written = text.trim();
    let written = written.strip_prefix("tel:").unwrap_or(written);
    // RFC 3966: extensions and parameters of `tel:` follow a semicolon.
    let written = written.split(';').next().unwrap_or(written).trim();
    let rest = written.strip_prefix('+').or_else(|| written.strip_prefix("00"));
    let number = match rest {
        Some(rest) => rest.replacen("(0)", "", 1),
        None => written.to_owned(),
    };
    let is_separator =
        |c: char| c.is_whitespace() || matches!(c, '-' | '/' | '.' | '(' | ')' | '\u{2010}'..='\u{2015}');
    if !number.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
        return None;
    }
    let mut digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if rest.is_none()
        && let Some(country) = country_code
    {
        // Without + or 00 it is national if it has the trunk prefix, or lacks the country code.
        if let Some(national) = digits.strip_prefix('0') {
            digits = format!("{country}{national}");
        } else if !digits.starts_with(country) || digits.len() <= 9 {
            digits = format!("{country}{digits}");
        }
    }
    let has_length = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len());
    (has_length && !digits.starts_with('0')).then_some(digits)
}

/// The other spelling of a number (digits with country code); `None` if there is none.
pub fn other_spelling(digits: &str) -> Option<String> {
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

/// The spellings of a number, the given one first.
pub fn spellings(digits: &str) -> Vec<String> {
    std::iter::once(digits.to_owned()).chain(other_spelling(digits)).collect()
}

/// One spelling for all variants of a number, to compare by: the shortest.
pub fn canonical(digits: &str) -> String {
    spellings(digits).into_iter().min_by_key(String::len).unwrap_or_default()
}

/// What to search a system for that compares texts: each spelling with `+`, without, and with `00`.
pub fn search_terms(digits: &str) -> Vec<String> {
    let spelled = spellings(digits);
    let forms = |prefix: &'static str| spelled.iter().map(move |number| format!("{prefix}{number}"));
    forms("+").chain(forms("")).chain(forms("00")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_address_books_have_them() {
        for (text, country, expected) in [
            ("+31 6 1234 5678", None, Some("31612345678")),
            ("0031612345678", None, Some("31612345678")),
            ("06-1234 5678", Some("31"), Some("31612345678")),
            ("06-1234 5678", None, None),
            ("31612345678", Some("31"), Some("31612345678")),
            ("11 98765-4321", Some("55"), Some("5511987654321")),
            ("tel:+44-20-7946-0000;ext=3", None, Some("442079460000")),
            ("+44 (0)20 7946 0000", None, Some("442079460000")),
            ("\u{202a}+351\u{a0}912\u{2011}345\u{2011}678\u{202c}", None, Some("351912345678")),
            ("+123", None, None),
            ("ask Ana", Some("31"), None),
            ("+1234567890123456", None, None),
        ] {
            assert_eq!(digits(text, country).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn variants_have_one_canonical_spelling() {
        for (one, other) in
            [("5511987654321", "551187654321"), ("5215512345678", "525512345678"), ("5491123456789", "541123456789")]
        {
            assert_eq!(other_spelling(one).as_deref(), Some(other));
            assert_eq!(other_spelling(other).as_deref(), Some(one));
            assert_eq!(canonical(one), canonical(other));
        }
        for number in ["16505551234", "551133334444", "5511933334444", "52155", "55"] {
            assert_eq!(other_spelling(number), None, "{number}");
            assert_eq!(canonical(number), number);
        }
    }

    #[test]
    fn search_terms_contain_every_form() {
        assert_eq!(
            search_terms("525512345678"),
            ["+525512345678", "+5215512345678", "525512345678", "5215512345678", "00525512345678", "005215512345678"]
        );
    }
}
