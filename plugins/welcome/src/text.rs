//! The texts for one person: in their language, with the operator's own texts where there are any.

use crate::language::{LANGUAGES, Language};
use crate::settings::{Texts, Welcome};
use beadle_plugin::prelude::*;
use beadle_plugin::text::{Selected, fill};

/// The texts for one person.
pub struct Speech<'a> {
    settings: &'a Welcome,
    texts: Selected<'a, Language, Texts>,
    name: &'a str,
}

impl Welcome {
    /// The texts for this person, in their language or the default one.
    pub fn speech<'a>(&'a self, contact: &'a Contact) -> Speech<'a> {
        let texts = LANGUAGES.select(contact, &self.language, &self.texts);
        Speech { settings: self, texts, name: contact.first_name() }
    }
}

/// A text by its name, with placeholders filled.
macro_rules! text_functions {
    ($($name:ident)+) => {
        $(pub fn $name(&self) -> String {
            self.fill(self.texts.text(|own| own.$name.as_deref(), |built_in| built_in.$name))
        })+
    };
}

impl Speech<'_> {
    text_functions! { about prompt thanks reminder rules_changed }

    /// The button. Not filled, so that its length is what the schema validated.
    pub fn agree(&self) -> &str {
        self.texts.text(|own| own.agree.as_deref(), |built_in| built_in.agree)
    }

    /// The line below. Not filled either.
    pub fn footer(&self) -> &str {
        self.texts.text(|own| own.footer.as_deref(), |built_in| built_in.footer)
    }

    /// The greeting of a new or a returning member.
    pub fn greeting(&self, rejoined: bool) -> String {
        self.fill(match rejoined {
            true => self.texts.text(|own| own.welcome_back.as_deref(), |built_in| built_in.welcome_back),
            false => self.texts.text(|own| own.greeting.as_deref(), |built_in| built_in.greeting),
        })
    }

    /// Title, rules and link, or that there are none.
    pub fn rules(&self) -> String {
        if !self.settings.has_rules() {
            return self.fill(self.texts.text(|own| own.no_rules.as_deref(), |built_in| built_in.no_rules));
        }
        let title = self.texts.text(|own| own.rules_title.as_deref(), |built_in| built_in.rules_title);
        let rules = self.texts.own(|own| own.rules.as_deref()).unwrap_or(&self.settings.rules);
        let link = self.texts.own(|own| own.rules_link.as_deref()).unwrap_or(&self.settings.rules_link);
        join([self.fill(title), rules.trim().to_owned(), link.trim().to_owned()], "\n")
    }

    fn fill(&self, text: &str) -> String {
        let purpose = || self.texts.own(|own| own.purpose.as_deref()).unwrap_or(&self.settings.purpose).trim();
        let text = fill(text, |key| match key {
            "name" => Some(self.name.into()),
            "brand" => Some(self.settings.brand.as_str().into()),
            "purpose" => Some(purpose().into()),
            _ => None,
        });
        text.trim().to_owned()
    }
}

/// Joins paragraphs and leaves out empty ones.
pub fn paragraphs<const N: usize>(parts: [String; N]) -> String {
    join(parts, "\n\n")
}

fn join<const N: usize>(parts: [String; N], separator: &str) -> String {
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(part);
    }
    text
}
