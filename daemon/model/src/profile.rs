//! What the operator and plugins know about a person beyond the platform's data: role, tags, typed
//! attributes, consent.
//!
//! Attributes are declared in the configuration. A value that does not match its declaration is
//! refused where it enters; a value whose declaration was changed or removed stays as it is.

use crate::consent::Consents;
use crate::id::MessageId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a person may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Nothing is sent to them.
    Banned,
    /// Everyone else.
    #[default]
    Member,
    /// Helps others.
    Helper,
    /// Keeps order.
    Moderator,
    /// Manages the community.
    Admin,
    /// Owns the community.
    Owner,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 6] = [Role::Banned, Role::Member, Role::Helper, Role::Moderator, Role::Admin, Role::Owner];

    /// The name for people, plugins and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Role::Banned => "banned",
            Role::Member => "member",
            Role::Helper => "helper",
            Role::Moderator => "moderator",
            Role::Admin => "admin",
            Role::Owner => "owner",
        }
    }

    /// The role with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What is known about a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// What they may do.
    #[serde(skip_serializing_if = "is_default")]
    pub role: Role,
    /// Their tags.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Their attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeValue>,
    /// The view of their entries in the consent ledger.
    #[serde(skip_serializing_if = "is_default")]
    pub consents: Consents,
    /// Since when nothing may be sent to them, because they were imported without a source of
    /// consent, or nothing but the web form has named them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined_since: Option<Timestamp>,
    /// When their erasure began: nothing is sent to them from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_since: Option<Timestamp>,
    /// They left or opted out: messages with a smaller id are not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_before: Option<MessageId>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A text, a date (`2026-11-29`) or a choice.
    Text(String),
    /// Several choices.
    Choices(BTreeSet<String>),
}

/// The type of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeType {
    /// A text of at most [`MAX_TEXT`] characters.
    Text,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// A date.
    Date,
    /// One of these.
    Choice(Vec<String>),
    /// Any of these.
    Choices(Vec<String>),
}

/// The maximum length of a text.
pub const MAX_TEXT: usize = 500;

/// The maximum number of a person's tags.
pub const MAX_TAGS: usize = 100;

/// The attributes that the configuration declares.
pub type AttributeTypes = BTreeMap<String, AttributeType>;

/// Why a value or a tag is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The configuration does not declare it.
    #[error("attribute `{0}` is not declared; add it to `[contacts.attributes]`")]
    Unknown(String),
    /// The value does not match the declared type.
    #[error("attribute `{name}` must be {expected}, not `{found}`")]
    WrongType {
        /// The attribute.
        name: String,
        /// What it must be.
        expected: String,
        /// The value.
        found: String,
    },
    /// Not a tag.
    #[error("`{0}` is not a tag: a tag has 1 to 64 characters without commas and line breaks")]
    BadTag(String),
    /// Too many tags.
    #[error("a person can have at most {MAX_TAGS} tags")]
    TooManyTags,
}

impl AttributeType {
    /// What a value must be, for errors.
    pub fn describe(&self) -> String {
        let listed =
            |choices: &[String]| choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
        match self {
            AttributeType::Text => format!("a text of at most {MAX_TEXT} characters"),
            AttributeType::Number => "a number".into(),
            AttributeType::Boolean => "`true` or `false`".into(),
            AttributeType::Date => "a date such as 2026-11-29".into(),
            AttributeType::Choice(choices) => format!("one of {}", listed(choices)),
            AttributeType::Choices(choices) => format!("a list of {}", listed(choices)),
        }
    }

    /// Reads a value that a person typed; several choices are separated by commas.
    pub fn parse(&self, text: &str) -> Option<AttributeValue> {
        let text = text.trim();
        match self {
            AttributeType::Number => self.check(&serde_json::from_str(text).ok()?),
            AttributeType::Boolean => match &*text.to_ascii_lowercase() {
                "true" | "yes" | "1" => Some(AttributeValue::Boolean(true)),
                "false" | "no" | "0" => Some(AttributeValue::Boolean(false)),
                _ => None,
            },
            AttributeType::Choices(_) => {
                let parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
                self.check(&Value::from_iter(parts))
            }
            _ => self.check(&Value::from(text)),
        }
    }

    /// Reads a value in JSON.
    pub fn check(&self, value: &Value) -> Option<AttributeValue> {
        match (self, value) {
            (AttributeType::Text, Value::String(text)) if text.chars().count() <= MAX_TEXT => {
                Some(AttributeValue::Text(text.clone()))
            }
            (AttributeType::Number, Value::Number(number)) => Some(AttributeValue::Number(number.clone())),
            (AttributeType::Boolean, Value::Bool(value)) => Some(AttributeValue::Boolean(*value)),
            (AttributeType::Date, Value::String(text)) if is_date(text) => Some(AttributeValue::Text(text.clone())),
            (AttributeType::Choice(choices), Value::String(text)) if choices.contains(text) => {
                Some(AttributeValue::Text(text.clone()))
            }
            (AttributeType::Choices(choices), Value::Array(values)) => {
                let known = |value: &Value| {
                    value.as_str().filter(|text| choices.iter().any(|choice| choice == text)).map(str::to_owned)
                };
                values.iter().map(known).collect::<Option<_>>().map(AttributeValue::Choices)
            }
            _ => None,
        }
    }
}

/// A calendar date in ISO 8601.
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// Finds the declaration of an attribute and reads a value that a person typed. An empty text
/// clears it.
pub fn parse_attribute(types: &AttributeTypes, name: &str, text: &str) -> Result<Option<AttributeValue>, ProfileError> {
    let declared = types.get(name).ok_or_else(|| ProfileError::Unknown(name.to_owned()))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    declared.parse(text).map(Some).ok_or_else(|| ProfileError::WrongType {
        name: name.to_owned(),
        expected: declared.describe(),
        found: text.to_owned(),
    })
}

/// Finds the declaration of an attribute and reads a value in JSON. `null` clears it.
pub fn check_attribute(
    types: &AttributeTypes,
    name: &str,
    value: &Value,
) -> Result<Option<AttributeValue>, ProfileError> {
    let declared = types.get(name).ok_or_else(|| ProfileError::Unknown(name.to_owned()))?;
    if value.is_null() {
        return Ok(None);
    }
    declared.check(value).map(Some).ok_or_else(|| ProfileError::WrongType {
        name: name.to_owned(),
        expected: declared.describe(),
        found: value.to_string(),
    })
}

/// Checks the form of a tag.
pub fn check_tag(tag: &str) -> Result<String, ProfileError> {
    let tag = tag.trim();
    let is_tag =
        (1..=64).contains(&tag.chars().count()) && !tag.contains([',', ';']) && !tag.chars().any(char::is_control);
    if is_tag { Ok(tag.to_owned()) } else { Err(ProfileError::BadTag(tag.to_owned())) }
}

/// Changes of a profile. They apply in any order to the profile as it is then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileEdit {
    /// Tags to add.
    pub add_tags: BTreeSet<String>,
    /// Tags to remove.
    pub remove_tags: BTreeSet<String>,
    /// Attributes to set; `None` clears one.
    pub attributes: BTreeMap<String, Option<AttributeValue>>,
    /// The new role.
    pub role: Option<Role>,
}

impl ProfileEdit {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Applies it.
    pub fn apply(&self, profile: &mut Profile) -> Result<(), ProfileError> {
        profile.tags.retain(|tag| !self.remove_tags.contains(tag));
        profile.tags.extend(self.add_tags.iter().cloned());
        if profile.tags.len() > MAX_TAGS {
            return Err(ProfileError::TooManyTags);
        }
        for (name, value) in &self.attributes {
            match value {
                Some(value) => profile.attributes.insert(name.clone(), value.clone()),
                None => profile.attributes.remove(name),
            };
        }
        profile.role = self.role.unwrap_or(profile.role);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<AttributeValue> {
        Some(AttributeValue::Text(value.into()))
    }

    #[test]
    fn values_match_their_declaration() {
        let sizes = || vec!["S".to_owned(), "M".to_owned()];
        let choices =
            |values: &[&str]| Some(AttributeValue::Choices(values.iter().map(|value| (*value).to_owned()).collect()));
        let number = |value: i64| Some(AttributeValue::Number(value.into()));
        let table = [
            (AttributeType::Text, " hello ", text("hello")),
            (AttributeType::Number, "12", number(12)),
            (AttributeType::Number, "-1.5", Some(AttributeValue::Number(Number::from_f64(-1.5).unwrap()))),
            (AttributeType::Number, "12a", None),
            (AttributeType::Number, "\"12\"", None),
            (AttributeType::Boolean, "Yes", Some(AttributeValue::Boolean(true))),
            (AttributeType::Boolean, "maybe", None),
            (AttributeType::Date, "2026-02-28", text("2026-02-28")),
            (AttributeType::Date, "2026-02-29", None),
            (AttributeType::Date, "28.2.2026", None),
            (AttributeType::Choice(sizes()), "M", text("M")),
            (AttributeType::Choice(sizes()), "XL", None),
            (AttributeType::Choices(sizes()), "M, S", choices(&["M", "S"])),
            (AttributeType::Choices(sizes()), "M;XL", None),
        ];
        for (declared, input, value) in table {
            assert_eq!(declared.parse(input), value, "{declared:?} {input}");
        }
        assert_eq!(AttributeType::Text.parse(&"x".repeat(MAX_TEXT + 1)), None);
    }

    #[test]
    fn errors_name_attribute_and_expectation() {
        let types: AttributeTypes = [("size".to_owned(), AttributeType::Choice(vec!["S".into()]))].into();
        let error = parse_attribute(&types, "size", "XL").unwrap_err().to_string();
        assert_eq!(error, "attribute `size` must be one of `S`, not `XL`");
        assert!(parse_attribute(&types, "colour", "red").unwrap_err().to_string().contains("[contacts.attributes]"));
        assert_eq!(check_attribute(&types, "size", &Value::Null), Ok(None));
    }

    #[test]
    fn edit_applies_tags_attributes_and_role() {
        let set = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<BTreeSet<_>>();
        let mut profile = Profile { tags: set(&["a", "b"]), ..Profile::default() };
        let edit = ProfileEdit {
            add_tags: set(&["c"]),
            remove_tags: set(&["a", "z"]),
            attributes: [("age".to_owned(), Some(AttributeValue::Number(7.into()))), ("x".to_owned(), None)].into(),
            role: Some(Role::Admin),
        };
        edit.apply(&mut profile).unwrap();
        edit.apply(&mut profile).unwrap();
        assert_eq!((profile.tags.clone(), profile.role), (set(&["b", "c"]), Role::Admin));
        assert_eq!(
            serde_json::to_string(&profile).unwrap(),
            r#"{"role":"admin","tags":["b","c"],"attributes":{"age":7}}"#
        );
        let many = ProfileEdit { add_tags: (0..MAX_TAGS).map(|n| n.to_string()).collect(), ..ProfileEdit::default() };
        assert_eq!(many.apply(&mut profile), Err(ProfileError::TooManyTags));
        assert!(check_tag("a,b").is_err() && check_tag("").is_err() && check_tag(" vip ").unwrap() == "vip");
    }
}
