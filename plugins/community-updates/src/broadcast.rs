//! An update as a broadcast of Beadle's. Its texts are those at its creation: what is saved later
//! changes nothing.

use crate::run::Run;
use crate::settings::{Broadcast, Updates};
use crate::update::{self, Update};
use beadle_plugin::broadcasts::{self, Attachment, Audience, Definition, TemplateUse};
use beadle_plugin::prelude::*;
use std::time::Duration;

/// How often the progress of a broadcast is read, for the report.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum length of a broadcast's name.
const MAX_NAME_CHARACTERS: usize = 64;

/// Creates and starts the broadcast of an update. Returns its name.
pub fn start(updates: &Updates, settings: &Broadcast, update: &Update) -> Result<String, Refusal> {
    let name = name_of(&update.key());
    let audience = settings.segment.clone().map_or(Audience::Members, Audience::Segment);
    let mut broadcast = Definition::new(&name, &settings.purpose, audience);
    broadcast.channel.clone_from(&settings.channel);
    broadcast.expires_at = update.expires_at;
    for (language, text) in &update.texts {
        broadcast = broadcast.text(language, literal(text));
    }
    broadcast.attachment =
        update.image.clone().map(|source| Attachment { kind: "image".to_owned(), source, filename: None });
    if let Some(template) = &updates.template {
        let line = |(language, text): (&String, &String)| (language.clone(), literal(&update::first_line(text)));
        broadcast = broadcast.template(TemplateUse::new(template).localized_variable(update.texts.iter().map(line)));
    }
    broadcasts::create(&broadcast)?;
    broadcasts::start(&name)?;
    Ok(name)
}

/// Copies the progress of a broadcast. Returns the outcome once it has ended.
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

/// A key as a name: letters, digits, `-`, `_` and `.`. A key with others, or that is too long, ends
/// with its hash, so that two keys have two names.
fn name_of(key: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.chars().all(is_allowed) && key.len() <= MAX_NAME_CHARACTERS {
        return key.to_owned();
    }
    // FNV-1a, which stays the same in every version of the compiler.
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let readable = key.chars().map(|c| if is_allowed(c) { c } else { '-' });
    format!("{}-{hash:08x}", readable.take(MAX_NAME_CHARACTERS - 9).collect::<String>())
}

/// A text without placeholders.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_have_two_names() {
        let long = "x".repeat(64);
        let keys = [
            "party",
            "sale-1",
            "sale#1",
            "sale 1",
            "f\u{fc}r",
            "f\u{e4}r",
            &long,
            &format!("{long}1"),
            &format!("{long}2"),
        ];
        let names: std::collections::BTreeSet<String> = keys.iter().map(|key| name_of(key)).collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= MAX_NAME_CHARACTERS) && names.contains("party"));
    }
}
