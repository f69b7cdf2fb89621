//! A member as the sync sees one, and the names of the member's fields in a map.

use crate::value::Value;
use std::collections::BTreeMap;

/// What the person agreed to, for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// They agreed.
    Granted,
    /// They declined or withdrew.
    Withdrawn,
    /// They were asked, and have not confirmed.
    Requested,
}

/// A member. Numbers are digits with country code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Beadle's id.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// BCP 47.
    pub language: Option<String>,
    /// IANA.
    pub timezone: Option<String>,
    /// Whether they belong to the community now.
    pub is_member: bool,
    /// Whether they sent STOP, and not START since.
    pub opted_out: bool,
    /// Phone numbers and WhatsApp ids.
    pub phones: Vec<String>,
    /// WhatsApp's ids of the person for this business.
    pub user_ids: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Attributes that are set.
    pub attributes: BTreeMap<String, Value>,
    /// Consent by purpose.
    pub consents: BTreeMap<String, Consent>,
    /// The name of the community.
    pub community: Option<String>,
    /// When they joined, in milliseconds since 1970.
    pub joined_at_ms: Option<i64>,
    /// Their last message.
    pub last_inbound_at_ms: Option<i64>,
    /// The end of the 24-hour window.
    pub window_open_until_ms: Option<i64>,
}

/// A change of a field of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The field, as in the map.
    pub field: String,
    /// Its new value.
    pub value: Option<Value>,
}

/// Fields that a map may name, and whether the CRM may change them. Those with `.*` are followed by
/// a name.
pub const FIELDS: &[(&str, bool)] = &[
    ("member.id", false),
    ("member.name", true),
    ("member.first_name", true),
    ("member.last_name", true),
    ("member.language", true),
    ("member.timezone", true),
    ("member.phone", false),
    ("member.user_id", false),
    ("member.joined", false),
    ("member.joined_at", false),
    ("member.last_inbound_at", false),
    ("member.window_open_until", false),
    ("member.community", false),
    ("member.tags", true),
    ("member.attributes.*", true),
    ("consent.*", true),
];

/// Whether a map may name the field, and whether the CRM may change it.
pub fn is_writable(field: &str) -> Option<bool> {
    let matches = |name: &str| match name.strip_suffix('*') {
        Some(prefix) => field.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
        None => name == field,
    };
    FIELDS.iter().find(|(name, _)| matches(name)).map(|(_, writable)| *writable)
}

impl Member {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<Value> {
        let text = |text: &Option<String>| text.as_ref().and_then(Value::text);
        let time = |at_ms: Option<i64>| at_ms.map(|at_ms| Value::Number(at_ms.into()));
        let (first, last) = split_name(self.name.as_deref().unwrap_or_default());
        match name {
            "member.id" => Value::text(&self.id),
            "member.name" => text(&self.name),
            "member.first_name" => Value::text(first),
            "member.last_name" => Value::text(last),
            "member.language" => text(&self.language),
            "member.timezone" => text(&self.timezone),
            "member.phone" => self.phones.first().and_then(|digits| Value::text(format!("+{digits}"))),
            "member.user_id" => self.user_ids.first().and_then(Value::text),
            "member.joined" => Some(Value::Flag(self.is_member)),
            "member.joined_at" => time(self.joined_at_ms),
            "member.last_inbound_at" => time(self.last_inbound_at_ms),
            "member.window_open_until" => time(self.window_open_until_ms),
            "member.community" => text(&self.community),
            "member.tags" => Value::list(self.tags.clone()),
            other => {
                if let Some(attribute) = other.strip_prefix("member.attributes.") {
                    return self.attributes.get(attribute).cloned().and_then(Value::tidied);
                }
                self.consent(other.strip_prefix("consent.")?)
            }
        }
    }

    /// STOP withdraws every consent to be written to.
    fn consent(&self, purpose: &str) -> Option<Value> {
        match self.consents.get(purpose) {
            _ if self.opted_out => Value::text("withdrawn"),
            Some(Consent::Granted) => Value::text("granted"),
            Some(Consent::Withdrawn) => Value::text("withdrawn"),
            Some(Consent::Requested) | None => None,
        }
    }

    /// The member after changes, for what is compared before the host has carried them out.
    pub fn with(&self, changes: &[Change]) -> Self {
        let mut member = self.clone();
        for Change { field, value } in changes {
            let text = value.as_ref().map(Value::to_string);
            match field.as_str() {
                "member.name" => member.name = text,
                "member.first_name" => {
                    let last = split_name(member.name.as_deref().unwrap_or_default()).1.to_owned();
                    member.name = Some(join_name(&text.unwrap_or_default(), &last));
                }
                "member.last_name" => {
                    let first = split_name(member.name.as_deref().unwrap_or_default()).0.to_owned();
                    member.name = Some(join_name(&first, &text.unwrap_or_default()));
                }
                "member.language" => member.language = text,
                "member.timezone" => member.timezone = text,
                "member.tags" => member.tags = value.as_ref().map(Value::elements).unwrap_or_default(),
                other => {
                    if let Some(attribute) = other.strip_prefix("member.attributes.") {
                        match value {
                            Some(value) => member.attributes.insert(attribute.to_owned(), value.clone()),
                            None => member.attributes.remove(attribute),
                        };
                    } else if let Some(purpose) = other.strip_prefix("consent.") {
                        let consent =
                            if text.as_deref() == Some("granted") { Consent::Granted } else { Consent::Withdrawn };
                        member.consents.insert(purpose.to_owned(), consent);
                    }
                }
            }
        }
        member.name = member.name.filter(|name| !name.is_empty());
        member
    }
}

/// Changes of parts of a name become one change of the name.
pub fn joined_names(member: &Member, changes: Vec<Change>) -> Vec<Change> {
    let is_part = |change: &Change| matches!(change.field.as_str(), "member.first_name" | "member.last_name");
    if !changes.iter().any(is_part) {
        return changes;
    }
    let name = member.with(&changes).name;
    let mut joined: Vec<Change> = changes.into_iter().filter(|change| !is_part(change)).collect();
    joined.retain(|change| change.field != "member.name");
    joined.push(Change { field: "member.name".to_owned(), value: name.and_then(Value::text) });
    joined
}

/// The first word, and the rest.
pub fn split_name(name: &str) -> (&str, &str) {
    let name = name.trim();
    name.split_once(char::is_whitespace).map_or((name, ""), |(first, rest)| (first, rest.trim()))
}

fn join_name(first: &str, last: &str) -> String {
    format!("{first} {last}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Member {
        Member { id: "con_1".into(), name: Some("Ana  de Vries".into()), is_member: true, ..Member::default() }
    }

    #[test]
    fn every_listed_field_has_a_value_when_set() {
        let mut member = ana();
        member.language = Some("nl".into());
        member.timezone = Some("Europe/Amsterdam".into());
        member.phones = vec!["31612345678".into()];
        member.user_ids = vec!["NL.1".into()];
        member.tags = vec!["vip".into()];
        member.attributes.insert("size".into(), Value::Text("M".into()));
        member.consents.insert("marketing".into(), Consent::Granted);
        member.community = Some("Potters".into());
        member.joined_at_ms = Some(1);
        member.last_inbound_at_ms = Some(2);
        member.window_open_until_ms = Some(3);
        for (field, _) in FIELDS {
            let field = match *field {
                "member.attributes.*" => "member.attributes.size",
                "consent.*" => "consent.marketing",
                other => other,
            };
            assert!(member.field(field).is_some(), "{field}");
            assert!(is_writable(field).is_some(), "{field}");
        }
        assert_eq!(is_writable("member.attributes."), None);
        assert_eq!(is_writable("member.nmae"), None);
    }

    #[test]
    fn changed_parts_of_a_name_keep_the_other_part() {
        let change = |field: &str, value: &str| Change { field: field.into(), value: Value::text(value) };
        let both = vec![change("member.last_name", "Bakker"), change("member.first_name", "Anna")];
        assert_eq!(joined_names(&ana(), both), [change("member.name", "Anna Bakker")]);
        let cleared = vec![change("member.last_name", "")];
        assert_eq!(joined_names(&ana(), cleared), [change("member.name", "Ana")]);
    }

    #[test]
    fn stop_withdraws_whatever_was_granted() {
        let mut member = ana();
        member.consents.insert("marketing".into(), Consent::Granted);
        assert_eq!(member.field("consent.marketing"), Value::text("granted"));
        member.opted_out = true;
        assert_eq!(member.field("consent.marketing"), Value::text("withdrawn"));
    }
}
