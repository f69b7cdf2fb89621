//! An update as a broadcast of Beadle's. Its texts are kept from when it is created: what is saved later changes nothing.

use crate::item::{self, Item};
use crate::run::Run;
use crate::settings::{Broadcast, Updates};
use beadle_plugin::broadcasts::{self, Attachment, Audience, Definition, TemplateUse};
use beadle_plugin::prelude::*;
use std::time::Duration;

/// How often the progress of a broadcast is looked at, for the report.
pub const LOOK: Duration = Duration::from_secs(60);

/// Creates and starts it. Returns its name.
pub fn start(updates: &Updates, settings: &Broadcast, item: &Item) -> Result<String, Refusal> {
    let name = name_of(&item.key());
    let audience = settings.segment.clone().map_or(Audience::Members, Audience::Segment);
    let mut broadcast = Definition::new(&name, &settings.purpose, audience);
    broadcast.channel.clone_from(&settings.channel);
    for (language, text) in &item.texts {
        broadcast = broadcast.text(language, literal(text));
    }
    broadcast.attachment =
        item.image.clone().map(|source| Attachment { kind: "image".to_owned(), source, filename: None });
    if let Some(template) = &updates.template {
        let lines = item.texts.iter().map(|(language, text)| (language.clone(), literal(&item::first_line(text))));
        broadcast = broadcast.template(TemplateUse::new(template).localized_variable(lines));
    }
    broadcasts::create(&broadcast)?;
    broadcasts::start(&name)?;
    Ok(name)
}

/// Takes over how far it is. Returns how it ended, once it has.
pub fn follow(name: &str, run: &mut Run) -> Result<Option<&'static str>, Refusal> {
    let Some(progress) = broadcasts::status(name)? else { return Ok(Some("cancelled")) };
    run.sent = progress.sent;
    run.missed = progress.refused.into_iter().collect();
    if progress.failed > 0 {
        run.missed.insert("failed".to_owned(), progress.failed);
    }
    Ok(match progress.state.as_str() {
        "finished" => Some("sent"),
        "stopped" => Some("cancelled"),
        _ => None,
    })
}

/// A key as a name: letters, digits, `-`, `_` and `.`.
fn name_of(key: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    key.chars().map(allowed).take(64).collect()
}

/// A text without placeholders.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}
