//! The parameters of a message against the definition of its template.

use super::parts::{array, component, is, text, variables};
use beadle_model::outgoing::{MediaKind, Parameter, ParameterValue, TemplateAction, TemplateButton, TemplateHeader};
use beadle_model::outgoing::{Template, TemplateCard};
use beadle_model::text::counted;
use beadle_model::{Refusal, TemplateDefinition};
use serde_json::Value;

/// Checks that a message provides what its template needs, and nothing else.
pub fn check(message: &Template, definition: &TemplateDefinition) -> Result<(), Refusal> {
    let Some(components) = definition.components.as_array().filter(|components| !components.is_empty()) else {
        // A webhook reported it before its parts were fetched.
        return Ok(());
    };
    let check = Check { definition };
    let parts = Value::Array(components.clone());
    check.parts(&parts, "", message.header.as_ref(), &message.body, &message.buttons)?;
    check.cards(component(&parts, "CAROUSEL"), &message.cards)
}

/// Whether a button of a definition needs a value from the message.
pub(super) fn needs_value(button: &Value) -> bool {
    match text(button, "type").to_ascii_uppercase().as_str() {
        "URL" => !variables(text(button, "url")).is_empty(),
        "COPY_CODE" => true,
        _ => false,
    }
}

struct Check<'a> {
    definition: &'a TemplateDefinition,
}

impl Check<'_> {
    fn refuse(&self, problem: impl std::fmt::Display) -> Result<(), Refusal> {
        let TemplateDefinition { name, language, .. } = self.definition;
        Err(Refusal::new("template-parameters", format!("Template `{name}` in `{language}`: {problem}."))
            .instead(format!("`beadle templates show {name}` shows what it needs.")))
    }

    /// Header, text and buttons of the template, or of one card. `prefix`: `card 2: ` or nothing.
    fn parts(
        &self,
        parts: &Value,
        prefix: &str,
        header: Option<&TemplateHeader>,
        body: &[Parameter],
        buttons: &[TemplateButton],
    ) -> Result<(), Refusal> {
        self.header(component(parts, "HEADER"), prefix, header)?;
        let text = component(parts, "BODY").map_or("", |body| text(body, "text"));
        self.check_variables(&format!("{prefix}the text"), text, body)?;
        let defined = component(parts, "BUTTONS").map_or(&[][..], |component| array(component, "buttons"));
        self.buttons(prefix, defined, buttons)
    }

    /// Checks the variables of one text. `part` is its name in errors.
    fn check_variables(&self, part: &str, text: &str, parameters: &[Parameter]) -> Result<(), Refusal> {
        let needed = variables(text);
        if !self.definition.is_named {
            if let Some(name) = parameters.iter().find_map(|parameter| parameter.name.as_ref()) {
                return self.refuse(format!("{part} has variables by position, but the message names `{name}`"));
            }
            if parameters.len() != needed.len() {
                let (needed, count) = (counted(needed.len() as u64, "variable", "variables"), parameters.len());
                return self.refuse(format!("{part} has {needed}, but the message fills {count}"));
            }
            return Ok(());
        }
        let names: Vec<&str> =
            parameters.iter().map(|parameter| parameter.name.as_deref().unwrap_or_default()).collect();
        if let Some(missing) = needed.iter().find(|name| !names.contains(name)) {
            return self.refuse(format!("{part} needs the variable `{missing}`"));
        }
        match names.iter().find(|name| !needed.contains(name)) {
            Some(&"") => self.refuse(format!("{part} has variables with names, but the message gives one without")),
            Some(surplus) => self.refuse(format!("{part} has no variable `{surplus}`")),
            None => Ok(()),
        }
    }

    fn header(&self, defined: Option<&Value>, prefix: &str, header: Option<&TemplateHeader>) -> Result<(), Refusal> {
        let part = format!("{prefix}the header");
        let Some(defined) = defined else {
            return match header {
                Some(_) => self.refuse(format!("{part} is given, but the template has none")),
                None => Ok(()),
            };
        };
        let format = text(defined, "format").to_ascii_lowercase();
        let kind = match header {
            None => "nothing",
            Some(TemplateHeader::Text(_)) => "text",
            Some(TemplateHeader::Location(_)) => "location",
            Some(TemplateHeader::File { kind: MediaKind::Image, .. }) => "image",
            Some(TemplateHeader::File { kind: MediaKind::Video, .. }) => "video",
            Some(TemplateHeader::File { .. }) => "document",
        };
        match (format.as_str(), header) {
            ("" | "text", None) => self.check_variables(&part, text(defined, "text"), &[]),
            ("" | "text", Some(TemplateHeader::Text(parameter))) => {
                self.check_variables(&part, text(defined, "text"), std::slice::from_ref(parameter))
            }
            ("" | "text", Some(_)) => self.refuse(format!("{part} is a text, but the message has {kind}")),
            // A GIF is a video that plays by itself.
            ("gif", Some(_)) if kind == "video" => Ok(()),
            (format, _) if format == kind => Ok(()),
            (format, _) => self.refuse(format!("{part} must be {format}, but the message has {kind}")),
        }
    }

    fn buttons(&self, prefix: &str, defined: &[Value], values: &[TemplateButton]) -> Result<(), Refusal> {
        let find = |index: usize| values.iter().find(|button| usize::try_from(button.index) == Ok(index));
        for (index, button) in defined.iter().enumerate() {
            let kind = text(button, "type").to_ascii_uppercase();
            let fits = match (kind.as_str(), find(index).map(|button| &button.action)) {
                (_, None) if needs_value(button) => {
                    return self.refuse(format!("{prefix}button {index} (`{}`) needs a value", text(button, "text")));
                }
                ("QUICK_REPLY", Some(TemplateAction::Reply(_)))
                | ("URL" | "OTP", Some(TemplateAction::Url(_)))
                | ("COPY_CODE" | "OTP", Some(TemplateAction::CopyCode(_)))
                | ("FLOW", Some(TemplateAction::Flow { .. }))
                | (_, None | Some(TemplateAction::Other { .. })) => true,
                ("QUICK_REPLY" | "URL" | "COPY_CODE" | "FLOW" | "PHONE_NUMBER", Some(_)) => false,
                // A kind that this version does not know.
                _ => true,
            };
            if !fits {
                let kind = kind.to_lowercase().replace('_', " ");
                return self.refuse(format!("{prefix}button {index} is a {kind} button, which the value does not fit"));
            }
        }
        match values.iter().find(|button| usize::try_from(button.index).is_ok_and(|index| index >= defined.len())) {
            Some(surplus) => self.refuse(format!("{prefix}there is no button {}", surplus.index)),
            None => Ok(()),
        }
    }

    fn cards(&self, defined: Option<&Value>, cards: &[TemplateCard]) -> Result<(), Refusal> {
        let defined = defined.map_or(&[][..], |carousel| array(carousel, "cards"));
        if defined.len() != cards.len() {
            let (needed, count) = (counted(defined.len() as u64, "card", "cards"), cards.len());
            return self.refuse(format!("it has {needed}, but the message fills {count}"));
        }
        for (index, (defined, card)) in defined.iter().zip(cards).enumerate() {
            let parts = defined.get("components").unwrap_or(&Value::Null);
            let prefix = format!("card {index}: ");
            self.parts(parts, &prefix, Some(&card.header), &card.body, &card.buttons)?;
        }
        Ok(())
    }
}

/// The text that the reader sees for a parameter.
pub(super) fn display_text(value: &ParameterValue) -> &str {
    match value {
        ParameterValue::Text(text) | ParameterValue::DateTime(text) | ParameterValue::Group(text) => text,
        ParameterValue::Currency { fallback, .. } => fallback,
    }
}

/// The text with its variables filled in.
pub(super) fn fill(definition: &TemplateDefinition, text: &str, parameters: &[Parameter]) -> String {
    let mut output = text.to_owned();
    for (position, name) in variables(text).into_iter().enumerate() {
        let parameter = if definition.is_named {
            parameters.iter().find(|parameter| parameter.name.as_deref() == Some(name))
        } else {
            parameters.get(position)
        };
        if let Some(parameter) = parameter {
            output = output.replace(&format!("{{{{{name}}}}}"), display_text(&parameter.value));
        }
    }
    output
}

/// Whether a header component is a text.
pub(super) fn is_text_header(header: &Value) -> bool {
    text(header, "format").is_empty() || is(header, "format", "TEXT")
}
