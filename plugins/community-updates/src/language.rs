//! What the plugin itself says to admins, in five languages; updates are written by people.

use beadle_plugin::prelude::*;

/// Everything the plugin says in one language.
pub struct Language {
    code: &'static str,
    /// There is no such update.
    pub unknown: &'static str,
    /// `{item}` and `{sent}` are filled in.
    sent: &'static str,
    /// Before the list of reasons.
    missed: &'static str,
}

const LANGUAGES: [Language; 5] = [
    Language {
        code: "en",
        unknown: "There is no such update.",
        sent: "{item} was sent to {sent} members.",
        missed: "Not sent",
    },
    Language {
        code: "nl",
        unknown: "Die update is er niet.",
        sent: "{item} is naar {sent} leden gestuurd.",
        missed: "Niet gestuurd",
    },
    Language {
        code: "de",
        unknown: "Dieses Update gibt es nicht.",
        sent: "{item} ging an {sent} Mitglieder.",
        missed: "Nicht gesendet",
    },
    Language {
        code: "pt",
        unknown: "Essa novidade não existe.",
        sent: "{item} foi enviado a {sent} membros.",
        missed: "Não enviado",
    },
    Language {
        code: "et",
        unknown: "Sellist uudist ei ole.",
        sent: "{item} saadeti {sent} liikmele.",
        missed: "Saatmata",
    },
];

/// Theirs where it is spoken here, else the usual one, else English.
pub fn of(who: &Contact, usual: &str) -> &'static Language {
    let theirs = who.language_code();
    let find = |code: &str| LANGUAGES.iter().find(|known| known.code == code);
    let [english, ..] = &LANGUAGES;
    find(theirs).or_else(|| find(usual)).unwrap_or(english)
}

impl Language {
    /// What became of a send.
    pub fn report(&self, item: &str, sent: u32, missed: &[String]) -> String {
        let text = self.sent.replace("{item}", item).replace("{sent}", &sent.to_string());
        if missed.is_empty() { text } else { format!("{text}\n{}: {}", self.missed, missed.join(", ")) }
    }
}
