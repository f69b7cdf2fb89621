//! The plugin's own texts for admins, in five languages. Updates are written by people.

use beadle_plugin::prelude::*;
use beadle_plugin::text::{Translations, fill};

/// The texts of one language.
#[derive(Debug)]
pub struct Language {
    /// There is no such update.
    pub unknown: &'static str,
    /// With the placeholders `{update}` and `{sent}`.
    sent: &'static str,
    /// Before the list of reasons.
    missed: &'static str,
}

/// English is first: it stands in where no other language fits.
const LANGUAGES: Translations<Language> = Translations::new(&[
    (
        "en",
        Language {
            unknown: "There is no such update.",
            sent: "{update} was sent to {sent} members.",
            missed: "Not sent",
        },
    ),
    (
        "nl",
        Language {
            unknown: "Die update is er niet.",
            sent: "{update} is naar {sent} leden gestuurd.",
            missed: "Niet gestuurd",
        },
    ),
    (
        "de",
        Language {
            unknown: "Dieses Update gibt es nicht.",
            sent: "{update} ging an {sent} Mitglieder.",
            missed: "Nicht gesendet",
        },
    ),
    (
        "pt",
        Language {
            unknown: "Essa novidade não existe.",
            sent: "{update} foi enviado a {sent} membros.",
            missed: "Não enviado",
        },
    ),
    (
        "et",
        Language { unknown: "Sellist uudist ei ole.", sent: "{update} saadeti {sent} liikmele.", missed: "Saatmata" },
    ),
]);

/// The texts for a contact: in their language, else in `default`, else in English.
pub fn texts_for(contact: &Contact, default: &str) -> Option<&'static Language> {
    LANGUAGES.for_contact(contact, default)
}

impl Language {
    /// The report of a send.
    pub fn report(&self, update: &str, sent: u32, missed: &[String]) -> String {
        let text = fill(self.sent, |key| match key {
            "update" => Some(update.into()),
            "sent" => Some(sent.to_string().into()),
            _ => None,
        });
        if missed.is_empty() { text } else { format!("{text}\n{}: {}", self.missed, missed.join(", ")) }
    }
}
