//! Phone numbers that have two spellings (`docs/whatsapp.md#number-spellings`).
//!
//! Brazil added a 9 to its mobile numbers, Mexico removed a 1 after its country code, Argentina
//! writes a 9 there for calls from abroad. WhatsApp keeps the spelling with which an account was
//! created while people and address books use the other, so one person appears under both. In no
//! other country are two digit strings one number.

/// A number as a person writes it (`+31 6 1234 5678`, `0031…`) as digits with country code; `None`
/// if it is not an international number.
pub fn parse_number(text: &str) -> Option<String> {
    let written = text.trim();
    let international = written.strip_prefix('+').or_else(|| written.strip_prefix("00")).unwrap_or(written);
    let digits: String = international.chars().filter(char::is_ascii_digit).collect();
    let is_number = international.chars().all(|c| c.is_ascii_digit() || " -().".contains(c));
    (is_number && (8..=15).contains(&digits.len()) && !digits.starts_with('0')).then_some(digits)
}

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
