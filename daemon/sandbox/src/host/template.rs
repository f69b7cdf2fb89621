//! Templates: converted from the contract.

use super::answer::HostError;
use super::host_state::HostState;
use super::outgoing::{Sendable, json, location, source};
use crate::bindings::latest::outgoing as wit;
use beadle_model::outgoing::{
    MediaKind, Parameter, ParameterValue, Template, TemplateAction, TemplateButton, TemplateCard, TemplateHeader,
};
use beadle_model::{Outgoing, Refusal};
use serde_json::Value;

impl Sendable for wit::Template {
    fn into_outgoing(self, host: &HostState) -> Result<Outgoing, HostError> {
        let body = self.body.into_iter().map(|part| parameter(part, host)).collect::<Result<_, _>>()?;
        Ok(Outgoing::Template(Box::new(Template {
            name: self.name,
            language: self.language,
            category: self.category.map(|category| category.to_ascii_lowercase()),
            topic: self.topic,
            header: self.header.map(|part| header(part, host)).transpose()?,
            body,
            buttons: self.buttons.into_iter().map(button).collect::<Result<_, _>>()?,
            cards: self.cards.into_iter().map(|part| card(part, host)).collect::<Result<_, _>>()?,
            quote: self.quote.map(|handle| host.platform_id(&handle)).transpose()?,
        })))
    }
}

fn parameter(parameter: wit::Parameter, host: &HostState) -> Result<Parameter, HostError> {
    let value = match parameter.value {
        wit::ParameterValue::Text(text) => ParameterValue::Text(text),
        wit::ParameterValue::Currency(money) => {
            ParameterValue::Currency { fallback: money.fallback, code: money.code, amount_1000: money.amount1000 }
        }
        wit::ParameterValue::DateTime(text) => ParameterValue::DateTime(text),
        wit::ParameterValue::Group(group) => ParameterValue::Group(host.platform_group(&group)?),
    };
    Ok(Parameter { name: parameter.name, value })
}

fn header(header: wit::TemplateHeader, host: &HostState) -> Result<TemplateHeader, HostError> {
    let file = |kind, from, filename| Ok(TemplateHeader::File { kind, source: source(from)?, filename });
    match header {
        wit::TemplateHeader::Text(part) => Ok(TemplateHeader::Text(parameter(part, host)?)),
        wit::TemplateHeader::Image(from) => file(MediaKind::Image, from, None),
        wit::TemplateHeader::Video(from) => file(MediaKind::Video, from, None),
        wit::TemplateHeader::Document(document) => file(MediaKind::Document, document.source, document.filename),
        wit::TemplateHeader::Location(at) => Ok(TemplateHeader::Location(location(at))),
    }
}

fn card(card: wit::TemplateCard, host: &HostState) -> Result<TemplateCard, HostError> {
    Ok(TemplateCard {
        header: header(card.header, host)?,
        body: card.body.into_iter().map(|part| parameter(part, host)).collect::<Result<_, _>>()?,
        buttons: card.buttons.into_iter().map(button).collect::<Result<_, _>>()?,
    })
}

fn button(button: wit::TemplateButton) -> Result<TemplateButton, Refusal> {
    let action = match button.action {
        wit::TemplateAction::Reply(payload) => TemplateAction::Reply(payload),
        wit::TemplateAction::Url(end) => TemplateAction::Url(end),
        wit::TemplateAction::Flow(start) => TemplateAction::Flow {
            token: start.token,
            data: start.data.map_or(Ok(Value::Null), |data| json("`data` of the flow", &data))?,
        },
        wit::TemplateAction::CopyCode(code) => TemplateAction::CopyCode(code),
        wit::TemplateAction::Other(other) => {
            TemplateAction::Other { json: json("`json` of the button", &other.json)?, kind: other.kind }
        }
    };
    Ok(TemplateButton { index: button.index, action })
}
