//! Segments and lists of people.

use super::common::Problem;
use super::rfc3339::Ms;
use serde::{Deserialize, Serialize};

/// A segment.
#[derive(Debug, Deserialize, Serialize)]
pub struct SegmentRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The expression.
    #[serde(rename = "where")]
    pub expression: String,
    /// The segments that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// The lists that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
    /// Why it cannot be used now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// `GET /segments/{name}/count`
#[derive(Debug, Deserialize, Serialize)]
pub struct SegmentCount {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The segment, or the list as `list:NAME`.
    pub name: String,
    /// The number of its members.
    pub members: u64,
    /// The number of people who were looked at.
    pub people: u64,
}

/// A member of a segment or list.
#[derive(Debug, Deserialize, Serialize)]
pub struct MemberRow {
    /// `con_…`
    pub contact: String,
    /// The person's name on the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the person was added, for a list.
    #[serde(with = "super::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<Ms>,
}

/// `GET /segments/{name}/explain/{contact}`
#[derive(Debug, Deserialize, Serialize)]
pub struct SegmentExplanation {
    /// The daemon's time.
    #[serde(with = "super::rfc3339")]
    pub now: Ms,
    /// The segment, or the list as `list:NAME`.
    pub segment: String,
    /// The person: `con_…`
    pub contact: String,
    /// The person's name on the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the person belongs to it.
    pub member: bool,
    /// Why.
    pub reason: ReasonPart,
}

/// A part of an expression.
#[derive(Debug, Deserialize, Serialize)]
pub struct ReasonPart {
    /// As written, or `all of`, `any of`, `not`, `both or neither of`.
    pub text: String,
    /// Whether it holds for the person.
    pub holds: bool,
    /// The person's values that decide it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<NamedValue>,
    /// The parts that it consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ReasonPart>,
}

/// A value of a person.
#[derive(Debug, Deserialize, Serialize)]
pub struct NamedValue {
    /// `tags`, `attributes.size`, …
    pub name: String,
    /// The value, or `not set`.
    pub value: String,
}

/// A list of people.
#[derive(Debug, Deserialize, Serialize)]
pub struct PeopleListRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was created.
    #[serde(with = "super::rfc3339")]
    pub created_at: Ms,
    /// The number of its members.
    pub members: u64,
    /// The segments that name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
}

/// `POST /lists`
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewList {
    /// 1 to 64 letters, digits, `-` or `_`.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `PATCH /lists/{name}`: if one contact is unknown, nothing changes.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListEdit {
    /// Contacts to add: `con_…`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Contacts to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// What `PATCH /lists/{name}` changed.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ListChanged {
    /// The number of contacts that are new on it.
    pub added: u64,
    /// The number of contacts that are no longer on it.
    pub removed: u64,
    /// The number of its members afterwards.
    pub members: u64,
}
