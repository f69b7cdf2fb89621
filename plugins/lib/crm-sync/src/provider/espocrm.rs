//! EspoCRM: contacts or leads of `/api/v1`. Times are in UTC, to the second.

use super::keyset::Place;
use crate::http::{HttpRequest, HttpResponse, encode};
use crate::port::{
    Abilities, Answer, Changed, Cursor, FieldInfo, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError,
    Record, Setup, fields_of, id_of, json_of, missing, object_of, usual_error,
};
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};

/// EspoCRM.
#[derive(Clone, Debug)]
pub struct Espocrm {
    /// What is read.
    pub setup: Setup,
    /// `Contact` or `Lead`.
    pub entity: String,
}

/// Contacts per page: each may need an effect of the event that handles the page.
const PAGE: usize = 50;

impl Espocrm {
    fn api(&self, path: &str) -> String {
        self.setup.url(&format!("api/v1/{path}"))
    }

    fn list(&self, conditions: &Json, order: &str, limit: usize, offset: usize) -> HttpRequest {
        let mut select = self.setup.all_fields();
        select.extend(["id", "modifiedAt", "phoneNumberData", "emailAddressData"].map(str::to_owned));
        let parameters = json!({
            "where": conditions, "orderBy": order, "order": "asc", "maxSize": limit, "offset": offset,
            "select": select.join(","),
        });
        HttpRequest::new("GET", self.api(&format!("{}?searchParams={}", self.entity, encode(&parameters.to_string()))))
    }

    fn record(&self, json: &Json) -> Result<Record, ProviderError> {
        let id = json.get("id").and_then(id_of).ok_or_else(|| missing("id"))?;
        let values = |list: &str, name: &str| -> Vec<String> {
            let entries = json.get(list).and_then(Json::as_array).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.get(name)?.as_str()?.to_owned())).collect()
        };
        let names = self.setup.all_fields();
        let mut record = Record {
            id,
            updated_at_ms: json.get("modifiedAt").and_then(Json::as_str).and_then(time::parse_ms),
            fields: fields_of(json, &names),
            phones: values("phoneNumberData", "phoneNumber"),
            emails: values("emailAddressData", "emailAddress"),
            ..Record::default()
        };
        self.setup.identify(&mut record);
        Ok(record)
    }

    fn records(&self, json: &Json) -> Result<Vec<Record>, ProviderError> {
        // `total` may be -1 or -2, which says nothing about the page.
        let list = json.get("list").and_then(Json::as_array).ok_or_else(|| missing("list"))?;
        list.iter().map(|entity| self.record(entity)).collect()
    }
}

impl Provider for Espocrm {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::Time,
            can_read: true,
            can_note: true,
            find_values: 20,
            is_create_repeatable: false,
            search_delay_ms: 0,
        }
    }

    fn limits(&self) -> Limits {
        // Self-hosted: no limit of its own.
        Limits { requests: 50, per_seconds: 10 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        self.setup.search_field(by)
    }

    fn write_mark(&self) -> Option<String> {
        self.setup.write_mark.clone()
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        let one = |id: &str| self.api(&format!("{}/{}", self.entity, encode(id)));
        Ok(match operation {
            Operation::Schema => {
                HttpRequest::new("GET", self.api(&format!("Metadata?key=entityDefs.{}.fields", self.entity)))
            }
            Operation::Find { by, values } => {
                let name = self.search_field(*by).ok_or(ProviderError::Unsupported)?;
                let conditions: Vec<Json> = match by {
                    // Numbers may be formatted; the digits are compared afterwards.
                    FindBy::Phone => values
                        .iter()
                        .map(|digits| digits.get(digits.len().saturating_sub(4)..).unwrap_or(digits))
                        .map(|ending| json!({ "type": "like", "attribute": name, "value": format!("%{ending}") }))
                        .collect(),
                    _ => vec![json!({ "type": "in", "attribute": name, "value": values })],
                };
                self.list(&json!([{ "type": "or", "value": conditions }]), "modifiedAt", 100, 0)
            }
            Operation::Get { id } => HttpRequest::new("GET", one(id)),
            Operation::GetMany { ids } => {
                let conditions = json!([{ "type": "in", "attribute": "id", "value": ids }]);
                self.list(&conditions, "id", ids.len(), 0)
            }
            Operation::Create { member_id, fields } => {
                let mut fields = fields.clone();
                if let Some(name) = &self.setup.member_id {
                    fields.insert(name.clone(), Value::text(member_id));
                }
                // The check for duplicates stays on: 409 lists contacts that a search did not show.
                HttpRequest::json("POST", self.api(&self.entity), &object_of(&fields))
            }
            Operation::Update { id, fields, .. } => HttpRequest::json("PUT", one(id), &object_of(fields)),
            Operation::Delete { id } => HttpRequest::new("DELETE", one(id)),
            Operation::Changes { since, page } => {
                let place = Place::read(since, page.as_deref());
                let conditions = json!([{
                    "type": "greaterThanOrEquals", "attribute": "modifiedAt", "value": time::sql(place.since_ms),
                }]);
                self.list(&conditions, "modifiedAt", PAGE, place.offset)
            }
            Operation::List { page, limit } => {
                let conditions = match page {
                    Some(last) => json!([{ "type": "greaterThan", "attribute": "id", "value": last }]),
                    None => json!([]),
                };
                self.list(&conditions, "id", *limit, 0)
            }
            Operation::Note { id, text, .. } => {
                let body = json!({ "type": "Post", "post": text, "parentType": self.entity, "parentId": id });
                HttpRequest::json("POST", self.api("Note"), &body)
            }
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        match (operation, response.status) {
            (Operation::Create { .. }, 409) => {
                let json = json_of(response)?;
                let list = json.get("list").or(Some(&json)).and_then(Json::as_array).cloned().unwrap_or_default();
                return Err(ProviderError::Duplicate(
                    list.iter().filter_map(|entity| id_of(entity.get("id")?)).collect(),
                ));
            }
            (Operation::Update { .. }, 409) => return Err(ProviderError::Outdated),
            (Operation::Delete { .. }, 404) => return Ok(Answer::Done),
            _ => {}
        }
        if let Some(error) = usual_error(response) {
            return Err(match error {
                ProviderError::Rejected { message, .. } => {
                    // `{"messageTranslation":{"data":{"field":"size","type":"valid"}}}`.
                    let field = response
                        .json()
                        .and_then(|json| Some(json.pointer("/messageTranslation/data/field")?.as_str()?.to_owned()));
                    ProviderError::Rejected { fields: field.into_iter().collect(), message }
                }
                other => other,
            });
        }
        if matches!(operation, Operation::Delete { .. } | Operation::Note { .. }) {
            return Ok(Answer::Done);
        }
        let json = json_of(response)?;
        match operation {
            Operation::Schema => {
                let fields = json.as_object().ok_or_else(|| missing("fields"))?;
                let mut infos = Vec::new();
                for (name, info) in fields {
                    let options = info.get("options").and_then(Json::as_array).into_iter().flatten();
                    infos.push(FieldInfo {
                        name: name.clone(),
                        is_writable: info.get("readOnly") != Some(&Json::Bool(true)),
                        options: options.filter_map(|option| Some(option.as_str()?.to_owned())).collect(),
                    });
                    // Fields of their own that the definition of the number implies.
                    if info.get("type").and_then(Json::as_str) == Some("phone") {
                        let name = format!("{name}IsOptedOut");
                        infos.push(FieldInfo { name, is_writable: true, options: Vec::new() });
                    }
                }
                Ok(Answer::Schema(Some(infos)))
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
                let changed =
                    |record: Record| Changed { id: record.id.clone(), record: Some(record), ..Changed::default() };
                Ok(Answer::Changes { changed: records.into_iter().map(changed).collect(), next, since: None })
            }
            Operation::Get { .. } if json.get("deleted") == Some(&Json::Bool(true)) => Err(ProviderError::Missing),
            Operation::Get { .. } => Ok(Answer::Record(Box::new(self.record(&json)?))),
            _ => Ok(Answer::Written(Box::new(self.record(&json)?))),
        }
    }

    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        let json = json_of(hook)?;
        let entities = json.as_array().ok_or_else(|| ProviderError::Unreadable("not a list".to_owned()))?;
        let names = self.setup.all_fields();
        let hint = |entity: &Json| {
            let shown = |name: &&String| entity.get(name.as_str()).is_some();
            let shown: Vec<String> = names.iter().filter(shown).cloned().collect();
            let fields: Fields = fields_of(entity, &shown);
            // `skipOwn` of the hook leaves out our own changes.
            let is_deleted = entity.get("deleted") == Some(&Json::Bool(true));
            Some(Hint { id: entity.get("id").and_then(id_of)?, is_deleted, fields, ..Hint::default() })
        };
        Ok(entities.iter().filter_map(hint).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;

    fn provider() -> Espocrm {
        let fields = vec!["firstName".to_owned(), "phoneNumber".to_owned()];
        let setup = Setup {
            base_url: "https://crm.example.org".into(),
            fields,
            phone: Some("phoneNumber".into()),
            ..Setup::default()
        };
        Espocrm { setup, entity: "Contact".into() }
    }

    fn response(status: u16, body: Json) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    fn parameters(operation: &Operation) -> Json {
        let url = provider().request(operation).unwrap().url;
        let parameters = url.strip_prefix("https://crm.example.org/api/v1/Contact?searchParams=").unwrap();
        serde_json::from_str(&percent_decode_str(parameters).decode_utf8().unwrap()).unwrap()
    }

    #[test]
    fn searches_and_changes_are_lists_with_conditions() {
        let find = parameters(&Operation::Find { by: FindBy::Phone, values: vec!["31612345678".into()] });
        assert_eq!(
            find["where"][0]["value"][0],
            json!({ "type": "like", "attribute": "phoneNumber", "value": "%5678" })
        );
        let changes =
            parameters(&Operation::Changes { since: "1790000000000".into(), page: Some("1790000000000|3".into()) });
        assert_eq!(changes["where"][0]["value"], "2026-09-21 14:13:20");
        assert_eq!((&changes["offset"], &changes["orderBy"]), (&json!(3), &json!("modifiedAt")));
        let list = parameters(&Operation::List { page: Some("a1".into()), limit: 20 });
        assert_eq!((&list["where"][0]["value"], &list["maxSize"]), (&json!("a1"), &json!(20)));
    }

    #[test]
    fn duplicates_are_listed() {
        let create = Operation::Create { member_id: "con_1".into(), fields: Fields::new() };
        let list = json!([{ "id": "a1" }, { "id": "a2" }]);
        assert_eq!(
            provider().read(&create, &response(409, list)),
            Err(ProviderError::Duplicate(vec!["a1".into(), "a2".into()]))
        );
        let created = json!({ "id": "a3", "modifiedAt": "2026-09-21 14:13:20", "firstName": "Ana",
            "phoneNumberData": [{ "phoneNumber": "+31612345678", "primary": true }] });
        let Ok(Answer::Written(record)) = provider().read(&create, &response(200, created)) else { panic!() };
        assert_eq!((record.updated_at_ms, record.phones.len()), (Some(1_790_000_000_000), 1));
    }

    #[test]
    fn refused_fields_and_hooks_are_read() {
        let update = Operation::Update { id: "a1".into(), revision: None, fields: Fields::new(), raw: None };
        let refused = json!({ "messageTranslation": { "label": "validationFailure", "data": { "field": "size" } } });
        let Err(ProviderError::Rejected { fields, .. }) = provider().read(&update, &response(400, refused)) else {
            panic!()
        };
        assert_eq!(fields, ["size"]);
        let hook = json!([{ "id": "a1", "firstName": "Ana" }, { "id": "a2", "deleted": true }]);
        let hints = provider().hook(&response(0, hook)).unwrap();
        assert_eq!((hints[0].fields.len(), hints[1].is_deleted), (1, true));
    }
}
