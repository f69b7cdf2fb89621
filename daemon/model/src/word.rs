//! The words that always work: STOP and START, before any plugin and with every plugin broken.
//!
//! A whole message, or one with some punctuation around the word, in Dutch, German, Portuguese, Estonian or English,
//! without regard to case or accents. Never a word inside a sentence: "please don't stop" stops nothing.
//! It is not the ledger of consent; it is the ear at the door.

use serde::{Deserialize, Serialize};

/// A word that Beadle itself acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// No more messages, and out of the community.
    Stop,
    /// Messages again, and back in.
    Start,
    /// Out of the community; messages may still be written.
    Leave,
    /// Into the community.
    Join,
}

/// The language a word was said in, for the answer to it.
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
    /// BCP 47.
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

/// Each word as people write it, folded as [`fold`] does. STOP is English, Dutch and German at once; the answer to such
/// a word is in the contact's language where it is known, else English.
const WORDS: &[(&str, Word, Option<Language>)] = &[
    ("stop", Word::Stop, None),
    ("unsubscribe", Word::Stop, Some(Language::En)),
    ("optout", Word::Stop, Some(Language::En)),
    ("opt out", Word::Stop, Some(Language::En)),
    ("stoppen", Word::Stop, None),
    ("afmelden", Word::Stop, Some(Language::Nl)),
    ("uitschrijven", Word::Stop, Some(Language::Nl)),
    ("stopp", Word::Stop, None),
    ("abmelden", Word::Stop, Some(Language::De)),
    ("abbestellen", Word::Stop, Some(Language::De)),
    ("parar", Word::Stop, Some(Language::Pt)),
    ("pare", Word::Stop, Some(Language::Pt)),
    ("cancelar", Word::Stop, Some(Language::Pt)),
    ("lopeta", Word::Stop, Some(Language::Et)),
    ("peata", Word::Stop, Some(Language::Et)),
    ("start", Word::Start, None),
    ("subscribe", Word::Start, Some(Language::En)),
    ("aanmelden", Word::Start, Some(Language::Nl)),
    ("anmelden", Word::Start, Some(Language::De)),
    ("comecar", Word::Start, Some(Language::Pt)),
    ("iniciar", Word::Start, Some(Language::Pt)),
    ("alusta", Word::Start, Some(Language::Et)),
    ("leave", Word::Leave, Some(Language::En)),
    ("verlaten", Word::Leave, Some(Language::Nl)),
    ("austreten", Word::Leave, Some(Language::De)),
    ("sair", Word::Stop, Some(Language::Pt)),
    ("lahku", Word::Leave, Some(Language::Et)),
    ("join", Word::Join, Some(Language::En)),
    ("meedoen", Word::Join, Some(Language::Nl)),
    ("beitreten", Word::Join, Some(Language::De)),
    ("participar", Word::Join, Some(Language::Pt)),
    ("liitu", Word::Join, Some(Language::Et)),
];

/// No word is longer than this in bytes once folded, with room for punctuation; longer messages are not looked at.
const LONGEST_BYTES: usize = 64;

/// No word has more letters ("uitschrijven"). Most messages end here, before anything is folded: this is asked of each.
const MOST_LETTERS: usize = 12;

/// The word that a message is, if it is one, and the language it was said in, if that tells.
pub fn hear(message: &str) -> Option<(Word, Option<Language>)> {
    let letters = message.chars().filter(|c| c.is_alphanumeric()).take(MOST_LETTERS + 1).count();
    if message.len() > LONGEST_BYTES || letters > MOST_LETTERS {
        return None;
    }
    let said = fold(message);
    WORDS.iter().find(|(text, ..)| *text == said).map(|(_, word, language)| (*word, *language))
}

/// Lower case, without the accents of the five languages, without punctuation around it, single spaces.
fn fold(message: &str) -> String {
    let lower: String = message.chars().flat_map(char::to_lowercase).filter_map(base_letter).collect();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A letter without its accent; combining accents vanish.
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
    fn words_are_heard_however_they_are_written() {
        for (said, word) in [
            ("STOP", Word::Stop),
            (" stop!! ", Word::Stop),
            ("Stop.", Word::Stop),
            ("Começar", Word::Start),
            ("COMEC\u{327}AR", Word::Start),
            ("lopeta", Word::Stop),
            ("Abmelden", Word::Stop),
            ("opt-out", Word::Stop),
            ("*START*", Word::Start),
        ] {
            assert_eq!(hear(said).map(|heard| heard.0), Some(word), "{said}");
        }
    }

    #[test]
    fn a_word_inside_a_sentence_is_not_the_word() {
        for said in
            ["please don't stop", "stop it", "non-stop", "restart", "start tomorrow?", "", "!!!", &"stop ".repeat(40)]
        {
            assert_eq!(hear(said), None, "{said}");
        }
    }

    #[test]
    fn the_table_is_folded_already() {
        for (text, ..) in WORDS {
            assert_eq!(fold(text), *text);
        }
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
        assert_eq!(WORDS.iter().map(|(text, ..)| letters(text)).max(), Some(MOST_LETTERS));
    }
}
