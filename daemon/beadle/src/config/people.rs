//! `[contacts]` and `[consents]`: declared attributes, wordings, who must confirm, and the web
//! form.

use super::diagnostic::Span;
use super::read::{Section, is_name};
use super::settings::{ConsentForm, Contacts, Http, Keywords};
use super::tree::{Entry, Value};
use beadle_model::consent::rules::{ConsentRules, WordingText, WordingTexts};
use beadle_model::consent::{ConsentSource, Purpose};
use beadle_model::keyword;
use beadle_model::profile::{AttributeType, AttributeTypes};
use beadle_model::time::HOUR_MS;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The body of a message with buttons, by which the wording is shown.
const MAX_WORDING: usize = 1024;
/// The example of a wording in errors.
const EXAMPLE: &str = "{ en = \"… news from Shop by WhatsApp. Send STOP to end it.\" }";

/// `[contacts]`
pub fn contacts(mut section: Section<'_>) -> Contacts {
    let language_from_number = section.boolean("language_from_number", false);
    let mut attributes = AttributeTypes::new();
    for (name, entry) in section.values("attributes") {
        if let Some(declared) = attribute(&section, &name, entry) {
            attributes.insert(name, declared);
        }
    }
    section.end();
    Contacts { language_from_number, attributes }
}

fn attribute(section: &Section<'_>, name: &str, entry: &Entry) -> Option<AttributeType> {
    let span = &entry.node.span;
    let form = "write \"string\", \"number\", \"boolean\", \"date\", { one_of = [\"S\", \"M\"] } or { any_of = [\"a\", \"b\"] }";
    let wrong = || section.invalid(span, format!("`{name}` must be the type of an attribute"), form);
    if !is_name(name) {
        section.invalid(&entry.key, format!("invalid name `{name}`"), super::read::NAME_FORM);
    }
    match &entry.node.value {
        Value::String(text) => match text.as_str() {
            "string" => return Some(AttributeType::Text),
            "number" => return Some(AttributeType::Number),
            "boolean" => return Some(AttributeType::Boolean),
            "date" => return Some(AttributeType::Date),
            _ => wrong(),
        },
        Value::Table(table) if table.0.len() == 1 => {
            let (key, choices) = table.0.iter().next()?;
            let choices = choices_of(&choices.node.value).filter(|choices| !choices.is_empty());
            match (key.as_str(), choices) {
                ("one_of", Some(choices)) => return Some(AttributeType::Choice(choices)),
                ("any_of", Some(choices)) => return Some(AttributeType::Choices(choices)),
                _ => wrong(),
            }
        }
        _ => wrong(),
    }
    None
}

/// The strings of an array. Commas separate choices in files, so none may contain one.
fn choices_of(value: &Value) -> Option<Vec<String>> {
    let Value::Array(items) = value else { return None };
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() && !text.contains([',', ';']) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(|item| text(&item.value)).collect()
}

/// `[consents]`, and `[consents.form]` if it offers a wording.
pub fn consents(
    mut section: Section<'_>,
    keywords: &Keywords,
    channels: &[&str],
    http: &Http,
) -> (ConsentRules, Option<ConsentForm>) {
    let default = ConsentRules::default();
    let double_opt_in = sources(&mut section).unwrap_or(default.double_opt_in);
    let confirm_within_ms =
        section.duration_ms("confirm_within", HOUR_MS..=30 * 24 * HOUR_MS).unwrap_or(default.confirm_within_ms);
    let mut wordings = BTreeMap::new();
    let mut words = BTreeSet::new();
    for (name, named) in section.named("wordings") {
        if let Some(texts) = wording(named, keywords, &mut words) {
            wordings.insert(name, texts);
        }
    }
    let form = form(section.section("form"), &wordings, channels, http);
    section.end();
    (ConsentRules { wordings, double_opt_in, confirm_within_ms }, form)
}

/// `[consents.form]`
fn form(
    mut section: Section<'_>,
    known: &BTreeMap<String, WordingTexts>,
    channels: &[&str],
    http: &Http,
) -> Option<ConsentForm> {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let offered = section.strings("wordings");
    let is_on = offered.as_ref().is_some_and(|offered| !offered.is_empty());
    let mut wordings = Vec::new();
    for (name, span) in offered.unwrap_or_default() {
        match known.get(&name) {
            None => section.unknown_name(span, "wording", &name, &names),
            Some(texts) if texts.template.is_none() => {
                let label = format!("set `template` in `[consents.wordings.{name}]`");
                section.invalid(&span, "a wording of the form needs a template, which asks outside the window", label);
            }
            Some(_) => wordings.push(name),
        }
    }
    let url = if is_on { section.required("url", "https://beadle.example.org") } else { section.string("url") };
    let url = url.and_then(|(text, span)| form_url(&section, "url", &text, &span));
    let channel = form_channel(&mut section, channels, is_on);
    let mut origins = Vec::new();
    for (text, span) in section.strings("origins").unwrap_or_default() {
        origins.extend(form_url(&section, "origins", &text, &span));
    }
    let privacy_url = section.string("privacy_url").map(|(text, span)| {
        if !reqwest::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            section.invalid(&span, "`privacy_url` must be a URL", "such as \"https://shop.example/privacy\"");
        }
        text
    });
    let mut number =
        |key, default: u32| section.integer(key, default.into(), 1..=100_000).try_into().unwrap_or(default);
    let (max_per_minute, max_per_day) = (number("max_per_minute", 10), number("max_per_day", 500));
    if is_on && http.listen.ip().is_loopback() && !http.behind_proxy {
        let span = section.get("wordings").map(|entry| entry.key.clone());
        let message = "all people who use the form share one limit: the proxy's address is taken for theirs";
        section.context.warn("form-behind-proxy", span, message.into());
    }
    section.end();
    let form = || {
        Some(ConsentForm { wordings, url: url?, channel: channel?, origins, privacy_url, max_per_minute, max_per_day })
    };
    is_on.then(form).flatten()
}

/// The channel of the form: the named one, else the only one.
fn form_channel(section: &mut Section<'_>, channels: &[&str], is_on: bool) -> Option<String> {
    match (section.string("channel"), channels) {
        (Some((name, _)), _) if channels.contains(&name.as_str()) => Some(name),
        (Some((name, span)), _) => {
            section.unknown_name(span, "channel", &name, channels);
            None
        }
        (None, [only]) => Some((*only).to_owned()),
        // Without any channel there is a warning elsewhere.
        (None, [first, _, ..]) if is_on => {
            section.missing("channel", first);
            None
        }
        _ => None,
    }
}

/// The origin of a site, such as `https://shop.example`. Plain HTTP is for trying it out on one's
/// own machine.
fn form_url(section: &Section<'_>, key: &str, text: &str, span: &Span) -> Option<String> {
    let is_local = |url: &reqwest::Url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let url = reqwest::Url::parse(text).ok().filter(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => is_local(url),
        _ => false,
    });
    let bare = url.filter(|url| url.path() == "/" && url.query().is_none() && url.fragment().is_none());
    let origin = bare.map(|url| url.origin().ascii_serialization());
    if origin.is_none() {
        let message = format!("`{key}` must be an https URL of a host, without a path");
        section.invalid(span, message, "such as \"https://shop.example\"");
    }
    origin
}

fn sources(section: &mut Section<'_>) -> Option<BTreeSet<ConsentSource>> {
    let names: Vec<&str> = ConsentSource::ALL
        .iter()
        .filter(|source| **source != ConsentSource::Whatsapp)
        .map(|source| source.name())
        .collect();
    let mut found = BTreeSet::new();
    for (name, span) in section.strings("double_opt_in")? {
        match ConsentSource::named(&name).filter(|source| *source != ConsentSource::Whatsapp) {
            Some(source) => {
                found.insert(source);
            }
            None => section.unknown_name(span, "source", &name, &names),
        }
    }
    Some(found)
}

fn wording(mut section: Section<'_>, keywords: &Keywords, words: &mut BTreeSet<String>) -> Option<WordingTexts> {
    let purpose = section.required("purpose", "marketing:news").and_then(|(text, span)| {
        let purpose: Result<Purpose, _> = text.parse();
        purpose.map_err(|error| section.invalid(&span, error.to_string(), "unknown purpose")).ok()
    });
    let version = u32::try_from(section.integer("version", 1, 1..=1_000_000)).unwrap_or(1);
    let word = section.string("word").and_then(|(word, span)| {
        let is_reserved = keyword::recognize(&word).is_some();
        let is_new = words.insert(word.to_lowercase());
        if is_reserved || !is_new || !word.chars().any(char::is_alphanumeric) || word.chars().count() > 40 {
            let message = "`word` must be a word or two of at most 40 characters that nothing else uses";
            let label = match (is_reserved, is_new) {
                (true, _) => "a reserved word",
                (_, false) => "another wording has it",
                _ => "such as \"NEWS\"",
            };
            section.invalid(&span, message, label);
            return None;
        }
        Some(word)
    });
    let template = section.string("template").map(|(name, _)| name);
    let texts = texts(&mut section, keywords);
    section.end();
    Some(WordingTexts { purpose: purpose?, version, word, template, texts: texts? })
}

/// The texts, the default language first. Each must name the brand, so that the person knows who
/// writes.
fn texts(section: &mut Section<'_>, keywords: &Keywords) -> Option<Vec<WordingText>> {
    let mut texts = Vec::new();
    let found = section.values("text");
    if found.is_empty() {
        section.missing("text", EXAMPLE);
        return None;
    }
    for (language, entry) in found {
        let span = &entry.node.span;
        let Value::String(text) = &entry.node.value else {
            section.wrong_type(&entry.node, &language, "a string", &format!("text = {EXAMPLE}"));
            continue;
        };
        if !(1..=MAX_WORDING).contains(&text.chars().count()) {
            section.invalid(span, format!("a wording must have 1 to {MAX_WORDING} characters"), "too long or empty");
        }
        if keywords.brand.is_empty() {
            let label = "set `brand` in `[keywords]`: the person must know who will write to them";
            section.invalid(span, "a wording needs a brand", label);
        } else if !text.to_lowercase().contains(&keywords.brand.to_lowercase()) {
            let label = "the person must know who will write to them";
            section.invalid(span, format!("a wording must name the brand, `{}`", keywords.brand), label);
        }
        let sha256 = beadle_model::text::hex(Sha256::digest(text));
        texts.push(WordingText { language, text: text.clone(), sha256 });
    }
    texts.sort_by_key(|text| text.language != keywords.language.code());
    Some(texts)
}
