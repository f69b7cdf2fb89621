//! A template with its parameters filled in, as its reader sees it.

use super::parameters::{fill, is_text_header};
use super::parts::{array, component, text};
use beadle_model::TemplateDefinition;
use beadle_model::outgoing::{Parameter, Template, TemplateHeader};
use serde_json::Value;

/// What the reader sees. Variables without a value stay as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The header: a text, or the kind of file in brackets.
    pub header: Option<String>,
    /// The text.
    pub body: String,
    /// The line below the text.
    pub footer: Option<String>,
    /// The labels of the buttons.
    pub buttons: Vec<String>,
    /// The texts of the cards.
    pub cards: Vec<String>,
}

/// Fills a template with the parameters of a message.
pub fn preview(definition: &TemplateDefinition, message: &Template) -> Preview {
    let components = &definition.components;
    let header = component(components, "HEADER").map(|header| {
        if !is_text_header(header) {
            return format!("[{}]", text(header, "format").to_lowercase());
        }
        let parameters: &[Parameter] = match &message.header {
            Some(TemplateHeader::Text(parameter)) => std::slice::from_ref(parameter),
            _ => &[],
        };
        fill(definition, text(header, "text"), parameters)
    });
    let cards = component(components, "CAROUSEL").map_or(&[][..], |carousel| array(carousel, "cards"));
    let card = |(index, card): (usize, &Value)| {
        let parts = card.get("components").unwrap_or(&Value::Null);
        let parameters = message.cards.get(index).map_or(&[][..], |card| &card.body);
        fill(definition, component(parts, "BODY").map_or("", |body| text(body, "text")), parameters)
    };
    Preview {
        header,
        body: fill(definition, component(components, "BODY").map_or("", |body| text(body, "text")), &message.body),
        footer: component(components, "FOOTER").map(|footer| text(footer, "text").to_owned()),
        buttons: component(components, "BUTTONS")
            .map_or(&[][..], |component| array(component, "buttons"))
            .iter()
            .map(|button| text(button, "text").to_owned())
            .collect(),
        cards: cards.iter().enumerate().map(card).collect(),
    }
}
