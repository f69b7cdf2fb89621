//! Twenty: people of the REST interface. Names of fields are paths: `name.firstName`.
//!
//! A note would need a second request that links it to the person, so there are none.

use super::keyset::Place;
use crate::http::{HttpRequest, HttpResponse, encode};
use crate::port::{
    Abilities, Answer, Changed, Cursor, FieldInfo, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError,
    Record, Setup, at_path, fields_of, id_of, json_of, missing, object_of, usual_error,
};
use crate::time;
use crate::value::Value;
use serde_json::Value as Json;

/// Twenty.
#[derive(Clone, Debug)]
pub struct Twenty {
    /// What is read.
    pub setup: Setup,
}

/// People per page: the interface's maximum is 60, and each may need an effect of the event.
const PAGE: usize = 50;

impl Twenty {
    fn people(&self, path: &str) -> String {
        self.setup.url(&format!("rest/people{path}"))
    }

    fn list(&self, filter: &str, order: &str, limit: usize) -> HttpRequest {
        let filter = if filter.is_empty() { String::new() } else { format!("filter={}&", encode(filter)) };
        HttpRequest::new("GET", self.people(&format!("?{filter}order_by={order}&limit={limit}&depth=0")))
    }

    fn record(&self, json: &Json) -> Result<Record, ProviderError> {
        let id = json.get("id").and_then(id_of).ok_or_else(|| missing("id"))?;
        let names = self.setup.all_fields();
        let mut fields = fields_of(json, &names);
        let text = |path: &str| at_path(json, path).and_then(Json::as_str).unwrap_or_default();
        let (code, number) = (text("phones.primaryPhoneCallingCode"), text("phones.primaryPhoneNumber"));
        let phone =
            if number.is_empty() || number.starts_with('+') { number.to_owned() } else { format!("{code}{number}") };
        if let Some(field) = fields.get_mut("phones.primaryPhoneNumber") {
            *field = Value::text(&phone);
        }
        let additional = at_path(json, "phones.additionalPhones").and_then(Json::as_array).into_iter().flatten();
        let additional = additional.filter_map(|entry| {
            let text = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default();
            Some(format!("{}{}", text("callingCode"), text("number"))).filter(|number| !number.is_empty())
        });
        let mut record = Record {
            id,
            updated_at_ms: json.get("updatedAt").and_then(Json::as_str).and_then(time::parse_ms),
            fields,
            phones: Some(phone).filter(|phone| !phone.is_empty()).into_iter().chain(additional).collect(),
            emails: Vec::new(),
            ..Record::default()
        };
        self.setup.identify(&mut record);
        Ok(record)
    }

    fn records(&self, json: &Json) -> Result<Vec<Record>, ProviderError> {
        let people = json.pointer("/data/people").and_then(Json::as_array).ok_or_else(|| missing("data.people"))?;
        people.iter().map(|person| self.record(person)).collect()
    }
}

/// The only entry of `data`: `person`, `createPerson`, `updatePerson`.
fn person_of(json: &Json) -> Result<&Json, ProviderError> {
    let data = json.get("data").and_then(Json::as_object).ok_or_else(|| missing("data"))?;
    data.values().next().filter(|person| person.is_object()).ok_or(ProviderError::Missing)
}

/// A text in a filter.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace(['"', '\\'], ""))
}

impl Provider for Twenty {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::Time,
            can_read: true,
            can_note: false,
            find_values: 20,
            is_create_repeatable: false,
            search_delay_ms: 0,
        }
    }

    fn limits(&self) -> Limits {
        Limits { requests: 100, per_seconds: 60 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        self.setup.search_field(by)
    }

    fn write_mark(&self) -> Option<String> {
        self.setup.write_mark.clone()
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        let one = |id: &str| self.people(&format!("/{}", encode(id)));
        Ok(match operation {
            Operation::Schema => HttpRequest::new("GET", self.setup.url("rest/open-api/core")),
            Operation::Find { by, values } => {
                let name = self.search_field(*by).ok_or(ProviderError::Unsupported)?;
                let filter = match by {
                    // The calling code is another field; whole numbers are compared afterwards.
                    FindBy::Phone => {
                        let ending = |digits: &String| {
                            let ending = digits.get(digits.len().saturating_sub(4)..).unwrap_or(digits);
                            format!("{name}[like]:{}", quoted(&format!("%{ending}")))
                        };
                        format!("or({})", values.iter().map(ending).collect::<Vec<_>>().join(","))
                    }
                    _ => format!(
                        "{name}[in]:[{}]",
                        values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(",")
                    ),
                };
                self.list(&filter, "updatedAt", 60)
            }
            Operation::Get { id } => HttpRequest::new("GET", one(id) + "?depth=0"),
            Operation::GetMany { ids } => {
                let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
                self.list(&format!("id[in]:[{}]", ids.join(",")), "id", 60)
            }
            Operation::Create { member_id, fields } => {
                let mut fields = fields.clone();
                if let Some(name) = &self.setup.member_id {
                    fields.insert(name.clone(), Value::text(member_id));
                }
                HttpRequest::json("POST", self.people(""), &object_of(&fields))
            }
            Operation::Update { id, fields, .. } => HttpRequest::json("PATCH", one(id), &object_of(fields)),
            Operation::Delete { id } => HttpRequest::new("DELETE", one(id)),
            Operation::Changes { since, page } => {
                let place = Place::read(since, page.as_deref());
                let filter = format!("updatedAt[gte]:{}", quoted(&time::rfc3339(place.since_ms)));
                let mut request = self.list(&filter, "updatedAt", PAGE);
                // There is no offset: what is skipped is fetched and left out.
                if place.offset > 0 {
                    request = self.list(&filter, "updatedAt", (PAGE + place.offset).min(60));
                }
                request
            }
            Operation::List { page, limit } => {
                let filter = page.as_ref().map(|last| format!("id[gt]:{}", quoted(last))).unwrap_or_default();
                self.list(&filter, "id", *limit)
            }
            Operation::Note { .. } => return Err(ProviderError::Unsupported),
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        match (operation, usual_error(response)) {
            (Operation::Delete { .. }, Some(ProviderError::Missing)) => return Ok(Answer::Done),
            (_, Some(ProviderError::Rejected { message, .. })) => {
                let is_named = |name: &String| message.contains(name.split('.').next().unwrap_or(name));
                let fields = self.setup.all_fields().into_iter().filter(is_named).collect();
                return Err(ProviderError::Rejected { fields, message });
            }
            (_, Some(error)) => return Err(error),
            (Operation::Delete { .. } | Operation::Note { .. }, None) => return Ok(Answer::Done),
            _ => {}
        }
        let json = json_of(response)?;
        match operation {
            Operation::Schema => {
                let person = json
                    .pointer("/components/schemas/Person/properties")
                    .and_then(Json::as_object)
                    .ok_or_else(|| missing("components.schemas.Person"))?;
                Ok(Answer::Schema(Some(field_infos(person))))
            }
            Operation::Find { .. } | Operation::GetMany { .. } => {
                Ok(Answer::Records { records: self.records(&json)?, next: None })
            }
            Operation::List { limit, .. } => {
                let records = self.records(&json)?;
                let next = records.last().filter(|_| records.len() >= *limit).map(|record| record.id.clone());
                Ok(Answer::Records { records, next })
            }
            Operation::Changes { since, page } => {
                let records = self.records(&json)?;
                let next = Place::read(since, page.as_deref()).after(&records, PAGE);
                // A page that ends where it began: more contacts of one time than it can hold.
                let next = next.filter(|next| page.as_ref() != Some(next));
                let changed =
                    |record: Record| Changed { id: record.id.clone(), record: Some(record), ..Changed::default() };
                Ok(Answer::Changes { changed: records.into_iter().map(changed).collect(), next, since: None })
            }
            Operation::Get { .. } => {
                let person = person_of(&json)?;
                match person.get("deletedAt") {
                    Some(Json::String(_)) => Err(ProviderError::Missing),
                    _ => Ok(Answer::Record(Box::new(self.record(person)?))),
                }
            }
            _ => Ok(Answer::Written(Box::new(self.record(person_of(&json)?)?))),
        }
    }

    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        let json = json_of(hook)?;
        let event = json.get("eventName").or_else(|| json.get("event")).and_then(Json::as_str).unwrap_or_default();
        let Some(action) = event.strip_prefix("person.") else { return Ok(Vec::new()) };
        let person = json.get("record").or_else(|| json.get("data")).ok_or_else(|| missing("record"))?;
        let id = person.get("id").and_then(id_of).ok_or_else(|| missing("record.id"))?;
        let is_deleted = matches!(action, "deleted" | "destroyed");
        let fields: Fields = if is_deleted { Fields::new() } else { self.record(person)?.fields };
        Ok(vec![Hint { id, is_deleted, fields, ..Hint::default() }])
    }
}

/// Fields, and those inside fields that are objects.
fn field_infos(properties: &serde_json::Map<String, Json>) -> Vec<FieldInfo> {
    let mut infos = Vec::new();
    for (name, property) in properties {
        let options = |property: &Json| -> Vec<String> {
            let options = property.get("enum").and_then(Json::as_array).into_iter().flatten();
            options.filter_map(|option| Some(option.as_str()?.to_owned())).collect()
        };
        infos.push(FieldInfo { name: name.clone(), is_writable: true, options: options(property) });
        for (inner, property) in property.get("properties").and_then(Json::as_object).into_iter().flatten() {
            infos.push(FieldInfo { name: format!("{name}.{inner}"), is_writable: true, options: options(property) });
        }
    }
    infos
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn provider() -> Twenty {
        let fields = vec!["name.firstName".to_owned(), "phones.primaryPhoneNumber".to_owned()];
        let phone = Some("phones.primaryPhoneNumber".to_owned());
        Twenty { setup: Setup { base_url: "https://crm.example.org".into(), fields, phone, ..Setup::default() } }
    }

    fn response(status: u16, body: Json) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    fn person() -> Json {
        json!({
            "id": "u-1", "updatedAt": "2026-09-21T14:13:20.000Z", "name": { "firstName": "Ana" },
            "phones": { "primaryPhoneNumber": "612345678", "primaryPhoneCallingCode": "+31",
                "additionalPhones": [{ "number": "201234567", "callingCode": "+31" }] },
        })
    }

    #[test]
    fn numbers_are_put_together() {
        let get = Operation::Get { id: "u-1".into() };
        let answer = response(200, json!({ "data": { "person": person() } }));
        let Ok(Answer::Record(record)) = provider().read(&get, &answer) else { panic!() };
        assert_eq!(record.phones, ["+31612345678", "+31201234567"]);
        assert_eq!(record.fields["phones.primaryPhoneNumber"], Value::text("+31612345678"));
        assert_eq!(record.fields["name.firstName"], Value::text("Ana"));
    }

    #[test]
    fn writes_are_nested_and_searches_are_filters() {
        let fields = Fields::from([("name.firstName".into(), Value::text("Ana"))]);
        let update = Operation::Update { id: "u-1".into(), revision: None, fields, raw: None };
        let request = provider().request(&update).unwrap();
        assert_eq!((request.method, request.url.as_str()), ("PATCH", "https://crm.example.org/rest/people/u-1"));
        assert_eq!(request.body, br#"{"name":{"firstName":"Ana"}}"#);
        let find = Operation::Find { by: FindBy::Phone, values: vec!["31612345678".into()] };
        let url = provider().request(&find).unwrap().url;
        assert!(url.contains(&encode("or(phones.primaryPhoneNumber[like]:\"%5678\")")), "{url}");
    }

    #[test]
    fn deleted_people_and_hooks_are_recognised() {
        let get = Operation::Get { id: "u-1".into() };
        let deleted = json!({ "data": { "person": { "id": "u-1", "deletedAt": "2026-09-21T14:13:20Z" } } });
        assert_eq!(provider().read(&get, &response(200, deleted)), Err(ProviderError::Missing));
        let hook =
            |event: &str| provider().hook(&response(0, json!({ "eventName": event, "record": person() }))).unwrap();
        assert!(hook("person.deleted")[0].is_deleted);
        assert_eq!(hook("person.updated")[0].fields["name.firstName"], Value::text("Ana"));
        assert_eq!(hook("company.updated"), []);
    }
}
