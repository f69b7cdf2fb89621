//! Reserved words: STOP, START, LEAVE, JOIN, HELP, HUMAN, MYDATA and FORGETME, which work before
//! any plugin and with every plugin broken.
//!
//! A message is a reserved word if it consists of nothing else, once or repeatedly, apart from
//! punctuation around it; in Dutch, German, Portuguese, Estonian or English, ignoring case,
//! accents, invisible characters and the form of the letters (full width, mathematical). A tapped
//! button is one too. The operator's own words opt in to a topic ([`OwnWords`]). A word inside a
//! sentence never counts: "please don't stop" stops nothing. This module only recognises the words;
//! the store applies them (`docs/design.md#people`).

use crate::outgoing::{Button, Outgoing};
use crate::text::is_ignorable;
use icu_normalizer::DecomposingNormalizerBorrowed;
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
    /// Ask what the reserved words are.
    Help,
    /// Ask for a person to talk to.
    Human,
    /// Ask for a copy of one's data.
    #[serde(rename = "mydata")]
    MyData,
    /// Ask for the erasure of one's data.
    #[serde(rename = "forgetme")]
    ForgetMe,
    /// Opt out of marketing only ("Stop promotions").
    StopMarketing,
    /// A word of the operator's own: opt in to a topic.
    OptIn,
    /// STOP and a word of the operator's own: opt out of a topic.
    OptOut,
    /// Yes to a question of Beadle's own, by a tap.
    Yes,
    /// No to a question of Beadle's own, by a tap.
    No,
}

/// What the ids of Beadle's own buttons start with. Plugins cannot use it.
pub const HOST_BUTTON: &str = "beadle:";

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

/// The titles of the buttons below a question.
const YES_AND_NO: [(Language, &str, &str); 5] = [
    (Language::En, "Yes", "No"),
    (Language::Nl, "Ja", "Nee"),
    (Language::De, "Ja", "Nein"),
    (Language::Pt, "Sim", "Não"),
    (Language::Et, "Jah", "Ei"),
];

/// A question of Beadle's own, with the buttons Yes and No. `subject` is what the buttons' ids
/// name: `export`, `erase`, or `consent:` and the number of the ledger's entry.
pub fn question(body: String, subject: &str, language: Language) -> Outgoing {
    let titles = YES_AND_NO.iter().find(|(spoken, ..)| *spoken == language);
    let (yes, no) = titles.map_or(("Yes", "No"), |(_, yes, no)| (yes, no));
    let button =
        |answer: &str, title: &str| Button { id: format!("{HOST_BUTTON}{subject}:{answer}"), title: title.into() };
    let buttons = vec![button("yes", yes), button("no", no)];
    Outgoing::Buttons { header: None, body, footer: None, buttons, quote: None }
}

impl Language {
    /// All of them; the first is the default.
    pub const ALL: [Language; 5] = [Language::En, Language::Nl, Language::De, Language::Pt, Language::Et];

    /// The language of a tag such as `pt-BR`; English for any other.
    pub fn of_tag(tag: &str) -> Self {
        Self::known(tag).unwrap_or(Language::En)
    }

    /// The language of a tag such as `pt-BR`, if it is one of these.
    pub fn known(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// The text in this language, of texts in the order of [`Language::ALL`].
    pub fn pick<'a>(self, texts: &[&'a str; 5]) -> &'a str {
        let index = Self::ALL.iter().position(|known| *known == self).unwrap_or(0);
        texts.get(index).copied().unwrap_or_default()
    }

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
    ("help", Keyword::Help, None),
    ("hulp", Keyword::Help, Some(Language::Nl)),
    ("hilfe", Keyword::Help, Some(Language::De)),
    ("ajuda", Keyword::Help, Some(Language::Pt)),
    ("abi", Keyword::Help, Some(Language::Et)),
    ("human", Keyword::Human, Some(Language::En)),
    ("agent", Keyword::Human, None),
    ("medewerker", Keyword::Human, Some(Language::Nl)),
    ("mensch", Keyword::Human, Some(Language::De)),
    ("mitarbeiter", Keyword::Human, Some(Language::De)),
    ("atendente", Keyword::Human, Some(Language::Pt)),
    ("humano", Keyword::Human, Some(Language::Pt)),
    ("inimene", Keyword::Human, Some(Language::Et)),
    ("mydata", Keyword::MyData, Some(Language::En)),
    ("my data", Keyword::MyData, Some(Language::En)),
    ("mijngegevens", Keyword::MyData, Some(Language::Nl)),
    ("mijn gegevens", Keyword::MyData, Some(Language::Nl)),
    ("meinedaten", Keyword::MyData, Some(Language::De)),
    ("meine daten", Keyword::MyData, Some(Language::De)),
    ("meusdados", Keyword::MyData, Some(Language::Pt)),
    ("meus dados", Keyword::MyData, Some(Language::Pt)),
    ("minuandmed", Keyword::MyData, Some(Language::Et)),
    ("minu andmed", Keyword::MyData, Some(Language::Et)),
    ("forgetme", Keyword::ForgetMe, Some(Language::En)),
    ("forget me", Keyword::ForgetMe, Some(Language::En)),
    ("vergeetmij", Keyword::ForgetMe, Some(Language::Nl)),
    ("vergeet mij", Keyword::ForgetMe, Some(Language::Nl)),
    ("vergissmich", Keyword::ForgetMe, Some(Language::De)),
    ("vergiss mich", Keyword::ForgetMe, Some(Language::De)),
    ("esquecame", Keyword::ForgetMe, Some(Language::Pt)),
    ("esqueca me", Keyword::ForgetMe, Some(Language::Pt)),
    ("unustamind", Keyword::ForgetMe, Some(Language::Et)),
    ("unusta mind", Keyword::ForgetMe, Some(Language::Et)),
    ("stop promotions", Keyword::StopMarketing, Some(Language::En)),
    ("stop marketing", Keyword::StopMarketing, None),
    ("stop reclame", Keyword::StopMarketing, Some(Language::Nl)),
    ("stop promoties", Keyword::StopMarketing, Some(Language::Nl)),
    ("stop werbung", Keyword::StopMarketing, Some(Language::De)),
    ("werbung stoppen", Keyword::StopMarketing, Some(Language::De)),
    ("parar promocoes", Keyword::StopMarketing, Some(Language::Pt)),
    ("cancelar promocoes", Keyword::StopMarketing, Some(Language::Pt)),
    ("stopp reklaam", Keyword::StopMarketing, Some(Language::Et)),
    ("lopeta reklaam", Keyword::StopMarketing, Some(Language::Et)),
];

/// The maximum number of letters of a candidate: some thirty times STOP. Longer messages are not
/// folded.
const MAX_LETTERS: usize = 128;

/// The maximum number of words in a reserved word ("cancelar promocoes").
const MAX_WORDS: usize = 2;

/// The reserved word that a message consists of, and its language if the spelling determines it.
pub fn recognize(message: &str) -> Option<(Keyword, Option<Language>)> {
    find(&fold(message)?)
}

/// The reserved word in a folded text, also if it is repeated: "stop stop".
fn find(folded: &str) -> Option<(Keyword, Option<Language>)> {
    let words: Vec<&str> = folded.split(' ').collect();
    let unit = (1..=MAX_WORDS)
        .find(|unit| words.len().is_multiple_of(*unit) && words.chunks(*unit).all(|part| words.starts_with(part)))?;
    let word = words.get(..unit)?.join(" ");
    KEYWORDS.iter().find(|(text, ..)| *text == word).map(|(_, keyword, language)| (*keyword, *language))
}

/// A typed confirmation: `FORGETME YES`, `MIJNGEGEVENS JA`. The word, and its language if the
/// spelling determines it.
pub fn recognize_confirmation(message: &str) -> Option<(Keyword, Option<Language>)> {
    let folded = fold(message)?;
    let (word, yes) = folded.rsplit_once(' ')?;
    let (.., language) = KEYWORDS
        .iter()
        .find(|(text, keyword, _)| *text == word && matches!(keyword, Keyword::MyData | Keyword::ForgetMe))?;
    let keyword = recognize(word)?.0;
    YES_AND_NO.iter().any(|(_, known, _)| fold(known).as_deref() == Some(yes)).then_some((keyword, *language))
}

/// The reserved word of a tapped button: its title or its payload is the word. What START and JOIN
/// say is also what a plugin's button may say, so these count only as a payload.
pub fn recognize_tap(title: &str, payload: &str) -> Option<(Keyword, Option<Language>)> {
    let is_of_plugins = |word: Keyword| matches!(word, Keyword::Start | Keyword::Join);
    recognize(payload).or_else(|| recognize(title).filter(|(word, _)| !is_of_plugins(*word)))
}

/// The operator's own words, each of which opts in to a topic; after STOP it opts out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnWords(Vec<String>);

impl OwnWords {
    /// The words as a person types them. Those that are no words are left out.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self(words.into_iter().filter_map(fold).filter(|word| !word.is_empty()).collect())
    }

    /// The position of the word that a message consists of, and whether STOP precedes it.
    pub fn recognize(&self, message: &str) -> Option<(usize, bool)> {
        if self.0.is_empty() {
            return None;
        }
        let folded = fold(message)?;
        let find = |text: &str| self.0.iter().position(|word| word == text);
        if let Some(index) = find(&folded) {
            return Some((index, false));
        }
        let (first, rest) = folded.split_once(' ')?;
        let stops = recognize(first).is_some_and(|(word, _)| word == Keyword::Stop);
        find(rest).filter(|_| stops).map(|index| (index, true))
    }
}

/// Lower case, in the usual form of the letters, without accents, invisible characters and
/// punctuation, words separated by one space; `None` if there are more than [`MAX_LETTERS`].
fn fold(message: &str) -> Option<String> {
    let visible = || message.chars().filter(|c| !is_ignorable(*c));
    // A cheap check that rejects most messages, before anything is copied.
    if visible().filter(|c| c.is_alphanumeric()).take(MAX_LETTERS + 1).count() > MAX_LETTERS {
        return None;
    }
    // Compatibility decomposition: usual letters for full width and mathematical ones, and accents
    // as marks.
    let plain = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(visible());
    // Again: the decomposition of a filler is another filler, and that of a lower-case letter may
    // have a mark.
    let letters = plain.flat_map(char::to_lowercase).filter(|c| !is_ignorable(*c) && !is_mark(*c));
    let mut folded = String::new();
    for c in letters {
        match c.is_alphanumeric() {
            true => folded.push(c),
            false if folded.ends_with(' ') || folded.is_empty() => {}
            false => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    Some(folded)
}

/// An accent as a mark of its own, or a mark around a letter.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            ("Hilfe!", Keyword::Help),
            ("Esqueça-me", Keyword::ForgetMe),
            ("my data", Keyword::MyData),
            ("Stop promotions", Keyword::StopMarketing),
            ("stop stop", Keyword::Stop),
            ("STOP! STOP!! STOP!!!", Keyword::Stop),
            ("opt out, opt out", Keyword::Stop),
            (&"stop ".repeat(30), Keyword::Stop),
        ] {
            assert_eq!(recognize(message).map(|found| found.0), Some(keyword), "{message}");
        }
    }

    #[test]
    fn invisible_characters_and_forms_of_letters_do_not_matter() {
        for message in [
            "S\u{200b}TOP",
            "ST\u{ad}OP",
            "S\u{2060}T\u{2060}O\u{2060}P",
            "STOP\u{3164}",
            "STOP\u{ffa0}",
            "ST\u{200d}OP\u{fe0f}",
            "S\u{0}TOP",
            "\u{202e}STOP\u{202c}",
            "ＳＴＯＰ",
            "𝐒𝐓𝐎𝐏",
            "ⓈⓉⓄⓅ",
            "ſtop",
            "S\u{336}T\u{336}O\u{336}P\u{336}",
            &format!("{}STOP", "\u{200b}".repeat(400)),
            &format!("STOP {}", "!".repeat(400)),
        ] {
            assert_eq!(recognize(message).map(|found| found.0), Some(Keyword::Stop), "{message:?}");
        }
        assert_eq!(recognize_confirmation("FORGET\u{200b}ME ＹＥＳ").map(|found| found.0), Some(Keyword::ForgetMe));
        assert_eq!(recognize_tap("no more", "ST\u{200b}OP").map(|found| found.0), Some(Keyword::Stop));
        let words = OwnWords::new(["NEWS"]);
        assert_eq!(words.recognize(&format!("STOP N\u{ad}EWS{}", "!".repeat(400))), Some((0, true)));
    }

    /// Characters that nobody sees and that separate nothing.
    fn ignorable() -> impl Strategy<Value = String> {
        let usual =
            prop::sample::select(vec!['\u{200b}', '\u{200d}', '\u{ad}', '\u{2060}', '\u{3164}', '\u{fe0f}', '\0']);
        let block = prop_oneof![
            prop::char::range('\u{180b}', '\u{180f}'),
            prop::char::range('\u{202a}', '\u{202e}'),
            prop::char::range('\u{2060}', '\u{206f}'),
            prop::char::range('\u{e0000}', '\u{e0fff}'),
        ];
        prop::collection::vec(prop_oneof![usual, block], 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn inserted_invisible_characters_keep_the_word(
            (text, keyword, _) in prop::sample::select(KEYWORDS),
            noise in prop::collection::vec(ignorable(), 24),
            capital: bool,
        ) {
            let text = if capital { text.to_uppercase() } else { (*text).to_owned() };
            let mut noise = noise.into_iter().cycle();
            let mut message = noise.next().unwrap();
            for c in text.chars() {
                message.push(c);
                message.push_str(&noise.next().unwrap());
            }
            prop_assert_eq!(recognize(&message).map(|found| found.0), Some(keyword));
        }

        #[test]
        fn folding_never_fails(text: String) {
            let _ = recognize(&text);
        }
    }

    #[test]
    fn confirmations_repeat_the_word() {
        for (message, word) in [
            ("FORGETME YES", Some(Keyword::ForgetMe)),
            ("Vergeet mij: ja!", Some(Keyword::ForgetMe)),
            ("meusdados sim", Some(Keyword::MyData)),
            ("unustamind jah", Some(Keyword::ForgetMe)),
            ("forgetme", None),
            ("forgetme no", None),
            ("stop yes", None),
            ("yes", None),
            ("do not forgetme yes", None),
        ] {
            assert_eq!(recognize_confirmation(message).map(|found| found.0), word, "{message}");
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
    fn taps_are_words_unless_a_plugin_may_have_meant_something_else() {
        for (title, payload, word) in [
            ("Stop promotions", "Stop promotions", Some(Keyword::StopMarketing)),
            ("STOP", "x-1", Some(Keyword::Stop)),
            ("No more", "stop", Some(Keyword::Stop)),
            ("Help", "help-menu", Some(Keyword::Help)),
            ("Start", "quiz:1", None),
            ("Start", "START", Some(Keyword::Start)),
            ("Join", "join-the-raffle", None),
            ("Yes", "yes", None),
        ] {
            assert_eq!(recognize_tap(title, payload).map(|found| found.0), word, "{title} {payload}");
        }
    }

    #[test]
    fn own_words_opt_in_and_after_stop_out() {
        let words = OwnWords::new(["NEWS", "Große Ideen", "!"]);
        for (message, found) in [
            ("news", Some((0, false))),
            ("News!", Some((0, false))),
            ("STOP NEWS", Some((0, true))),
            ("stopp große ideen", Some((1, true))),
            ("stop", None),
            ("no news", None),
            ("news please", None),
        ] {
            assert_eq!(words.recognize(message), found, "{message}");
        }
        assert_eq!(OwnWords::default().recognize("news"), None);
    }

    #[test]
    fn table_entries_are_folded_and_within_limits() {
        for (text, ..) in KEYWORDS {
            assert_eq!(fold(text).as_deref(), Some(*text));
            assert!(text.split(' ').count() <= MAX_WORDS, "{text}");
        }
    }
}
