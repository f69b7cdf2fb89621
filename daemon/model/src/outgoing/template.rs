//! Templates: texts that the platform approved beforehand, with their parameters.

use super::parts::{MediaKind, Source};
use crate::content::Location;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A parameter of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, for templates with named parameters; others are positional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its value.
    pub value: ParameterValue,
}

/// The value of a parameter, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterValue {
    /// A text.
    Text(String),
    /// An amount of money.
    Currency {
        /// The text shown if the amount cannot be localised.
        fallback: String,
        /// ISO 4217.
        code: String,
        /// Thousandths of the unit.
        amount_1000: i64,
    },
    /// A date or time as text.
    DateTime(String),
    /// The platform's group id, in an invitation.
    Group(String),
}

/// The header of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateHeader {
    /// A parameter in a line of text.
    Text(Parameter),
    /// A file.
    File {
        /// Image, video or document.
        kind: MediaKind,
        /// Where its bytes are.
        source: Source,
        /// A document's file name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
    /// A location.
    Location(Location),
}

/// The action of a template's button.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateAction {
    /// Returns this payload.
    Reply(String),
    /// The suffix of its web address.
    Url(String),
    /// Opens its flow.
    Flow {
        /// Returned with the answer.
        token: String,
        /// The input of the first screen: a JSON object, or null.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        data: Value,
    },
    /// A code to copy.
    CopyCode(String),
    /// Another `sub_type`, with its parameters as the platform's JSON.
    Other {
        /// The platform's `sub_type`.
        kind: String,
        /// The platform's `parameters`.
        json: Value,
    },
}

/// A button with a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateButton {
    /// Its index, from 0.
    pub index: u32,
    /// Its action.
    pub action: TemplateAction,
}

/// A card of a carousel, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateCard {
    /// An image or a video, by its web address.
    pub header: TemplateHeader,
    /// The parameters of its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<Parameter>,
    /// Its buttons with parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButton>,
}

/// An approved template with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// `[a-z0-9_]{1,512}`
    pub name: String,
    /// For example `en_US`.
    pub language: String,
    /// `marketing`, `utility` or `authentication`, if the sender states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// For marketing: the topic that consent and frequency caps are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<TemplateHeader>,
    /// The parameters of the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<Parameter>,
    /// Buttons with parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButton>,
    /// The cards of a carousel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<TemplateCard>,
    /// The platform id of the message to quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}

impl Template {
    /// A template without parameters.
    pub fn new(name: impl Into<String>, language: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            language: language.into(),
            category: None,
            topic: None,
            header: None,
            body: Vec::new(),
            buttons: Vec::new(),
            cards: Vec::new(),
            quote: None,
        }
    }
}
