//! The port between the sync and a CRM: what can be asked, what is answered, what can go wrong.
//!
//! A provider makes requests and reads responses. It keeps nothing and decides nothing, so that
//! each is a few tables of endpoints and names.

use crate::http::{HttpRequest, HttpResponse};
use crate::settings::MatchBy;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Fields of a contact by name. `None`: the field is empty; no entry: it is unknown.
pub type Fields = BTreeMap<String, Option<Value>>;

/// What is asked of a CRM. Kept with the request until its response, without what is large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Operation {
    /// Which fields there are.
    Schema,
    /// Contacts with one of the values.
    Find {
        /// The field that is searched.
        by: FindBy,
        /// What it is compared with; any.
        values: Vec<String>,
    },
    /// One contact.
    Get {
        /// Its id.
        id: String,
    },
    /// Several contacts.
    GetMany {
        /// Their ids.
        ids: Vec<String>,
    },
    /// A new contact.
    Create {
        /// The member's id.
        member_id: String,
        /// Its fields.
        fields: Fields,
    },
    /// Changed fields of a contact.
    Update {
        /// Its id.
        id: String,
        /// The revision that is changed, where the CRM has some.
        revision: Option<String>,
        /// The fields.
        fields: Fields,
        /// What `Get` returned as `raw`.
        raw: Option<String>,
    },
    /// Delete a contact: its person is to be forgotten.
    Delete {
        /// Its id.
        id: String,
    },
    /// What changed.
    Changes {
        /// Since when: a time in milliseconds, or a token.
        since: String,
        /// The page.
        page: Option<String>,
    },
    /// All contacts in the order of their ids.
    List {
        /// The page.
        page: Option<String>,
        /// Contacts per page.
        limit: usize,
    },
    /// A note on the contact's timeline.
    Note {
        /// The contact.
        id: String,
        /// Its text.
        text: String,
        /// Its time.
        at_ms: i64,
    },
}

/// How contacts are found; `MatchBy` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindBy {
    /// By the member's id.
    MemberId,
    /// By WhatsApp's user id.
    UserId,
    /// By a phone number: digits with country code, a variant each.
    Phone,
    /// By an e-mail address.
    Email,
}

impl From<MatchBy> for FindBy {
    fn from(by: MatchBy) -> Self {
        match by {
            MatchBy::MemberId => Self::MemberId,
            MatchBy::UserId => Self::UserId,
            MatchBy::Phone => Self::Phone,
            MatchBy::Email => Self::Email,
        }
    }
}

impl Operation {
    /// Without fields and texts, which reading the response does not need.
    pub fn without_content(&self) -> Self {
        match self {
            Self::Create { member_id, .. } => Self::Create { member_id: member_id.clone(), fields: Fields::new() },
            Self::Update { id, .. } => {
                Self::Update { id: id.clone(), revision: None, fields: Fields::new(), raw: None }
            }
            Self::Note { id, at_ms, .. } => Self::Note { id: id.clone(), text: String::new(), at_ms: *at_ms },
            other => other.clone(),
        }
    }
}

/// A contact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its revision, where the CRM has some: an ETag.
    pub revision: Option<String>,
    /// When it changed.
    pub updated_at_ms: Option<i64>,
    /// Its fields.
    pub fields: Fields,
    /// Its phone numbers, as written.
    pub phones: Vec<String>,
    /// Its e-mail addresses.
    pub emails: Vec<String>,
    /// WhatsApp's user ids in it.
    pub user_ids: Vec<String>,
    /// The member's id in it.
    pub member_id: Option<String>,
    /// What `Update` needs to keep what it does not change.
    pub raw: Option<String>,
}

/// A contact that changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Its id.
    pub id: String,
    /// Its revision.
    pub revision: Option<String>,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// The contact, if the CRM sent it.
    pub record: Option<Record>,
}

/// What a hook says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hint {
    /// The contact.
    pub id: String,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Whether the CRM says that we made the change.
    pub is_own: bool,
    /// The contact into which it was merged.
    pub merged_into: Option<String>,
    /// The fields that the hook shows.
    pub fields: Fields,
    /// The contact, if the hook is all that there is: of a CRM that cannot be asked.
    pub record: Option<Record>,
}

/// A field of the CRM.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldInfo {
    /// Its name in the interface.
    pub name: String,
    /// Whether it can be written.
    pub is_writable: bool,
    /// The values that it may have; empty if any.
    pub options: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The fields; `None` if any name can be used.
    Schema(Option<Vec<FieldInfo>>),
    /// Contacts, and the next page.
    Records {
        /// The contacts.
        records: Vec<Record>,
        /// The next page.
        next: Option<String>,
    },
    /// A contact.
    Record(Box<Record>),
    /// It was written. With the fields as the CRM has them now, if it says so.
    Written(Box<Record>),
    /// It was deleted, or the note was made.
    Done,
    /// What changed.
    Changes {
        /// The contacts.
        changed: Vec<Changed>,
        /// The next page.
        next: Option<String>,
        /// From where to ask the next time, if the CRM says so.
        since: Option<String>,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// The CRM asks to come back later.
    Later(Option<i64>),
    /// The credentials are wrong, expired, or lack a permission.
    Credentials(String),
    /// The contact does not exist, or no longer.
    Missing,
    /// The contact changed since it was read.
    Outdated,
    /// These contacts are already there.
    Duplicate(Vec<String>),
    /// The CRM refuses values.
    Rejected {
        /// The fields, if it names some.
        fields: Vec<String>,
        /// Its words.
        message: String,
    },
    /// The token of `Changes` is no longer valid.
    TokenExpired,
    /// The CRM has no such operation.
    Unsupported,
    /// The response makes no sense.
    Unreadable(String),
}

/// How `Changes` knows where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// By the time of change.
    Time,
    /// By a token of the CRM.
    Token,
    /// Not at all: changes come by hooks only.
    None,
}

/// What a provider can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// How changes are listed.
    pub cursor: Cursor,
    /// Whether contacts can be read and searched.
    pub can_read: bool,
    /// Whether contacts have notes.
    pub can_note: bool,
    /// Values per search.
    pub find_values: usize,
    /// Whether `Create` may be repeated without making a second contact.
    pub is_create_repeatable: bool,
    /// Milliseconds after which a new contact can be found by a search.
    pub search_delay_ms: i64,
}

/// Limits of an account, for the operator's egress rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub requests: u32,
    /// In this time.
    pub per_seconds: u32,
}

/// A CRM.
pub trait Provider {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// The lowest limit of its accounts.
    fn limits(&self) -> Limits;

    /// The field that is searched; `None` if there is none.
    fn search_field(&self, by: FindBy) -> Option<String>;

    /// The field in which each write leaves its number, so that a write whose response was lost is
    /// recognised.
    fn write_mark(&self) -> Option<String>;

    /// The request for an operation.
    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError>;

    /// The answer in a response.
    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError>;

    /// What a hook says. Its signature was checked by the host.
    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError>;
}

/// What every provider has in common.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The base URL, without a slash at its end.
    pub base_url: String,
    /// The contact's fields that are read.
    pub fields: Vec<String>,
    /// The searched field with the member's id.
    pub member_id: Option<String>,
    /// The searched field with WhatsApp's user id.
    pub user_id: Option<String>,
    /// The searched field with the phone number.
    pub phone: Option<String>,
    /// The searched field with the e-mail address.
    pub email: Option<String>,
    /// The field in which each write leaves its number.
    pub write_mark: Option<String>,
}

impl Setup {
    /// The searched field.
    pub fn search_field(&self, by: FindBy) -> Option<String> {
        match by {
            FindBy::MemberId => self.member_id.clone(),
            FindBy::UserId => self.user_id.clone(),
            FindBy::Phone => self.phone.clone(),
            FindBy::Email => self.email.clone(),
        }
    }

    /// A URL below the base.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url)
    }

    /// Fills what is searched from the fields of a record.
    pub fn identify(&self, record: &mut Record) {
        let text = |name: &Option<String>| {
            let value = record.fields.get(name.as_ref()?)?.as_ref()?;
            Some(value.to_string())
        };
        let (phone, email, user_id, member_id) =
            (text(&self.phone), text(&self.email), text(&self.user_id), text(&self.member_id));
        record.phones.extend(phone.filter(|phone| !record.phones.contains(phone)));
        record.emails.extend(email.filter(|email| !record.emails.contains(email)));
        record.user_ids.extend(user_id);
        record.member_id = record.member_id.take().or(member_id);
    }

    /// The fields that are read, with those that are searched.
    pub fn all_fields(&self) -> Vec<String> {
        let searched = [&self.member_id, &self.user_id, &self.phone, &self.email, &self.write_mark];
        let mut fields: Vec<String> = self.fields.iter().chain(searched.into_iter().flatten()).cloned().collect();
        fields.sort();
        fields.dedup();
        fields
    }
}

/// The value at a path of names, separated by dots.
pub fn at_path<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(json, |json, name| json.get(name))
}

/// An id, which some systems write as a number.
pub fn id_of(json: &Json) -> Option<String> {
    match json {
        Json::String(text) if !text.is_empty() => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Fields of a JSON object, for names that may be paths; those that the object lacks are empty.
pub fn fields_of(json: &Json, names: &[String]) -> Fields {
    let field = |name: &String| (name.clone(), at_path(json, name).and_then(Value::from_json));
    names.iter().map(field).collect()
}

/// Fields as a JSON object, for names that may be paths.
pub fn object_of(fields: &Fields) -> Json {
    let mut object = Json::Object(serde_json::Map::new());
    for (name, value) in fields {
        let mut place = &mut object;
        for part in name.split('.') {
            if !place.is_object() {
                *place = Json::Object(serde_json::Map::new());
            }
            let Json::Object(map) = place else { break };
            place = map.entry(part.to_owned()).or_insert(Json::Null);
        }
        *place = value.as_ref().map_or(Json::Null, Value::to_json);
    }
    object
}

/// What statuses mean in most interfaces. `None`: the status says success.
pub fn usual_error(response: &HttpResponse) -> Option<ProviderError> {
    let message = || response.text().chars().take(300).collect::<String>();
    Some(match response.status {
        200..=299 => return None,
        401 | 403 => ProviderError::Credentials(message()),
        404 | 410 => ProviderError::Missing,
        412 => ProviderError::Outdated,
        400 | 422 => ProviderError::Rejected { fields: Vec::new(), message: message() },
        408 | 425 | 429 | 500..=599 => ProviderError::Later(response.retry_after_ms()),
        status => ProviderError::Unreadable(format!("status {status}")),
    })
}

/// The body as JSON, or why not.
pub fn json_of(response: &HttpResponse) -> Result<Json, ProviderError> {
    let start = || response.text().chars().take(80).collect::<String>();
    response.json().ok_or_else(|| ProviderError::Unreadable(format!("no JSON: {}", start())))
}

/// What is missing in a response.
pub fn missing(name: &str) -> ProviderError {
    ProviderError::Unreadable(format!("`{name}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_may_be_paths() {
        let json = json!({ "name": { "firstName": "Ana", "lastName": "" }, "age": 7 });
        let names = ["name.firstName", "name.lastName", "age", "other"].map(str::to_owned);
        let fields = fields_of(&json, &names);
        assert_eq!(fields["name.firstName"], Value::text("Ana"));
        assert_eq!((&fields["name.lastName"], &fields["other"]), (&None, &None));
        assert_eq!(
            object_of(&fields),
            json!({ "name": { "firstName": "Ana", "lastName": null }, "age": 7, "other": null })
        );
    }

    #[test]
    fn statuses_have_their_usual_meaning() {
        let error = |status| usual_error(&HttpResponse { status, ..HttpResponse::default() });
        assert_eq!(error(204), None);
        assert!(matches!(error(401), Some(ProviderError::Credentials(_))));
        assert_eq!(error(404), Some(ProviderError::Missing));
        assert_eq!(error(503), Some(ProviderError::Later(None)));
        assert!(matches!(error(422), Some(ProviderError::Rejected { .. })));
        assert!(matches!(error(302), Some(ProviderError::Unreadable(_))));
    }

    #[test]
    fn requests_are_remembered_without_content() {
        let fields = Fields::from([("a".to_owned(), Value::text("secret"))]);
        for operation in [
            Operation::Create { member_id: "con_1".into(), fields: fields.clone() },
            Operation::Update { id: "1".into(), revision: None, fields, raw: Some("secret".into()) },
            Operation::Note { id: "1".into(), text: "secret".into(), at_ms: 0 },
        ] {
            let kept = serde_json::to_string(&operation.without_content()).unwrap();
            assert!(!kept.contains("secret"), "{kept}");
        }
    }
}
