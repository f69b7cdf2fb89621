//! Templates: texts that the platform approved beforehand, with what fills their places.

use super::{MediaKind, Source};
use crate::content::Location;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What fills a place in a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The place's name, where the template has names; else they go by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What.
    pub value: ParameterValue,
}

/// What fills a place in a template, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterValue {
    /// A text.
    Text(String),
    /// An amount of money.
    Currency {
        /// As it is shown where it cannot be put in the reader's own way.
        fallback: String,
        /// ISO 4217.
        code: String,
        /// Thousandths of the unit.
        amount_1000: i64,
    },
    /// A moment, as it is shown.
    DateTime(String),
    /// The platform's id of a group, in an invitation.
    Group(String),
}

/// What fills a template's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateHeader {
    /// A place in its line.
    Text(Parameter),
    /// A file.
    File {
        /// Image, video or document.
        kind: MediaKind,
        /// Where it is.
        source: Source,
        /// A document's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
    /// A place on the map.
    Location(Location),
}

/// What a template's button does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TemplateAction {
    /// Comes back as this payload.
    Reply(String),
    /// The end of its address.
    Url(String),
    /// Opens its flow.
    Flow {
        /// Comes back with the answer.
        token: String,
        /// What the first screen is given: a JSON object, or null.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        data: Value,
    },
    /// A code to copy.
    CopyCode(String),
    /// Another `sub_type`, its parameters as the platform writes them.
    Other {
        /// `sub_type`
        kind: String,
        /// `parameters`
        json: Value,
    },
}

/// A button of a template that wants something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateButton {
    /// Which, from 0.
    pub index: u32,
    /// What.
    pub action: TemplateAction,
}

/// A message that the platform approved beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// `[a-z0-9_]{1,512}`
    pub name: String,
    /// `en_US`
    pub language: String,
    /// `marketing`, `utility` or `authentication`, where whoever sends it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What fills its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<TemplateHeader>,
    /// What fills its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<Parameter>,
    /// What its buttons want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<TemplateButton>,
    /// The platform id of the message to quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
}
