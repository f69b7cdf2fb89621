//! Reserved words: STOP, START, LEAVE and JOIN, which work before any plugin and with every plugin
//! broken.
//!
//! A message is a reserved word if it consists of nothing else, apart from punctuation around it;
//! in Dutch, German, Portuguese, Estonian or English, ignoring case and accents. A word inside a
//! sentence never counts: "please don't stop" stops nothing. This module only recognises the words;
//! the store applies them (`docs/design.md#people`).

use serde::{Deserialize, Serialize};

/// A reserved word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keyword {
    /// Opt out of all messages and leave the community.
    Stop,
    /// Opt in again and rejoin the community.
    Start,
    /// Leave the community; messages are still allowed.
    Leave,
    /// Join the community.
    Join,
}

/// The language of a reserved word, for the reply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Dutch.
    Nl,
    /// German.
    De,
    /// Portuguese.
    Pt,
    /// Estonian.
    Et,
}

impl Language {
    /// The BCP 47 code.
    pub fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Nl => "nl",
            Language::De => "de",
            Language::Pt => "pt",
            Language::Et => "et",
        }
    }
}

/// The spellings of each word, as [`fold`] returns them. STOP is English, Dutch and German at once;
/// the reply to such a word is in the contact's language if known, else in English.
const KEYWORDS: &[(&str, Keyword, Option<Language>)] = &[
    ("stop", Keyword::Stop, None),
    ("unsubscribe", Keyword::Stop, Some(Language::En)),
    ("optout", Keyword::Stop, Some(Language::En)),
    ("opt out", Keyword::Stop, Some(Language::En)),
    ("stoppen", Keyword::Stop, None),
    ("afmelden", Keyword::Stop, Some(Language::Nl)),
    ("uitschrijven", Keyword::Stop, Some(Language::Nl)),
    ("stopp", Keyword::Stop, None),
    ("abmelden", Keyword::Stop, Some(Language::De)),
    ("abbestellen", Keyword::Stop, Some(Language::De)),
    ("parar", Keyword::Stop, Some(Language::Pt)),
    ("pare", Keyword::Stop, Some(Language::Pt)),
    ("cancelar", Keyword::Stop, Some(Language::Pt)),
    ("lopeta", Keyword::Stop, Some(Language::Et)),
    ("peata", Keyword::Stop, Some(Language::Et)),
    ("start", Keyword::Start, None),
    ("subscribe", Keyword::Start, Some(Language::En)),
    ("aanmelden", Keyword::Start, Some(Language::Nl)),
    ("anmelden", Keyword::Start, Some(Language::De)),
    ("comecar", Keyword::Start, Some(Language::Pt)),
    ("iniciar", Keyword::Start, Some(Language::Pt)),
    ("alusta", Keyword::Start, Some(Language::Et)),
    ("leave", Keyword::Leave, Some(Language::En)),
    ("verlaten", Keyword::Leave, Some(Language::Nl)),
    ("austreten", Keyword::Leave, Some(Language::De)),
    ("sair", Keyword::Stop, Some(Language::Pt)),
    ("lahku", Keyword::Leave, Some(Language::Et)),
    ("join", Keyword::Join, Some(Language::En)),
    ("meedoen", Keyword::Join, Some(Language::Nl)),
    ("beitreten", Keyword::Join, Some(Language::De)),
    ("participar", Keyword::Join, Some(Language::Pt)),
    ("liitu", Keyword::Join, Some(Language::Et)),
];

/// The maximum length of a candidate in bytes: the longest word plus room for punctuation.
const MAX_BYTES: usize = 64;

/// The maximum number of letters ("uitschrijven"). This cheap check rejects most messages.
const MAX_LETTERS: usize = 12;

/// The reserved word that a message consists of, and its language if the spelling determines it.
pub fn recognize(message: &str) -> Option<(Keyword, Option<Language>)> {
    let letters = message.chars().filter(|c| c.is_alphanumeric()).take(MAX_LETTERS + 1).count();
    if message.len() > MAX_BYTES || letters > MAX_LETTERS {
        return None;
    }
    let folded = fold(message);
    KEYWORDS.iter().find(|(text, ..)| *text == folded).map(|(_, keyword, language)| (*keyword, *language))
}

/// Lower case, without accents of the five languages and punctuation, words separated by one space.
fn fold(message: &str) -> String {
    let lower: String = message.chars().flat_map(char::to_lowercase).filter_map(base_letter).collect();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A letter without its accent; `None` for a combining accent.
fn base_letter(c: char) -> Option<char> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'š' => 's',
        'ž' => 'z',
        '\u{300}'..='\u{36f}' => return None,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_words_in_any_spelling() {
        for (message, keyword) in [
            ("STOP", Keyword::Stop),
            (" stop!! ", Keyword::Stop),
            ("Stop.", Keyword::Stop),
            ("Começar", Keyword::Start),
            ("COMEC\u{327}AR", Keyword::Start),
            ("lopeta", Keyword::Stop),
            ("Abmelden", Keyword::Stop),
            ("opt-out", Keyword::Stop),
            ("*START*", Keyword::Start),
        ] {
            assert_eq!(recognize(message).map(|found| found.0), Some(keyword), "{message}");
        }
    }

    #[test]
    fn ignores_words_inside_sentences() {
        for message in
            ["please don't stop", "stop it", "non-stop", "restart", "start tomorrow?", "", "!!!", &"stop ".repeat(40)]
        {
            assert_eq!(recognize(message), None, "{message}");
        }
    }

    #[test]
    fn table_entries_are_folded_and_within_limits() {
        for (text, ..) in KEYWORDS {
            assert_eq!(fold(text), *text);
        }
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        assert_eq!(KEYWORDS.iter().map(|(text, ..)| letters(text)).max(), Some(MAX_LETTERS));
    }
}
