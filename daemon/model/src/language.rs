//! The language of a phone number's country, for countries where nearly everyone speaks one.
//!
//! This guess is used only if `[contacts] language_from_number` is set and nothing better is known.
//! Calling codes are those of ITU-T E.164, languages those of BCP 47. Countries with several
//! languages (Belgium, Switzerland, Canada, India, …) and +1, which several countries share, are
//! left out.

/// The BCP 47 language of a phone number (digits with country code), if the number suggests one.
pub fn language_of_number(digits: &str) -> Option<&'static str> {
    // Codes have one to three digits. No code is a prefix of another.
    (1..=3).rev().find_map(|length| {
        let code = digits.get(..length)?;
        let at = LANGUAGES.binary_search_by(|(known, _)| (*known).cmp(code)).ok()?;
        LANGUAGES.get(at).map(|(_, language)| *language)
    })
}

/// Sorted by code as text.
const LANGUAGES: &[(&str, &str)] = &[
    ("20", "ar"),
    ("218", "ar"),
    ("238", "pt"),
    ("244", "pt"),
    ("258", "pt"),
    ("30", "el"),
    ("31", "nl"),
    ("33", "fr"),
    ("34", "es"),
    ("351", "pt"),
    ("353", "en"),
    ("354", "is"),
    ("355", "sq"),
    ("36", "hu"),
    ("370", "lt"),
    ("371", "lv"),
    ("372", "et"),
    ("385", "hr"),
    ("386", "sl"),
    ("39", "it"),
    ("40", "ro"),
    ("420", "cs"),
    ("421", "sk"),
    ("43", "de"),
    ("44", "en"),
    ("45", "da"),
    ("46", "sv"),
    ("47", "nb"),
    ("48", "pl"),
    ("49", "de"),
    ("502", "es"),
    ("503", "es"),
    ("504", "es"),
    ("505", "es"),
    ("506", "es"),
    ("507", "es"),
    ("51", "es"),
    ("52", "es"),
    ("53", "es"),
    ("54", "es"),
    ("55", "pt"),
    ("56", "es"),
    ("57", "es"),
    ("58", "es"),
    ("591", "es"),
    ("593", "es"),
    ("595", "es"),
    ("598", "es"),
    ("61", "en"),
    ("62", "id"),
    ("64", "en"),
    ("66", "th"),
    ("81", "ja"),
    ("82", "ko"),
    ("84", "vi"),
    ("90", "tr"),
    ("962", "ar"),
    ("964", "ar"),
    ("965", "ar"),
    ("966", "ar"),
    ("967", "ar"),
    ("968", "ar"),
    ("971", "ar"),
    ("973", "ar"),
    ("974", "ar"),
    ("98", "fa"),
];

/// Whether it is a language, with a script, a region and variants if any, in their order
/// (RFC 5646): `nl`, `pt-BR`, `zh-Hant-TW`, `de-CH-1996`. What plugins have no texts for
/// (extensions, private use) is refused.
pub fn is_language_tag(tag: &str) -> bool {
    let is_alphabetic = |part: &str| part.bytes().all(|c| c.is_ascii_alphabetic());
    let is_script = |part: &str| part.len() == 4 && is_alphabetic(part);
    let is_region = |part: &str| match part.len() {
        2 => is_alphabetic(part),
        3 => part.bytes().all(|c| c.is_ascii_digit()),
        _ => false,
    };
    let is_variant = |part: &str| match part.len() {
        4 => part.starts_with(|c: char| c.is_ascii_digit()) && part.bytes().all(|c| c.is_ascii_alphanumeric()),
        5..=8 => part.bytes().all(|c| c.is_ascii_alphanumeric()),
        _ => false,
    };
    let mut parts = tag.split('-').peekable();
    let language =
        parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_lowercase()));
    parts.next_if(|part| is_script(part));
    parts.next_if(|part| is_region(part));
    language && tag.len() <= 35 && parts.all(is_variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_is_known_for_countries_with_one_language() {
        assert!(LANGUAGES.is_sorted_by(|a, b| a.0 < b.0));
        for (number, language) in [
            ("31612345678", Some("nl")),
            ("3725123456", Some("et")),
            ("5511987654321", Some("pt")),
            ("351910000101", Some("pt")),
            // Dutch or French; English, French or Spanish.
            ("32470123456", None),
            ("12125551234", None),
            ("", None),
            ("3", None),
        ] {
            assert_eq!(language_of_number(number), language, "{number}");
        }
    }

    #[test]
    fn language_tags_have_their_parts_in_order() {
        for tag in ["nl", "pt-BR", "yue", "zh-Hant", "zh-Hant-TW", "es-419", "de-CH-1996", "sl-rozaj"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for tag in ["", "n", "dutch", "NL", "xx-yy-zz", "nl-", "-nl", "nl_NL", "nl-NL-BE", "nl-12", "n1", "pt-BR-Latn"]
        {
            assert!(!is_language_tag(tag), "{tag}");
        }
    }
}
