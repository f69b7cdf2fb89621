//! Texts with placeholders, in several languages.
//!
//! [`fill`] replaces placeholders in a text that an operator or an author wrote. [`Translations`]
//! holds a plugin's built-in texts by language; together with the operator's own texts it selects
//! the ones for a contact. [`for_contact`] selects from a map by language.
//!
//! ```
//! use beadle_plugin::text::{Translations, fill};
//! use std::collections::BTreeMap;
//!
//! struct Texts {
//!     greeting: &'static str,
//! }
//! // Settings of the operator: `[plugins.hello] settings.texts.nl = { greeting = "…" }`
//! struct OwnTexts {
//!     greeting: Option<String>,
//! }
//! const TEXTS: Translations<Texts> = Translations::new(&[
//!     ("en", Texts { greeting: "Hi {name|there}!" }),
//!     ("de", Texts { greeting: "Hallo{ name|}!" }),
//! ]);
//!
//! let host = beadle_plugin::testing::Host::new();
//! let mut ana = host.person("Ana Souza");
//! ana.language = Some("de-AT".into());
//! let own: BTreeMap<String, OwnTexts> = BTreeMap::new();
//! let selected = TEXTS.select(&ana, "en", &own);
//! let greeting = selected.text(|own| own.greeting.as_deref(), |built_in| built_in.greeting);
//! let name = ana.first_name();
//! assert_eq!(fill(greeting, |key| (key == "name").then(|| name.into())), "Hallo Ana!");
//! ```

use crate::types::Contact;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Replaces the placeholders of a text.
///
/// - `{name}` becomes `value("name")`.
/// - `{name|there}` becomes `there` if that value is empty.
/// - White space around the key is written only together with a value: `Hello{ name|}!` becomes
///   `Hello Ana!` or `Hello!`.
/// - A placeholder whose key is unknown (`value` returns `None`), and a `{` without `}`, stay as
///   they are.
pub fn fill<'v>(text: &str, value: impl Fn(&str) -> Option<Cow<'v, str>>) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        output.push_str(before);
        let Some((placeholder, after)) = after.split_once('}') else {
            output.push('{');
            rest = after;
            break;
        };
        let (padded_key, fallback) = placeholder.split_once('|').unwrap_or((placeholder, ""));
        let key = padded_key.trim();
        match value(key) {
            Some(value) if value.is_empty() => output.push_str(fallback),
            Some(value) => {
                let (space_before, space_after) = padded_key.split_once(key).unwrap_or_default();
                output.extend([space_before, &*value, space_after]);
            }
            None => output.extend(["{", placeholder, "}"]),
        }
        rest = after;
    }
    output.push_str(rest);
    output
}

/// The entry of a map by language for a contact: for their language tag (`pt-BR`), else for its
/// language (`pt`), else for `default`. None if there is none of them.
pub fn for_contact<'m, V>(by_language: &'m BTreeMap<String, V>, contact: &Contact, default: &str) -> Option<&'m V> {
    candidates(contact, default).find_map(|language| by_language.get(language))
}

/// The languages to try for a contact, in order.
fn candidates<'c>(contact: &'c Contact, default: &'c str) -> impl Iterator<Item = &'c str> {
    contact.language.as_deref().into_iter().chain([contact.language_code(), default])
}

/// A plugin's built-in texts by language. The first language stands in where no other fits.
#[derive(Debug)]
pub struct Translations<T: 'static>(&'static [(&'static str, T)]);

impl<T> Translations<T> {
    /// Texts by language code.
    ///
    /// # Panics
    /// If there is no language. Used in a constant, that is an error at compile time.
    #[expect(clippy::panic, reason = "it is evaluated at compile time")]
    pub const fn new(languages: &'static [(&'static str, T)]) -> Self {
        if languages.is_empty() {
            panic!("there must be at least one language");
        }
        Self(languages)
    }

    /// The texts for a contact: in their language if it is built in or among the operator's `own`
    /// texts, else in `default`, else in the first language.
    pub fn select<'s, O>(
        &'s self,
        contact: &Contact,
        default: &str,
        own: &'s BTreeMap<String, O>,
    ) -> Selected<'s, T, O> {
        let known = |language: &&str| own.contains_key(*language) || self.find(language).is_some();
        let language = candidates(contact, default).find(known).unwrap_or(default);
        Selected { own: own.get(language), built_in: self.find(language).or_else(|| self.first()) }
    }

    /// The built-in texts for a contact, where an operator cannot change them.
    pub fn for_contact(&self, contact: &Contact, default: &str) -> Option<&T> {
        candidates(contact, default).find_map(|language| self.find(language)).or_else(|| self.first())
    }

    fn find(&self, language: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| *known == language).map(|(_, texts)| texts)
    }

    fn first(&self) -> Option<&T> {
        self.0.first().map(|(_, texts)| texts)
    }
}

/// The texts for one contact.
#[derive(Debug)]
pub struct Selected<'s, T, O> {
    own: Option<&'s O>,
    built_in: Option<&'s T>,
}

impl<'s, T, O> Selected<'s, T, O> {
    /// One text: the operator's own if there is one, else the built-in one.
    pub fn text(
        &self,
        own: impl FnOnce(&'s O) -> Option<&'s str>,
        built_in: impl FnOnce(&'s T) -> &'static str,
    ) -> &'s str {
        self.own.and_then(own).or_else(|| self.built_in.map(built_in)).unwrap_or_default()
    }

    /// A text that only the operator can provide.
    pub fn own(&self, own: impl FnOnce(&'s O) -> Option<&'s str>) -> Option<&'s str> {
        self.own.and_then(own)
    }
}

// Derived, these would require the texts to be `Copy`.
impl<T, O> Clone for Selected<'_, T, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, O> Copy for Selected<'_, T, O> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    fn named(text: &str, name: &str) -> String {
        fill(text, |key| (key == "name").then(|| name.to_owned().into()))
    }

    #[test]
    fn every_placeholder_is_replaced() {
        assert_eq!(named("{name}, {name|you} and {name}", "Ana"), "Ana, Ana and Ana");
        assert_eq!(named("{name}, {name|you} and {name|them}", ""), ", you and them");
    }

    #[test]
    fn space_in_a_placeholder_belongs_to_its_value() {
        for text in ["Hello{ name|}!", "Hello{ name}!"] {
            assert_eq!((named(text, "Ana").as_str(), named(text, "").as_str()), ("Hello Ana!", "Hello!"), "{text}");
        }
        assert_eq!(named("{name | }you", "Ana"), "Ana you");
    }

    #[test]
    fn unknown_placeholders_and_braces_stay() {
        for text in ["{surname}", "{surname|x}", "{", "}", "{}", "a { b", "{name", "}{"] {
            assert_eq!(named(text, "Ana"), text);
        }
        assert_eq!(named("{surname} {name} {", "Ana"), "{surname} Ana {");
    }

    #[test]
    fn value_with_a_placeholder_is_not_filled_again() {
        assert_eq!(named("Hi {name}", "{name}"), "Hi {name}");
    }

    const TEXTS: Translations<&str> = Translations::new(&[("en", "Hi"), ("de", "Hallo"), ("pt", "Olá")]);

    fn greeting(language: Option<&str>, default: &str, own: &[(&str, &str)]) -> String {
        let host = Host::new();
        let mut contact = host.person("Ana");
        contact.language = language.map(str::to_owned);
        let own = own.iter().map(|(language, text)| ((*language).to_owned(), (*text).to_owned())).collect();
        TEXTS.select(&contact, default, &own).text(|own| Some(own.as_str()), |built_in| built_in).to_owned()
    }

    #[test]
    fn language_is_the_contacts_then_the_default_then_the_first() {
        for (language, default, expected) in [
            (Some("de"), "pt", "Hallo"),
            (Some("pt-BR"), "en", "Olá"),
            (Some("pt_BR"), "en", "Olá"),
            (Some("et"), "pt", "Olá"),
            (None, "de", "Hallo"),
            (None, "xx", "Hi"),
            (Some(""), "xx", "Hi"),
        ] {
            assert_eq!(greeting(language, default, &[]), expected, "{language:?} {default}");
        }
    }

    #[test]
    fn own_text_wins_and_adds_languages() {
        let own = [("de", "Moin"), ("et", "Tere"), ("pt-BR", "Oi")];
        assert_eq!(greeting(Some("de"), "en", &own), "Moin");
        assert_eq!(greeting(Some("et"), "en", &own), "Tere");
        assert_eq!(greeting(Some("pt-BR"), "en", &own), "Oi");
        assert_eq!(greeting(Some("pt-PT"), "en", &own), "Olá");
    }

    #[test]
    fn language_without_a_text_of_the_operator_has_the_built_in_one() {
        let host = Host::new();
        let mut contact = host.person("Ana");
        contact.language = Some("de".to_owned());
        let own: BTreeMap<String, Option<String>> = [("de".to_owned(), None)].into();
        assert_eq!(TEXTS.select(&contact, "en", &own).text(|own| own.as_deref(), |built_in| built_in), "Hallo");
        assert_eq!(TEXTS.select(&contact, "en", &own).own(|own| own.as_deref()), None);
        assert_eq!(TEXTS.for_contact(&contact, "en"), Some(&"Hallo"));
    }

    #[test]
    fn map_is_searched_by_tag_language_and_default() {
        let host = Host::new();
        let mut contact = host.person("Ana");
        let texts: BTreeMap<String, u8> = [("nl".to_owned(), 1), ("en".to_owned(), 2)].into();
        contact.language = Some("nl-BE".to_owned());
        assert_eq!(for_contact(&texts, &contact, "en"), Some(&1));
        contact.language = Some("fr".to_owned());
        assert_eq!(for_contact(&texts, &contact, "en"), Some(&2));
        assert_eq!(for_contact(&texts, &contact, "de"), None);
    }
}
