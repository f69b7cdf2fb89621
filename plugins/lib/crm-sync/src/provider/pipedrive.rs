//! Pipedrive: persons, by version 2 of the API; notes and fields by version 1.
//!
//! Searching is the dear call, so ids are kept. `phone` and `email` are lists there; a change
//! replaces the first entry and keeps the others. Names of 40 hexadecimal digits are custom fields.

use crate::http::{HttpRequest, HttpResponse, encode};
use crate::port::{
    Abilities, Answer, Changed, Cursor, FieldInfo, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError,
    Record, Setup, id_of, json_of, missing, usual_error,
};
use crate::time;
use crate::value::Value;
use serde_json::{Map, Value as Json, json};

/// Pipedrive.
#[derive(Clone, Debug)]
pub struct Pipedrive {
    /// What is read.
    pub setup: Setup,
}

/// Persons per page: each may need an effect of the event that handles the page.
const PAGE: usize = 50;
/// Custom fields that a list may name.
const MAX_CUSTOM: usize = 15;

fn is_custom(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The list in which a field is the first entry.
fn list_of(name: &str) -> Option<&'static str> {
    match name {
        "phone" => Some("phones"),
        "email" => Some("emails"),
        _ => None,
    }
}

impl Pipedrive {
    fn v2(&self, path: &str) -> String {
        self.setup.url(&format!("api/v2/{path}"))
    }

    fn custom(&self) -> String {
        let names = self.setup.all_fields();
        let custom: Vec<String> = names.into_iter().filter(|name| is_custom(name)).take(MAX_CUSTOM).collect();
        if custom.is_empty() { String::new() } else { format!("&custom_fields={}", custom.join(",")) }
    }

    fn record(&self, json: &Json) -> Result<Record, ProviderError> {
        let id = json.get("id").and_then(id_of).ok_or_else(|| missing("id"))?;
        let values = |list: &str| -> Vec<String> {
            let entries = json.get(list).and_then(Json::as_array).into_iter().flatten();
            // Search results have texts, persons have objects.
            entries
                .filter_map(|entry| entry.get("value").unwrap_or(entry).as_str().map(str::to_owned))
                .filter(|value| !value.is_empty())
                .collect()
        };
        let mut fields = Fields::new();
        for name in self.setup.all_fields() {
            let value = if let Some(list) = list_of(&name) {
                Value::text(values(list).into_iter().next().unwrap_or_default())
            } else if is_custom(&name) {
                let value = json.pointer(&format!("/custom_fields/{name}"));
                // Money, phones and times of custom fields are objects.
                value.and_then(|value| Value::from_json(value.get("value").unwrap_or(value)))
            } else {
                json.get(&name).and_then(Value::from_json)
            };
            fields.insert(name, value);
        }
        let mut record = Record {
            id,
            updated_at_ms: json.get("update_time").and_then(Json::as_str).and_then(time::parse_ms),
            fields,
            phones: values("phones"),
            emails: values("emails"),
            raw: Some(json!({ "phones": json.get("phones"), "emails": json.get("emails") }).to_string()),
            ..Record::default()
        };
        self.setup.identify(&mut record);
        Ok(record)
    }

    /// A person that was not deleted.
    fn person(&self, json: &Json) -> Result<Record, ProviderError> {
        let data = json.get("data").filter(|data| data.is_object()).ok_or_else(|| missing("data"))?;
        if data.get("is_deleted") == Some(&Json::Bool(true)) {
            return Err(ProviderError::Missing);
        }
        self.record(data)
    }
}

/// Fields as Pipedrive takes them; other entries of the lists are those of `raw`.
fn body_of(fields: &Fields, raw: Option<&str>) -> Json {
    let raw: Json = raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let mut body = Map::new();
    let mut custom = Map::new();
    for (name, value) in fields {
        let json = value.as_ref().map_or(Json::Null, Value::to_json);
        if let Some(list) = list_of(name) {
            let mut entries = raw.get(list).and_then(Json::as_array).cloned().unwrap_or_default();
            match (value, entries.first_mut()) {
                (Some(value), Some(Json::Object(first))) => {
                    first.insert("value".to_owned(), Json::String(value.to_string()));
                }
                (Some(value), _) => {
                    entries = vec![json!({ "value": value.to_string(), "primary": true, "label": "mobile" })];
                }
                (None, Some(_)) => {
                    entries.remove(0);
                }
                (None, None) => {}
            }
            body.insert(list.to_owned(), Json::Array(entries));
        } else if is_custom(name) {
            custom.insert(name.clone(), json);
        } else {
            body.insert(name.clone(), json);
        }
    }
    if !custom.is_empty() {
        body.insert("custom_fields".to_owned(), Json::Object(custom));
    }
    Json::Object(body)
}

impl Provider for Pipedrive {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::Time,
            can_read: true,
            can_note: true,
            find_values: 1,
            is_create_repeatable: false,
            search_delay_ms: 30_000,
        }
    }

    fn limits(&self) -> Limits {
        // Searches; the daily budget of tokens depends on plan and seats.
        Limits { requests: 10, per_seconds: 2 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        self.setup.search_field(by)
    }

    fn write_mark(&self) -> Option<String> {
        self.setup.write_mark.clone()
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        Ok(match operation {
            Operation::Schema => HttpRequest::new("GET", self.setup.url("v1/personFields?limit=500")),
            Operation::Find { by, values } => {
                let value = values.first().map(String::as_str).unwrap_or_default();
                let (term, fields) = match by {
                    // A part of the number, which is compared afterwards: its spelling varies.
                    FindBy::Phone => (value.get(value.len().saturating_sub(8)..).unwrap_or(value), "phone"),
                    FindBy::Email => (value, "email"),
                    FindBy::MemberId | FindBy::UserId => (value, "custom_fields"),
                };
                let exact = *by != FindBy::Phone;
                let query = format!("term={}&fields={fields}&exact_match={exact}&limit=20", encode(term));
                HttpRequest::new("GET", self.v2(&format!("persons/search?{query}")))
            }
            Operation::Get { id } => {
                let custom = self.custom();
                let query = if custom.is_empty() { String::new() } else { custom.replacen('&', "?", 1) };
                HttpRequest::new("GET", self.v2(&format!("persons/{}{query}", encode(id))))
            }
            Operation::GetMany { ids } => {
                HttpRequest::new("GET", self.v2(&format!("persons?ids={}&limit=100{}", ids.join(","), self.custom())))
            }
            Operation::Create { member_id, fields } => {
                let mut fields = fields.clone();
                if let Some(name) = &self.setup.member_id {
                    fields.insert(name.clone(), Value::text(member_id));
                }
                let mut body = body_of(&fields, None);
                if let Some(body) = body.as_object_mut()
                    && body.get("name").is_none_or(Json::is_null)
                {
                    let phone =
                        fields.get("phone").cloned().flatten().map_or("?".to_owned(), |phone| phone.to_string());
                    body.insert("name".to_owned(), Json::String(phone));
                }
                HttpRequest::json("POST", self.v2("persons"), &body)
            }
            Operation::Update { id, fields, raw, .. } => {
                let body = body_of(fields, raw.as_deref());
                HttpRequest::json("PATCH", self.v2(&format!("persons/{}", encode(id))), &body)
            }
            Operation::Delete { id } => HttpRequest::new("DELETE", self.v2(&format!("persons/{}", encode(id)))),
            Operation::Changes { since, page } => {
                let since = since.parse().map_or_else(|_| since.clone(), time::rfc3339);
                let cursor = page.as_ref().map(|page| format!("&cursor={}", encode(page))).unwrap_or_default();
                let query = format!(
                    "updated_since={}&sort_by=update_time&sort_direction=asc&limit={PAGE}{cursor}{}",
                    encode(&since),
                    self.custom()
                );
                HttpRequest::new("GET", self.v2(&format!("persons?{query}")))
            }
            Operation::List { page, limit } => {
                let cursor = page.as_ref().map(|page| format!("&cursor={}", encode(page))).unwrap_or_default();
                let query = format!("sort_by=id&sort_direction=asc&limit={limit}{cursor}{}", self.custom());
                HttpRequest::new("GET", self.v2(&format!("persons?{query}")))
            }
            Operation::Note { id, text, at_ms } => {
                let person = id.parse::<u64>().map_or_else(|_| Json::from(id.clone()), Json::from);
                let body = json!({ "content": text, "person_id": person, "add_time": time::sql(*at_ms) });
                HttpRequest::json("POST", self.setup.url("v1/notes"), &body)
            }
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        match usual_error(response) {
            Some(ProviderError::Missing) if matches!(operation, Operation::Delete { .. }) => return Ok(Answer::Done),
            Some(ProviderError::Rejected { message, .. }) => {
                let names = self.setup.all_fields();
                let fields = names.into_iter().filter(|name| message.contains(name.as_str())).collect();
                return Err(ProviderError::Rejected { fields, message });
            }
            Some(error) => return Err(error),
            None => {}
        }
        let json = json_of(response)?;
        if json.get("success") == Some(&Json::Bool(false)) {
            let message = json.get("error").and_then(Json::as_str).unwrap_or("no success").to_owned();
            return Err(ProviderError::Rejected { fields: Vec::new(), message });
        }
        let list = || json.get("data").and_then(Json::as_array).ok_or_else(|| missing("data"));
        let next = || json.pointer("/additional_data/next_cursor").and_then(id_of);
        match operation {
            Operation::Schema => {
                let info = |field: &Json| {
                    let options = field.get("options").and_then(Json::as_array).into_iter().flatten();
                    Some(FieldInfo {
                        name: field.get("key")?.as_str()?.to_owned(),
                        is_writable: field.get("bulk_edit_allowed") != Some(&Json::Bool(false)),
                        options: options.filter_map(|option| option.get("id").and_then(id_of)).collect(),
                    })
                };
                Ok(Answer::Schema(Some(list()?.iter().filter_map(info).collect())))
            }
            Operation::Find { .. } => {
                let items =
                    json.pointer("/data/items").and_then(Json::as_array).ok_or_else(|| missing("data.items"))?;
                let records = items.iter().filter_map(|item| item.get("item")).map(|item| self.record(item));
                Ok(Answer::Records { records: records.collect::<Result<_, _>>()?, next: None })
            }
            Operation::GetMany { .. } | Operation::List { .. } => {
                let records = list()?.iter().map(|person| self.record(person)).collect::<Result<_, _>>()?;
                Ok(Answer::Records { records, next: next() })
            }
            Operation::Changes { .. } => {
                let changed = |person: &Json| {
                    let record = self.record(person)?;
                    let is_deleted = person.get("is_deleted") == Some(&Json::Bool(true));
                    Ok(Changed { id: record.id.clone(), is_deleted, record: Some(record), ..Changed::default() })
                };
                let changed = list()?.iter().map(changed).collect::<Result<_, ProviderError>>()?;
                Ok(Answer::Changes { changed, next: next(), since: None })
            }
            Operation::Get { .. } => Ok(Answer::Record(Box::new(self.person(&json)?))),
            Operation::Create { .. } | Operation::Update { .. } => Ok(Answer::Written(Box::new(self.person(&json)?))),
            Operation::Delete { .. } | Operation::Note { .. } => Ok(Answer::Done),
        }
    }

    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        let json = json_of(hook)?;
        let meta = json.get("meta").ok_or_else(|| missing("meta"))?;
        if meta.get("entity").and_then(Json::as_str) != Some("person") {
            return Ok(Vec::new());
        }
        let id = meta.get("entity_id").and_then(id_of).ok_or_else(|| missing("meta.entity_id"))?;
        let is_deleted = meta.get("action").and_then(Json::as_str) == Some("delete");
        let merged_into = json.pointer("/data/merge_what_id").and_then(id_of).filter(|into| *into != id);
        Ok(vec![Hint { id, is_deleted, merged_into, ..Hint::default() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

    fn provider() -> Pipedrive {
        let fields = ["name", "phone", "marketing_status", KEY].map(str::to_owned).to_vec();
        let setup = Setup {
            base_url: "https://x.pipedrive.com".into(),
            fields,
            phone: Some("phone".into()),
            ..Setup::default()
        };
        Pipedrive { setup }
    }

    fn response(status: u16, body: Json) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    #[test]
    fn other_numbers_of_a_person_stay() {
        let person = json!({ "success": true, "data": {
            "id": 7, "name": "Ana", "update_time": "2026-09-21T14:13:20Z",
            "phones": [{ "value": "1", "primary": true, "label": "mobile" }, { "value": "2", "label": "work" }],
            "custom_fields": { KEY: { "value": 5, "currency": "EUR" } },
        } });
        let get = Operation::Get { id: "7".into() };
        assert_eq!(
            provider().request(&get).unwrap().url,
            format!("https://x.pipedrive.com/api/v2/persons/7?custom_fields={KEY}")
        );
        let Ok(Answer::Record(record)) = provider().read(&get, &response(200, person)) else { panic!() };
        assert_eq!(record.phones, ["1", "2"]);
        assert_eq!(record.fields[KEY], Some(Value::Number(5.into())));
        let fields = Fields::from([("phone".into(), Value::text("3")), (KEY.into(), None)]);
        let update = Operation::Update { id: "7".into(), revision: None, fields, raw: record.raw };
        let request = provider().request(&update).unwrap();
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(request.method, "PATCH");
        assert_eq!(
            body,
            json!({
                "phones": [{ "value": "3", "primary": true, "label": "mobile" }, { "value": "2", "label": "work" }],
                "custom_fields": { KEY: null },
            })
        );
    }

    #[test]
    fn searches_and_changes_are_paged() {
        let find = Operation::Find { by: FindBy::Phone, values: vec!["31612345678".into()] };
        assert!(
            provider()
                .request(&find)
                .unwrap()
                .url
                .ends_with("/persons/search?term=12345678&fields=phone&exact_match=false&limit=20")
        );
        let found = json!({ "success": true, "data": { "items": [
            { "item": { "id": 7, "name": "Ana", "phones": ["+31 6 12345678"], "emails": [] } },
        ] } });
        let Ok(Answer::Records { records, .. }) = provider().read(&find, &response(200, found)) else { panic!() };
        assert_eq!(records[0].phones, ["+31 6 12345678"]);
        let changes = Operation::Changes { since: "1790000000000".into(), page: Some("c 1".into()) };
        let url = provider().request(&changes).unwrap().url;
        assert!(url.contains("updated_since=2026-09-21T14%3A13%3A20Z&") && url.contains("&cursor=c%201&"), "{url}");
        let page = json!({ "success": true, "data": [{ "id": 7, "is_deleted": true }],
            "additional_data": { "next_cursor": "c2" } });
        let Ok(Answer::Changes { changed, next, .. }) = provider().read(&changes, &response(200, page)) else {
            panic!()
        };
        assert_eq!((changed[0].is_deleted, next.as_deref()), (true, Some("c2")));
    }

    #[test]
    fn deleted_persons_and_refusals_are_recognised() {
        let get = Operation::Get { id: "7".into() };
        let deleted = json!({ "success": true, "data": { "id": 7, "is_deleted": true } });
        assert_eq!(provider().read(&get, &response(200, deleted)), Err(ProviderError::Missing));
        let refused = json!({ "success": false, "error": "Validation failed: marketing_status: Invalid value" });
        let Err(ProviderError::Rejected { fields, .. }) = provider().read(&get, &response(400, refused)) else {
            panic!()
        };
        assert_eq!(fields, ["marketing_status"]);
    }

    #[test]
    fn hooks_of_persons_are_hints() {
        let hook = |entity: &str, action: &str| {
            let json = json!({ "meta": { "entity": entity, "action": action, "entity_id": "7" }, "data": null });
            provider().hook(&response(0, json)).unwrap()
        };
        assert_eq!(hook("person", "delete"), [Hint { id: "7".into(), is_deleted: true, ..Hint::default() }]);
        assert_eq!(hook("deal", "change"), []);
    }
}
