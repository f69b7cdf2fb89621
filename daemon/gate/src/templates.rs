//! Templates by their definition: which language is used, whether a message fits, and what it looks
//! like.
//!
//! The platform refuses a message whose parameters do not match with a number (132000, 132012);
//! here the plugin's author gets a sentence before anything is queued. Components of a kind that
//! this version does not know are not checked.

mod lint;
mod parameters;
mod parts;
mod preview;

pub use lint::{Advertising, advertising, advertising_in, lint};
pub use parameters::check as check_parameters;
pub use parts::variables;
pub use preview::{Preview, preview};

use beadle_model::{Refusal, TemplateDefinition};
use parts::{array, component, text};
use serde_json::Value;

/// The definition to use for a template that is asked for in `asked`: in this language, in its base
/// language, or in `default`; of these the first that can be sent, else the first that exists.
pub fn choose<'a>(
    definitions: &'a [TemplateDefinition],
    asked: &str,
    default: Option<&str>,
) -> Option<&'a TemplateDefinition> {
    let asked = [asked, base(asked)].into_iter();
    let wanted: Vec<&str> = asked.chain(default.into_iter().flat_map(|default| [default, base(default)])).collect();
    let in_order = || {
        let in_language =
            |wanted: &&str| definitions.iter().find(|definition| same_language(&definition.language, wanted));
        wanted.iter().filter_map(in_language)
    };
    in_order().find(|definition| definition.is_approved()).or_else(|| in_order().next())
}

/// `pt` for `pt_BR` and `pt-BR`.
fn base(language: &str) -> &str {
    language.split(['_', '-']).next().unwrap_or(language)
}

/// The platform writes `pt_BR`, people and their devices `pt-BR`.
fn same_language(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one.bytes().zip(other.bytes()).all(|(a, b)| {
            let plain = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
            plain(a) == plain(b)
        })
}

/// Whether the platform accepts messages that use it now.
pub fn check_status(definition: &TemplateDefinition) -> Result<(), Refusal> {
    let TemplateDefinition { name, language, status, reason, .. } = definition;
    let because = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let (code, message, instead) = match status.as_str() {
        "approved" => return Ok(()),
        "paused" => (
            "template-paused",
            format!("WhatsApp has paused the template `{name}` in `{language}`{because} because of its quality."),
            "Wait until WhatsApp resumes it, after 3 or 6 hours, or use another template.",
        ),
        "disabled" => (
            "template-disabled",
            format!("WhatsApp has disabled the template `{name}` in `{language}`{because}."),
            "Use another template.",
        ),
        status => (
            "template-not-approved",
            format!("The template `{name}` in `{language}` is {}{because}.", status.replace('_', " ")),
            "Use an approved template; `beadle templates list` shows them.",
        ),
    };
    Err(Refusal::new(code, message).instead(instead))
}

/// The refusal of a template that the account does not have, in any of the languages that were
/// tried. `languages`: those that it has.
pub fn unknown(name: &str, asked: &str, languages: &[String]) -> Refusal {
    let message = if languages.is_empty() {
        format!("The account has no template `{name}`.")
    } else {
        format!("The template `{name}` exists in {}, but not in `{asked}`.", languages.join(", "))
    };
    Refusal::new("template-unknown", message)
        .instead("Use one of the account's templates; `beadle templates list` shows them.")
}

/// The names of a template's variables, for those who look for a template to send: of the header,
/// the text and the buttons' addresses. The kind of a header that is a file stands for it:
/// `header: image`.
pub fn parameter_names(definition: &TemplateDefinition) -> Vec<String> {
    let components = &definition.components;
    let mut names = Vec::new();
    if let Some(header) = component(components, "HEADER") {
        match text(header, "format").to_ascii_lowercase().as_str() {
            "" | "text" => {
                names.extend(variables(text(header, "text")).into_iter().map(|name| format!("header: {name}")))
            }
            format => names.push(format!("header: {format}")),
        }
    }
    if let Some(body) = component(components, "BODY") {
        names.extend(variables(text(body, "text")).into_iter().map(str::to_owned));
    }
    for (index, button) in
        component(components, "BUTTONS").map_or(&[][..], |buttons| array(buttons, "buttons")).iter().enumerate()
    {
        if parameters::needs_value(button) {
            names.push(format!("button {index}"));
        }
    }
    for (index, card) in
        component(components, "CAROUSEL").map_or(&[][..], |carousel| array(carousel, "cards")).iter().enumerate()
    {
        let parts = card.get("components").unwrap_or(&Value::Null);
        let body = component(parts, "BODY").map_or("", |body| text(body, "text"));
        names.extend(variables(body).into_iter().map(|name| format!("card {index}: {name}")));
    }
    names
}

#[cfg(test)]
pub(crate) mod tests;
