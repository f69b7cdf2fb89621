//! Updates: read from settings and files, validated, and converted to WhatsApp's formatting.
//!
//! A file is Markdown with front matter: lines `key: value` between two lines `---`. `party.md` and
//! `party.nl.md` are one update in two languages; the front matter of `party.md` applies to both.

use crate::settings::Updates;
use beadle_plugin::prelude::*;
use beadle_plugin::{TimestampMs, text};
use std::collections::BTreeMap;

/// The platform's maximum for a text.
const MAX_CHARACTERS: usize = 4096;

/// Why an update is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is not ready.
    Draft,
    /// It is not released yet.
    Embargo,
    /// Its time is over.
    Expired,
}

impl Hold {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Hold::Draft => "draft",
            Hold::Embargo => "embargo",
            Hold::Expired => "expired",
        }
    }
}

/// An update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    pub name: String,
    /// The text by language.
    pub texts: BTreeMap<String, String>,
    pub release_at: Option<TimestampMs>,
    pub expires_at: Option<TimestampMs>,
    pub edition: String,
    /// The web address of a picture that a broadcast sends with the text.
    pub image: Option<String>,
    /// Not ready to be sent.
    pub draft: bool,
}

impl Update {
    /// Identifies the update and its edition; each member gets it at most once.
    pub fn key(&self) -> String {
        if self.edition.is_empty() { self.name.clone() } else { format!("{}#{}", self.name, self.edition) }
    }

    /// Why it must not be sent at this time, if so.
    pub fn hold(&self, now: TimestampMs) -> Option<Hold> {
        if self.draft {
            Some(Hold::Draft)
        } else if self.release_at.is_some_and(|at| now < at) {
            Some(Hold::Embargo)
        } else if self.expires_at.is_some_and(|at| now >= at) {
            Some(Hold::Expired)
        } else {
            None
        }
    }

    /// The text for a contact: in their language, else in `default`, else in any.
    pub fn text_for(&self, contact: &Contact, default: &str) -> &str {
        let text = text::for_contact(&self.texts, contact, default).or_else(|| self.texts.values().next());
        text.map_or("", String::as_str)
    }
}

/// The first line of a text, as the parameter of a template: without formatting, and with single
/// spaces.
pub fn first_line(text: &str) -> String {
    const MAX_CHARACTERS: usize = 200;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let plain = line.replace(['*', '_', '~', '`'], "");
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    plain.chars().take(MAX_CHARACTERS).collect()
}

/// All updates by name, and what is wrong with any of them.
pub fn all(settings: &Updates) -> Result<(BTreeMap<String, Update>, Vec<String>), Refusal> {
    let (mut updates, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, inline) in &settings.updates {
        let head =
            [("release_at", &inline.release_at), ("expires_at", &inline.expires_at), ("edition", &inline.edition)];
        let head = head.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        let texts = inline.text.iter().map(|(language, text)| (language.clone(), text.trim().to_owned())).collect();
        let mut update = Update { name: name.clone(), texts, ..Update::default() };
        match apply_front_matter(&mut update, head, settings) {
            Ok(()) => _ = updates.insert(name.clone(), update),
            Err(error) => problems.push(format!("updates.{name}: {error}")),
        }
    }
    for document in documents::list()?.into_iter().filter(|document| document.name.ends_with(".md")) {
        let Some(text) = documents::read(&document.name)? else { continue };
        let (name, language) = name_and_language(document.name.trim_end_matches(".md"), settings);
        let (head, body) = match front_matter(&text) {
            Ok(parts) => parts,
            Err(error) => {
                problems.push(format!("{}: {error}", document.name));
                continue;
            }
        };
        let update = updates.entry(name.clone()).or_insert_with(|| Update { name, ..Update::default() });
        update.texts.insert(language, whatsapp(body));
        if let Err(error) = apply_front_matter(update, head, settings) {
            problems.push(format!("{}: {error}", document.name));
            // The release date may be the part that is wrong.
            update.draft = true;
        }
    }
    for update in updates.values_mut() {
        let long = update.texts.iter().find(|(_, text)| text.is_empty() || text.chars().count() > MAX_CHARACTERS);
        if let Some((language, _)) = long {
            problems.push(format!("{} ({language}): a text must have 1 to {MAX_CHARACTERS} characters", update.name));
            update.draft = true;
        }
    }
    Ok((updates, problems))
}

/// Name and language of a file: `party.nl` is `party` in Dutch. Without a language it is the
/// default one.
fn name_and_language(stem: &str, settings: &Updates) -> (String, String) {
    match stem.rsplit_once('.') {
        Some((name, language)) if language.len() == 2 && language.chars().all(|c| c.is_ascii_lowercase()) => {
            (name.to_owned(), language.to_owned())
        }
        _ => (stem.to_owned(), settings.language.clone()),
    }
}

type Head = Vec<(String, String)>;

/// The front matter, if there is any, and the text.
fn front_matter(text: &str) -> Result<(Head, &str), String> {
    let Some(rest) = text.trim_start_matches('\u{feff}').strip_prefix("---\n") else { return Ok((Vec::new(), text)) };
    let Some((head, body)) = rest.split_once("\n---") else {
        return Err("the second line `---` is missing".to_owned());
    };
    let lines = head.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let pair = |(n, line): (usize, &str)| match line.split_once(':') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().trim_matches('"').to_owned())),
        None => Err(format!("line {}: must be `key: value`", n + 2)),
    };
    Ok((lines.map(pair).collect::<Result<_, _>>()?, body))
}

fn apply_front_matter(
    update: &mut Update,
    head: impl IntoIterator<Item = (String, String)>,
    settings: &Updates,
) -> Result<(), String> {
    for (key, value) in head {
        let time = || parse_time(&value, &settings.timezone).map_err(|error| format!("{key}: {error}"));
        match key.as_str() {
            "release_at" => update.release_at = Some(time()?),
            "expires_at" => update.expires_at = Some(time()?),
            "edition" => update.edition = value,
            "image" if value.starts_with("https://") => update.image = Some(value),
            "image" => return Err("image: must be an address that begins with https://".to_owned()),
            "draft" => update.draft = value != "false",
            _ => return Err(format!("`{key}` is unknown; use release_at, expires_at, edition, image or draft")),
        }
    }
    Ok(())
}

/// Parses `2026-07-01` or `2026-07-01 09:00` in a time zone.
fn parse_time(text: &str, timezone: &str) -> Result<TimestampMs, String> {
    let invalid = || format!("`{text}` is not a time; write it as 2026-07-01 09:00");
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, separator: char| {
        text.split(separator).map(|part| part.parse::<i64>().ok()).collect::<Option<Vec<_>>>()
    };
    let (Some(date), Some(time)) = (numbers(date, '-'), numbers(time, ':')) else { return Err(invalid()) };
    let (&[year, month, day], [hour, minute, ..]) = (&date[..], &time[..]) else { return Err(invalid()) };
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || !(0..24).contains(hour) || !(0..60).contains(minute) {
        return Err(invalid());
    }
    let wall = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000;
    clock::moment(timezone, wall).map_err(|refusal| refusal.message)
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Converts Markdown to WhatsApp's formatting: headings and `**bold**` become `*bold*`, links
/// follow their text.
fn whatsapp(markdown: &str) -> String {
    let mut lines = Vec::new();
    for line in markdown.trim().lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            lines.push(format!("*{}*", heading.trim()));
        } else {
            lines.push(links(&line.replace("**", "*")));
        }
    }
    lines.join("\n")
}

/// Converts `[text](address)` to `text: address`.
fn links(line: &str) -> String {
    let Some((before, rest)) = line.split_once('[') else { return line.to_owned() };
    match rest.split_once("](").and_then(|(text, rest)| Some((text, rest.split_once(')')?))) {
        Some((text, (address, after))) => format!("{before}{text}: {address}{}", links(after)),
        None => line.to_owned(),
    }
}
