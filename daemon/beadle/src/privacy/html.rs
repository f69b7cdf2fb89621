//! Writes an export as one HTML page in the person's language. It has no scripts and loads nothing.

use super::fields;
use super::write::PersonWriter;
use crate::api::{PersonData, PersonSection};
use crate::markup::escaped;
use beadle_model::Timestamp;
use beadle_model::keyword::Language;
use serde_json::Value;
use std::io::{self, Write};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem;border-bottom:1px solid #ccc}\
table{border-collapse:collapse;margin:.75rem 0;width:100%}\
th{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0;color:#666;font-weight:normal;white-space:nowrap;width:10rem}\
td{padding:.1rem 0;overflow-wrap:anywhere;white-space:pre-wrap}\
.m{margin:.5rem 0;padding:.5rem .75rem;border-radius:.5rem;background:#f3f3f3;overflow-wrap:anywhere;white-space:pre-wrap}\
.m time{display:block;color:#666;font-size:.8rem}.sent{background:#e6f4e6}.none{color:#666}";

/// The sections of an export with their titles, in the languages of [`Language::ALL`].
const TITLES: &[(&str, [&str; 5])] = &[
    ("profile", ["You", "Jij", "Du", "Você", "Teie"]),
    (
        "identities",
        [
            "Numbers and ids",
            "Nummers en id's",
            "Nummern und Kennungen",
            "Números e identificadores",
            "Numbrid ja tunnused",
        ],
    ),
    ("conversations", ["Conversations", "Gesprekken", "Unterhaltungen", "Conversas", "Vestlused"]),
    (
        "consents",
        [
            "What you agreed to",
            "Waarmee je hebt ingestemd",
            "Einwilligungen",
            "O que consentiu",
            "Millega olete nõustunud",
        ],
    ),
    ("requests", ["What you asked for", "Wat je hebt gevraagd", "Anfragen", "O que pediu", "Mida olete palunud"]),
    ("groups", ["Groups", "Groepen", "Gruppen", "Grupos", "Rühmad"]),
    ("lists", ["Lists", "Lijsten", "Listen", "Listas", "Loendid"]),
    ("broadcasts", ["Mass messages", "Rondzendberichten", "Rundschreiben", "Mensagens em massa", "Massisõnumid"]),
    ("files", ["Files", "Bestanden", "Dateien", "Ficheiros", "Failid"]),
    (
        "received",
        [
            "What you wrote, and what happened",
            "Wat je schreef, en wat er gebeurde",
            "Was du geschrieben hast und was geschah",
            "O que escreveu e o que aconteceu",
            "Mida kirjutasite ja mis juhtus",
        ],
    ),
    (
        "sent",
        [
            "What was sent to you",
            "Wat je kreeg",
            "Was dir gesendet wurde",
            "O que lhe foi enviado",
            "Mida teile saadeti",
        ],
    ),
    (
        "refused",
        [
            "What was not sent to you",
            "Wat je niet kreeg",
            "Was dir nicht gesendet wurde",
            "O que não lhe foi enviado",
            "Mida teile ei saadetud",
        ],
    ),
    (
        "stored",
        [
            "What programs have stored about you",
            "Wat programma's over je bewaren",
            "Was Programme über dich speichern",
            "O que os programas guardaram sobre si",
            "Mida programmid teie kohta hoiavad",
        ],
    ),
    (
        "timers",
        ["What is planned for you", "Wat er gepland staat", "Was geplant ist", "O que está planeado", "Mis on kavas"],
    ),
    (
        "plugins",
        [
            "What programs keep in lists of their own",
            "Wat programma's in eigen lijsten bewaren",
            "Was Programme in eigenen Listen führen",
            "O que os programas guardam em listas próprias",
            "Mida programmid hoiavad oma loendites",
        ],
    ),
];

const HEADINGS: [&str; 5] = ["Your data", "Je gegevens", "Deine Daten", "Os seus dados", "Teie andmed"];
const AS_OF: [&str; 5] = ["As of", "Stand van", "Stand", "Situação em", "Seisuga"];
const NOTHING: [&str; 5] = ["Nothing.", "Niets.", "Nichts.", "Nada.", "Mitte midagi."];

/// One self-contained page.
pub struct HtmlWriter<W> {
    to: W,
    language: Option<Language>,
    begun: bool,
    /// The section that is being written, and whether it has an item.
    section: Option<(String, bool)>,
}

impl<W: Write> HtmlWriter<W> {
    /// Writes to this destination, in the person's language.
    pub fn new(to: W) -> Self {
        Self { to, language: None, begun: false, section: None }
    }

    /// The destination, with what was written so far.
    pub fn written(&self) -> &W {
        &self.to
    }

    /// Returns the destination.
    pub fn into_inner(self) -> W {
        self.to
    }

    fn words(&self, words: &[&'static str; 5]) -> &'static str {
        self.language.unwrap_or(Language::En).pick(words)
    }

    fn begin(&mut self, page: &PersonData) -> io::Result<()> {
        self.language = page.language.as_deref().map(Language::of_tag);
        let (code, heading) = (self.language.unwrap_or(Language::En).code(), self.words(&HEADINGS));
        let (as_of, at) = (self.words(&AS_OF), Timestamp(page.now).utc());
        write!(
            self.to,
            "<!DOCTYPE html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{heading}</title><style>{STYLE}</style></head>\n\
             <body><h1>{heading}</h1><p>{as_of} {at}</p>\n"
        )
    }

    fn enter(&mut self, section: &str) -> io::Result<()> {
        if self.section.as_ref().is_some_and(|(name, _)| name == section) {
            return Ok(());
        }
        self.leave()?;
        let title = TITLES.iter().find(|(name, _)| *name == section).map(|(_, titles)| self.words(titles));
        writeln!(self.to, "<h2>{}</h2>", escaped(title.unwrap_or(section)))?;
        self.section = Some((section.to_owned(), false));
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        if let Some((_, false)) = self.section.take() {
            let nothing = self.words(&NOTHING);
            writeln!(self.to, "<p class=\"none\">{nothing}</p>")?;
        }
        Ok(())
    }

    fn item(&mut self, section: &str, item: &Value) -> io::Result<()> {
        if let Some((_, has_items)) = &mut self.section {
            *has_items = true;
        }
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        if matches!(section, "received" | "sent") {
            return writeln!(
                self.to,
                "<div class=\"m {section}\"><time>{} · {}</time>{}</div>",
                escaped(text("at")),
                escaped(text(if section == "sent" { "state" } else { "kind" })),
                escaped(text("text"))
            );
        }
        self.to.write_all(b"<table>")?;
        for (name, value) in item.as_object().into_iter().flatten() {
            let shown = match value {
                Value::Null => continue,
                Value::String(text) => escaped(text),
                other => escaped(&format!("{other:#}")),
            };
            let name =
                fields::names_of(name).map_or_else(|| name.replace('_', " "), |names| self.words(names).to_owned());
            write!(self.to, "<tr><th>{}</th><td>{shown}</td></tr>", escaped(&name))?;
        }
        self.to.write_all(b"</table>\n")
    }
}

impl<W: Write> PersonWriter for HtmlWriter<W> {
    fn write(&mut self, page: &PersonData) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(page)?;
        }
        for PersonSection { name, items } in &page.sections {
            self.enter(name)?;
            items.iter().try_for_each(|item| self.item(name, item))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.leave()?;
        self.to.write_all(b"</body></html>\n")?;
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PERSON_SECTIONS;
    use serde_json::json;

    #[test]
    fn pages_are_in_the_language_of_the_person_and_escaped() {
        let page = PersonData {
            now: 0,
            contact: "con_5".into(),
            language: Some("pt-BR".into()),
            sections: vec![
                PersonSection { name: "profile".into(), items: vec![json!({"name": "<script>alert(1)</script>"})] },
                PersonSection {
                    name: "received".into(),
                    items: vec![json!({"at": "t", "kind": "message", "text": "a & b"})],
                },
                PersonSection { name: "sent".into(), items: vec![] },
            ],
            next: None,
        };
        let mut bytes = Vec::new();
        let mut writer = HtmlWriter::new(&mut bytes);
        writer.write(&page).unwrap();
        writer.finish().unwrap();
        let html = String::from_utf8(bytes).unwrap();
        assert!(html.contains("<html lang=\"pt\">") && html.contains("Os seus dados"), "{html}");
        assert!(html.contains("<th>Nome</th>"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert!(html.contains("a &amp; b") && html.contains("<p class=\"none\">Nada.</p>"), "{html}");
        assert!(!html.contains("http"), "{html}");
    }

    #[test]
    fn every_section_has_a_title() {
        let titled: Vec<&str> = TITLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(titled, PERSON_SECTIONS);
    }
}
