//! `[segments.NAME]`: expressions that say who belongs to a group of people.
//!
//! The language is `beadle-segments`'; here is only where in a file its errors are.

use super::diagnostic::{Diagnostic, Span};
use super::literal;
use super::read::Section;
use super::settings::Contacts;
use beadle_model::consent::rules::ConsentRules;
use beadle_schedule::Zone;
use beadle_segments::{Definitions, ExpressionError, SegmentSource, Vocabulary, compile};
use std::collections::BTreeMap;

/// The maximum length of a description in characters.
const MAX_DESCRIPTION: usize = 500;

/// What a segment's expression may name, of the other sections.
pub struct Named<'a> {
    /// `[contacts]`
    pub contacts: &'a Contacts,
    /// `[channels]`
    pub channels: Vec<&'a str>,
    /// `[consents]`
    pub consents: &'a ConsentRules,
    /// `[daemon] timezone`
    pub timezone: &'a Zone,
}

/// `[segments.NAME]`; none after an error, which is reported.
pub fn segments(root: &mut Section<'_>, named: &Named<'_>) -> Definitions {
    let mut sources = Vec::new();
    let mut spans = BTreeMap::new();
    for (name, mut section) in root.named("segments") {
        let expression = section.required("where", "'vip' in tags");
        let description = section.string("description").and_then(|(text, span)| {
            let is_short = text.chars().count() <= MAX_DESCRIPTION;
            if !is_short {
                let message = format!("`description` must have at most {MAX_DESCRIPTION} characters");
                section.invalid(&span, message, "too long");
            }
            is_short.then_some(text)
        });
        section.end();
        if let Some((expression, span)) = expression {
            spans.insert(name.clone(), (span, expression.clone()));
            sources.push(SegmentSource { name, description, expression });
        }
    }
    let timezone = named.timezone.name().to_string();
    let vocabulary = Vocabulary {
        attributes: &named.contacts.attributes,
        channels: named.channels.iter().copied().collect(),
        purposes: named.consents.wordings.values().map(|texts| texts.purpose.clone()).collect(),
        timezone: &timezone,
        parse_duration: super::units::parse_ms,
        check_timezone,
    };
    let place = |name: &str, error: &ExpressionError| {
        let (span, decoded) = spans.get(name)?;
        let raw = root.context.sources.get(span.file)?.text.get(span.range.clone())?;
        let inner = literal::place_in(raw, decoded, &error.span);
        Some(Span { file: span.file, range: span.range.start + inner.start..span.range.start + inner.end })
    };
    match compile(&sources, &vocabulary) {
        Ok((definitions, warnings)) => {
            for (name, warning) in warnings {
                let message = format!("segment `{name}`: {}; {}", warning.message, warning.label);
                root.context.warn("segment-topic", place(&name, &warning), message);
            }
            definitions
        }
        Err(errors) => {
            for (name, error) in errors {
                let span = place(&name, &error).unwrap_or_default();
                let diagnostic = Diagnostic::new("config-segment", span, error.message).label(error.label);
                root.context.report(match error.help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
            }
            Definitions::default()
        }
    }
}

fn check_timezone(name: &str) -> Result<(), String> {
    if Zone::named(name).is_some() {
        return Ok(());
    }
    let near = Zone::suggest(name).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("must be a time zone such as \"Europe/Amsterdam\"{near}"))
}
