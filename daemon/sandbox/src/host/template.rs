//! Templates, as the contract has them, become ours.

use super::outgoing::{Sendable, json, location, source};
use crate::abi::latest::outgoing as wit;
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Template, TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::{Outgoing, Refusal};
use serde_json::Value;

impl Sendable for wit::Template {
    fn outgoing(self) -> Result<Outgoing, Refusal> {
        Ok(Outgoing::Template(Box::new(Template {
            name: self.name,
            language: self.language,
            category: self.category.map(|category| category.to_ascii_lowercase()),
            header: self.header.map(header).transpose()?,
            body: self.body.into_iter().map(parameter).collect(),
            buttons: self.buttons.into_iter().map(button).collect::<Result<_, _>>()?,
            quote: self.quote,
        })))
    }
}

fn parameter(parameter: wit::Parameter) -> Parameter {
    let value = match parameter.value {
        wit::ParameterValue::Text(text) => ParameterValue::Text(text),
        wit::ParameterValue::Currency(money) => {
            ParameterValue::Currency { fallback: money.fallback, code: money.code, amount_1000: money.amount1000 }
        }
        wit::ParameterValue::DateTime(shown) => ParameterValue::DateTime(shown),
        wit::ParameterValue::Group(group) => ParameterValue::Group(group),
    };
    Parameter { name: parameter.name, value }
}

fn header(header: wit::TemplateHeader) -> Result<TemplateHeader, Refusal> {
    let file = |kind, from, filename| Ok(TemplateHeader::File { kind, source: source(from)?, filename });
    match header {
        wit::TemplateHeader::Text(filling) => Ok(TemplateHeader::Text(parameter(filling))),
        wit::TemplateHeader::Image(from) => file(MediaKind::Image, from, None),
        wit::TemplateHeader::Video(from) => file(MediaKind::Video, from, None),
        wit::TemplateHeader::Document(document) => file(MediaKind::Document, document.source, document.filename),
        wit::TemplateHeader::Location(at) => Ok(TemplateHeader::Location(location(at))),
    }
}

fn button(button: wit::TemplateButton) -> Result<TemplateButton, Refusal> {
    let action = match button.action {
        wit::TemplateAction::Reply(payload) => TemplateAction::Reply(payload),
        wit::TemplateAction::Url(end) => TemplateAction::Url(end),
        wit::TemplateAction::Flow(start) => TemplateAction::Flow {
            token: start.token,
            data: start.data.map_or(Ok(Value::Null), |data| json("the flow's `data`", &data))?,
        },
        wit::TemplateAction::CopyCode(code) => TemplateAction::CopyCode(code),
        wit::TemplateAction::Other(other) => {
            TemplateAction::Other { json: json("the button's `json`", &other.json)?, kind: other.kind }
        }
    };
    Ok(TemplateButton { index: button.index, action })
}
