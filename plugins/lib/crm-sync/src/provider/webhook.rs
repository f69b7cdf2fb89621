//! Any system that takes and sends webhooks: it cannot be asked, so both sides only report.
//!
//! Out: `POST` of JSON with the member's id; the host adds idempotency key and signature. In: JSON
//! whose places the operator names by JSON pointers (RFC 6901).

use crate::http::{HttpRequest, HttpResponse};
use crate::port::{
    Abilities, Answer, Cursor, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError, Record, Setup, id_of,
    json_of, missing, object_of, usual_error,
};
use crate::settings::Pointers;
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};

/// A system with webhooks.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where it is.
    pub setup: Setup,
    /// Where its webhooks have what.
    pub pointers: Option<Pointers>,
}

impl Webhook {
    fn post(&self, event: &str, body: Json) -> HttpRequest {
        let mut body = body;
        if let Some(body) = body.as_object_mut() {
            body.insert("event".to_owned(), Json::from(event));
        }
        HttpRequest::json("POST", self.setup.base_url.clone(), &body)
    }
}

impl Provider for Webhook {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::None,
            can_read: false,
            can_note: true,
            find_values: 0,
            is_create_repeatable: true,
            search_delay_ms: 0,
        }
    }

    fn limits(&self) -> Limits {
        Limits { requests: 50, per_seconds: 10 }
    }

    fn search_field(&self, _: FindBy) -> Option<String> {
        None
    }

    fn write_mark(&self) -> Option<String> {
        None
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        match operation {
            Operation::Create { member_id, fields } => {
                Ok(self.post("contact.created", json!({ "id": member_id, "fields": object_of(fields) })))
            }
            Operation::Update { id, fields, .. } => {
                Ok(self.post("contact.changed", json!({ "id": id, "fields": object_of(fields) })))
            }
            Operation::Delete { id } => Ok(self.post("contact.erased", json!({ "id": id }))),
            Operation::Note { id, text, at_ms } => {
                Ok(self.post("contact.note", json!({ "id": id, "text": text, "at": time::rfc3339(*at_ms) })))
            }
            _ => Err(ProviderError::Unsupported),
        }
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        match usual_error(response) {
            // 410: the receiver asks to stop.
            Some(ProviderError::Missing) => Err(ProviderError::Credentials(format!("status {}", response.status))),
            Some(error) => Err(error),
            None => Ok(match operation {
                Operation::Create { member_id: id, .. } | Operation::Update { id, .. } => {
                    Answer::Written(Box::new(Record { id: id.clone(), ..Record::default() }))
                }
                _ => Answer::Done,
            }),
        }
    }

    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        let pointers = self.pointers.as_ref().ok_or(ProviderError::Unsupported)?;
        let json = json_of(hook)?;
        let at = |pointer: &Option<String>| json.pointer(pointer.as_ref()?);
        let id = json.pointer(&pointers.id).and_then(id_of).ok_or_else(|| missing(&pointers.id))?;
        let is_deleted = at(&pointers.deleted) == Some(&Json::Bool(true));
        let shown = json.pointer(&pointers.fields).and_then(Json::as_object);
        let fields: Fields = match shown {
            Some(shown) => {
                let known = shown.iter().filter(|(name, _)| self.setup.fields.contains(name));
                known.map(|(name, value)| (name.clone(), Value::from_json(value))).collect()
            }
            None if is_deleted => Fields::new(),
            None => return Err(missing(&pointers.fields)),
        };
        let updated_at_ms = at(&pointers.updated_at).and_then(|at| time::parse_ms(&id_of(at)?));
        let member_id = at(&pointers.member_id).and_then(id_of).or_else(|| Some(id.clone()));
        let record = Record { id: id.clone(), updated_at_ms, fields, member_id, ..Record::default() };
        Ok(vec![Hint { id, is_deleted, record: Some(record), ..Hint::default() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Webhook {
        let pointers = Pointers {
            id: "/contact/id".into(),
            updated_at: Some("/at".into()),
            deleted: Some("/deleted".into()),
            member_id: None,
            fields: "/contact".into(),
        };
        let fields = vec!["name".to_owned()];
        Webhook {
            setup: Setup { base_url: "https://x.example.org/in".into(), fields, ..Setup::default() },
            pointers: Some(pointers),
        }
    }

    #[test]
    fn changes_are_posted() {
        let fields = Fields::from([("name".into(), Value::text("Ana"))]);
        let create = Operation::Create { member_id: "con_1".into(), fields };
        let request = provider().request(&create).unwrap();
        assert_eq!(request.url, "https://x.example.org/in");
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "event": "contact.created", "id": "con_1", "fields": { "name": "Ana" } }));
        let gone = HttpResponse { status: 410, ..HttpResponse::default() };
        assert!(matches!(provider().read(&create, &gone), Err(ProviderError::Credentials(_))));
    }

    #[test]
    fn hooks_are_read_by_pointers() {
        let hook = |body: Json| {
            provider().hook(&HttpResponse { body: body.to_string().into_bytes(), ..HttpResponse::default() })
        };
        let hints = hook(json!({ "contact": { "id": 7, "name": "Ana", "x": 1 }, "at": 5 })).unwrap();
        let record = hints[0].record.clone().unwrap();
        assert_eq!((record.id.as_str(), record.updated_at_ms), ("7", Some(5)));
        assert_eq!(record.fields, Fields::from([("name".into(), Value::text("Ana"))]));
        assert_eq!(hook(json!({ "contact": {} })), Err(missing("/contact/id")));
    }
}
