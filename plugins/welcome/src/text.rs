//! What is said to one person: in their language, with the operator's words where there are some.

use crate::language::{ENGLISH, LANGUAGES, Language};
use crate::settings::{Welcome, Words};
use beadle_plugin::fill;
use beadle_plugin::prelude::*;
use std::borrow::Cow;

/// The words for one person.
pub struct Speech<'a> {
    settings: &'a Welcome,
    words: Option<&'a Words>,
    language: &'static Language,
    name: &'a str,
}

impl Welcome {
    /// The words for this person: in their language where it is spoken here, else in the one that is set.
    pub fn speech<'a>(&'a self, who: &'a Contact) -> Speech<'a> {
        let theirs = who.language_code();
        let spoken = |code: &str| self.texts.contains_key(code) || LANGUAGES.iter().any(|known| known.code == code);
        let code = if spoken(theirs) { theirs } else { &self.language };
        Speech {
            settings: self,
            words: self.texts.get(code),
            language: LANGUAGES.iter().copied().find(|known| known.code == code).unwrap_or(ENGLISH),
            name: who.first_name(),
        }
    }
}

/// A word of [`Words`], or what the language has for it, filled in.
macro_rules! says {
    ($($what:ident)+) => {
        $(pub fn $what(&self) -> String {
            self.fill(self.words.and_then(|words| words.$what.as_deref()).unwrap_or(self.language.$what))
        })+
    };
}

impl Speech<'_> {
    says! { about please thanks reminder changed }

    /// The button. Nothing is filled in here, so that its length is the one that the schema checked.
    pub fn agree(&self) -> &str {
        self.words.and_then(|words| words.agree.as_deref()).unwrap_or(self.language.agree)
    }

    /// The small line below; nothing is filled in here either.
    pub fn footer(&self) -> &str {
        self.words.and_then(|words| words.footer.as_deref()).unwrap_or(self.language.footer)
    }

    /// The greeting, of who comes or comes back.
    pub fn greeting(&self, again: bool) -> String {
        let (own, known) = if again {
            (self.words.and_then(|words| words.greeting_again.as_deref()), self.language.greeting_again)
        } else {
            (self.words.and_then(|words| words.greeting.as_deref()), self.language.greeting)
        };
        self.fill(own.unwrap_or(known))
    }

    /// Title, rules and link; or that there are none.
    pub fn rules(&self) -> String {
        if !self.settings.has_rules() {
            return self.fill(self.words.and_then(|words| words.no_rules.as_deref()).unwrap_or(self.language.no_rules));
        }
        let title = self.words.and_then(|words| words.rules_title.as_deref()).unwrap_or(self.language.rules_title);
        let rules = self.words.and_then(|words| words.rules.as_deref()).unwrap_or(&self.settings.rules);
        let link = self.words.and_then(|words| words.rules_link.as_deref()).unwrap_or(&self.settings.rules_link);
        lines([self.fill(title), rules.trim().to_owned(), link.trim().to_owned()], "\n")
    }

    /// `{name}` and the like are filled in; `{name|there}` is "there" where there is no name. What is no placeholder of
    /// ours stays as it is.
    fn fill(&self, words: &str) -> String {
        fill(words, |what| self.value(what).map(Cow::from)).trim().to_owned()
    }

    fn value(&self, what: &str) -> Option<&str> {
        match what {
            "name" => Some(self.name),
            "brand" => Some(&self.settings.brand),
            "purpose" => {
                Some(self.words.and_then(|words| words.purpose.as_deref()).unwrap_or(&self.settings.purpose).trim())
            }
            _ => None,
        }
    }
}

/// Paragraphs, without the empty ones.
pub fn paragraphs<const N: usize>(parts: [String; N]) -> String {
    lines(parts, "\n\n")
}

fn lines<const N: usize>(parts: [String; N], between: &str) -> String {
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push_str(between);
        }
        text.push_str(part);
    }
    text
}
