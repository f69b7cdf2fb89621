//! HubSpot CRM v3: contacts.
//!
//! Search pages end at 10,000 contacts, so long lists continue by time or id. The index of the
//! search is seconds behind. With a unique property for the member's id, creating is an upsert and
//! can be repeated.

use crate::http::{HttpRequest, HttpResponse, encode};
use crate::phone;
use crate::port::{
    Abilities, Answer, Changed, Cursor, FieldInfo, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError,
    Record, Setup, fields_of, id_of, json_of, missing, usual_error,
};
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};

/// HubSpot.
#[derive(Clone, Debug)]
pub struct Hubspot {
    /// What is read.
    pub setup: Setup,
}

/// Contacts per page: each may need an effect of the event that handles the page.
const PAGE: usize = 50;
/// The search refuses offsets of 10,000; here the time of the last contact starts a new one.
const MAX_OFFSET: u64 = 9_000;
/// The association of a note with a contact.
const NOTE_TO_CONTACT: u32 = 202;

impl Hubspot {
    fn objects(&self, path: &str) -> String {
        self.setup.url(&format!("crm/v3/objects/contacts{path}"))
    }

    fn search(&self, filter_groups: &Json, sort: &str, limit: usize, after: Option<&str>) -> HttpRequest {
        let mut properties = self.setup.all_fields();
        properties.push("lastmodifieddate".to_owned());
        let mut body = json!({
            "filterGroups": filter_groups,
            "properties": properties,
            "sorts": [{ "propertyName": sort, "direction": "ASCENDING" }],
            "limit": limit,
        });
        if let (Some(after), Some(body)) = (after.filter(|after| !after.is_empty()), body.as_object_mut()) {
            body.insert("after".to_owned(), Json::from(after));
        }
        HttpRequest::json("POST", self.objects("/search"), &body)
    }

    fn record(&self, json: &Json) -> Result<Record, ProviderError> {
        let id = json.get("id").and_then(id_of).ok_or_else(|| missing("id"))?;
        let properties = json.get("properties").unwrap_or(&Json::Null);
        // The body of a response to a write has the properties that were written and some others.
        let known: Vec<String> =
            self.setup.all_fields().into_iter().filter(|name| properties.get(name).is_some()).collect();
        let updated = properties.get("lastmodifieddate").or_else(|| json.get("updatedAt"));
        let mut record = Record {
            id,
            updated_at_ms: updated.and_then(Json::as_str).and_then(time::parse_ms),
            fields: fields_of(properties, &known),
            ..Record::default()
        };
        self.setup.identify(&mut record);
        Ok(record)
    }

    fn records(&self, json: &Json) -> Result<Vec<Record>, ProviderError> {
        let results = json.get("results").and_then(Json::as_array).ok_or_else(|| missing("results"))?;
        results.iter().map(|result| self.record(result)).collect()
    }
}

/// HubSpot takes texts only; an empty one clears a property.
fn properties(fields: &Fields) -> Json {
    let text = |value: &Option<Value>| match value {
        Some(Value::List(elements)) => elements.join(";"),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    fields
        .iter()
        .map(|(name, value)| (name.clone(), Json::String(text(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The properties that an error names.
fn error_of(response: &HttpResponse) -> Option<ProviderError> {
    let json = response.json().unwrap_or_default();
    let message = json.get("message").and_then(Json::as_str).unwrap_or_default();
    if response.status == 409 {
        // "Contact already exists. Existing ID: 512".
        let id = message.rsplit("Existing ID:").next().filter(|_| message.contains("Existing ID:"));
        return Some(match id {
            Some(id) => ProviderError::Duplicate(vec![id.trim().to_owned()]),
            None => ProviderError::Rejected { fields: Vec::new(), message: message.to_owned() },
        });
    }
    match usual_error(response)? {
        ProviderError::Rejected { .. } => Some(ProviderError::Rejected {
            fields: named(&json, message),
            message: message.chars().take(300).collect(),
        }),
        error => Some(error),
    }
}

fn named(json: &Json, message: &str) -> Vec<String> {
    let mut fields = Vec::new();
    for error in json.get("errors").and_then(Json::as_array).into_iter().flatten() {
        let names = error.pointer("/context/propertyName").and_then(Json::as_array).into_iter().flatten();
        fields.extend(names.filter_map(Json::as_str).map(str::to_owned));
        fields.extend(error.get("name").and_then(Json::as_str).map(str::to_owned));
    }
    // `Property values were not valid: [{"isValid":false,…,"name":"size"}]`.
    if let Some(list) = message.find('[').and_then(|start| message.get(start..))
        && let Ok(Json::Array(problems)) = serde_json::from_str::<Json>(list)
    {
        fields.extend(problems.iter().filter_map(|problem| Some(problem.get("name")?.as_str()?.to_owned())));
    }
    fields.sort();
    fields.dedup();
    fields
}

impl Provider for Hubspot {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::Time,
            can_read: true,
            can_note: true,
            find_values: 100,
            is_create_repeatable: self.setup.member_id.is_some(),
            search_delay_ms: 30_000,
        }
    }

    fn limits(&self) -> Limits {
        Limits { requests: 100, per_seconds: 10 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        self.setup.search_field(by)
    }

    fn write_mark(&self) -> Option<String> {
        self.setup.write_mark.clone()
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        Ok(match operation {
            Operation::Schema => HttpRequest::new("GET", self.setup.url("crm/v3/properties/contacts")),
            Operation::Find { by, values } => {
                let name = self.search_field(*by).ok_or(ProviderError::Unsupported)?;
                let values_in = match by {
                    FindBy::Phone => values.iter().flat_map(|digits| phone::search_terms(digits)).collect(),
                    // The index compares in lower case.
                    _ => values.iter().map(|value| value.to_lowercase()).collect::<Vec<String>>(),
                };
                let mut groups =
                    vec![json!({ "filters": [{ "propertyName": name, "operator": "IN", "values": values_in }] })];
                if *by == FindBy::Phone {
                    // The bare national number, as HubSpot computes it for searches.
                    groups.extend(values.iter().map(|digits| {
                        let start = digits.len().saturating_sub(8);
                        let ending = format!("*{}", digits.get(start..).unwrap_or(digits));
                        json!({ "filters": [{
                            "propertyName": "hs_searchable_calculated_phone_number",
                            "operator": "CONTAINS_TOKEN",
                            "value": ending,
                        }] })
                    }));
                }
                self.search(&Json::from(groups), "hs_object_id", 20, None)
            }
            Operation::Get { id } => {
                let mut properties = self.setup.all_fields();
                properties.push("lastmodifieddate".to_owned());
                let properties = encode(&properties.join(","));
                HttpRequest::new("GET", self.objects(&format!("/{}?properties={properties}", encode(id))))
            }
            Operation::GetMany { ids } => {
                let inputs: Vec<Json> = ids.iter().map(|id| json!({ "id": id })).collect();
                let mut properties = self.setup.all_fields();
                properties.push("lastmodifieddate".to_owned());
                let body = json!({ "inputs": inputs, "properties": properties });
                HttpRequest::json("POST", self.objects("/batch/read"), &body)
            }
            Operation::Create { member_id, fields } => match &self.setup.member_id {
                Some(property) => {
                    let input = json!({
                        "id": member_id,
                        "idProperty": property,
                        "properties": properties(fields),
                        "objectWriteTraceId": member_id,
                    });
                    HttpRequest::json("POST", self.objects("/batch/upsert"), &json!({ "inputs": [input] }))
                }
                None => {
                    let body = json!({ "properties": properties(fields), "associations": [] });
                    HttpRequest::json("POST", self.objects(""), &body)
                }
            },
            Operation::Update { id, fields, .. } => {
                let body = json!({ "properties": properties(fields) });
                HttpRequest::json("PATCH", self.objects(&format!("/{}", encode(id))), &body)
            }
            Operation::Delete { id } => {
                HttpRequest::json("POST", self.objects("/gdpr-delete"), &json!({ "objectId": id }))
            }
            Operation::Changes { since, page } => {
                let (since, after) = page.as_deref().unwrap_or(since).split_once('|').unwrap_or((since, ""));
                let filter = json!([{ "filters": [{
                    "propertyName": "lastmodifieddate", "operator": "GTE", "value": since,
                }] }]);
                self.search(&filter, "lastmodifieddate", PAGE, Some(after))
            }
            Operation::List { page, limit } => {
                let last = page.as_deref().unwrap_or("0");
                let filter =
                    json!([{ "filters": [{ "propertyName": "hs_object_id", "operator": "GT", "value": last }] }]);
                self.search(&filter, "hs_object_id", *limit, None)
            }
            Operation::Note { id, text, at_ms } => {
                let body = json!({
                    "properties": { "hs_timestamp": time::rfc3339(*at_ms), "hs_note_body": text },
                    "associations": [{
                        "to": { "id": id },
                        "types": [{
                            "associationCategory": "HUBSPOT_DEFINED",
                            "associationTypeId": NOTE_TO_CONTACT,
                        }],
                    }],
                });
                HttpRequest::json("POST", self.setup.url("crm/v3/objects/notes"), &body)
            }
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        if let Some(error) = error_of(response) {
            return match (operation, error) {
                (Operation::Delete { .. }, ProviderError::Missing) => Ok(Answer::Done),
                (_, error) => Err(error),
            };
        }
        if matches!(operation, Operation::Delete { .. } | Operation::Note { .. }) {
            return Ok(Answer::Done);
        }
        let json = json_of(response)?;
        match operation {
            Operation::Schema => {
                let results = json.get("results").and_then(Json::as_array).ok_or_else(|| missing("results"))?;
                let info = |property: &Json| {
                    let options = property.get("options").and_then(Json::as_array).into_iter().flatten();
                    Some(FieldInfo {
                        name: property.get("name")?.as_str()?.to_owned(),
                        is_writable: property.pointer("/modificationMetadata/readOnlyValue") != Some(&Json::Bool(true)),
                        options: options.filter_map(|option| Some(option.get("value")?.as_str()?.to_owned())).collect(),
                    })
                };
                Ok(Answer::Schema(Some(results.iter().filter_map(info).collect())))
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
                let from = page.as_deref().unwrap_or(since).split('|').next().unwrap_or_default().to_owned();
                let after = json.pointer("/paging/next/after").and_then(id_of);
                let newest = records.last().and_then(|record| record.updated_at_ms);
                let next = after.map(|after| match newest {
                    Some(newest) if after.parse().unwrap_or(0) > MAX_OFFSET => format!("{newest}|"),
                    _ => format!("{from}|{after}"),
                });
                let changed = records.into_iter().map(|record| Changed {
                    id: record.id.clone(),
                    record: Some(record),
                    ..Changed::default()
                });
                Ok(Answer::Changes { changed: changed.collect(), next, since: None })
            }
            Operation::Get { .. } => Ok(Answer::Record(Box::new(self.record(&json)?))),
            Operation::Create { .. } if json.get("results").is_some() => match json.pointer("/results/0") {
                Some(result) => Ok(Answer::Written(Box::new(self.record(result)?))),
                None => {
                    // 207: the only item failed.
                    let error = json.pointer("/errors/0").unwrap_or(&Json::Null);
                    let message = error.get("message").and_then(Json::as_str).unwrap_or("no result");
                    Err(ProviderError::Rejected { fields: named(&json, message), message: message.to_owned() })
                }
            },
            Operation::Create { .. } | Operation::Update { .. } => Ok(Answer::Written(Box::new(self.record(&json)?))),
            Operation::Delete { .. } | Operation::Note { .. } => Ok(Answer::Done),
        }
    }

    fn hook(&self, hook: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        let json = json_of(hook)?;
        let events = json.as_array().ok_or_else(|| ProviderError::Unreadable("not a list of events".to_owned()))?;
        let mut hints = Vec::new();
        for event in events {
            let kind = event.get("subscriptionType").and_then(Json::as_str).unwrap_or_default();
            let text = |name: &str| event.get(name).and_then(id_of);
            if kind.ends_with(".merge") {
                let into = text("newObjectId").or_else(|| text("primaryObjectId"));
                let merged = event.get("mergedObjectIds").and_then(Json::as_array).into_iter().flatten();
                let hint = |id: String| Hint { id, merged_into: into.clone(), ..Hint::default() };
                hints.extend(merged.filter_map(id_of).map(hint));
                continue;
            }
            let Some(id) = text("objectId") else { continue };
            let property = event.get("propertyName").and_then(Json::as_str);
            let value = || event.get("propertyValue").and_then(Value::from_json);
            hints.push(Hint {
                id,
                is_deleted: kind.ends_with(".deletion") || kind.ends_with(".privacyDeletion"),
                fields: property.map(|name| (name.to_owned(), value())).into_iter().collect(),
                ..Hint::default()
            });
        }
        Ok(hints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(member_id: Option<&str>) -> Hubspot {
        Hubspot {
            setup: Setup {
                base_url: "https://api.hubapi.com".into(),
                fields: vec!["firstname".into(), "phone".into()],
                member_id: member_id.map(str::to_owned),
                phone: Some("phone".into()),
                ..Setup::default()
            },
        }
    }

    fn response(status: u16, body: Json) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    fn body(request: &HttpRequest) -> Json {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn a_search_names_every_spelling() {
        let find = Operation::Find { by: FindBy::Phone, values: vec!["31612345678".into()] };
        let request = provider(None).request(&find).unwrap();
        assert_eq!(request.url, "https://api.hubapi.com/crm/v3/objects/contacts/search");
        let body = body(&request);
        assert_eq!(
            body["filterGroups"][0]["filters"][0]["values"],
            json!(["+31612345678", "31612345678", "0031612345678"])
        );
        assert_eq!(body["filterGroups"][1]["filters"][0]["value"], "*12345678");
        assert_eq!(body["properties"], json!(["firstname", "phone", "lastmodifieddate"]));
    }

    #[test]
    fn creating_is_an_upsert_if_the_member_id_has_a_property() {
        let fields = Fields::from([("firstname".into(), Value::text("Ana")), ("phone".into(), None)]);
        let create = Operation::Create { member_id: "con_1".into(), fields };
        let request = provider(Some("wa_member_id")).request(&create).unwrap();
        assert!(request.url.ends_with("/contacts/batch/upsert"));
        assert_eq!(body(&request)["inputs"][0]["idProperty"], "wa_member_id");
        let answer = json!({ "status": "COMPLETE", "results": [
            { "id": "7", "new": true, "properties": { "firstname": "Ana", "lastmodifieddate": "2026-09-21T14:13:20Z" } },
        ] });
        let Ok(Answer::Written(record)) = provider(None).read(&create, &response(200, answer)) else { panic!() };
        assert_eq!((record.id.as_str(), record.updated_at_ms), ("7", Some(1_790_000_000_000)));
        // What the response does not show is unknown, not empty.
        assert_eq!(record.fields, Fields::from([("firstname".into(), Value::text("Ana"))]));
        let failed = json!({ "status": "COMPLETE", "results": [], "errors": [{
            "message": "bad", "context": { "propertyName": ["phone"] },
        }] });
        let error = provider(None).read(&create, &response(207, failed));
        assert_eq!(error, Err(ProviderError::Rejected { fields: vec!["phone".into()], message: "bad".into() }));
        let plain = provider(None).request(&create).unwrap();
        assert_eq!(body(&plain)["properties"], json!({ "firstname": "Ana", "phone": "" }));
    }

    #[test]
    fn errors_name_the_contact_or_the_property() {
        let create = Operation::Create { member_id: "con_1".into(), fields: Fields::new() };
        let read = |status, json| provider(None).read(&create, &response(status, json));
        let exists = json!({ "message": "Contact already exists. Existing ID: 512" });
        assert_eq!(read(409, exists), Err(ProviderError::Duplicate(vec!["512".into()])));
        let invalid = json!({ "category": "VALIDATION_ERROR",
            "message": "Property values were not valid: [{\"isValid\":false,\"message\":\"x\",\"name\":\"size\"}]" });
        let Err(ProviderError::Rejected { fields, .. }) = read(400, invalid) else { panic!() };
        assert_eq!(fields, ["size"]);
        assert_eq!(read(429, json!({})), Err(ProviderError::Later(None)));
        let nonsense = HttpResponse { status: 200, headers: vec![], body: b"<html>".to_vec() };
        assert!(matches!(provider(None).read(&create, &nonsense), Err(ProviderError::Unreadable(_))));
    }

    #[test]
    fn pages_continue_by_time_before_the_limit() {
        let page = |after: &str| {
            let answer = json!({
                "results": [{ "id": "7", "properties": { "lastmodifieddate": "2026-09-21T14:13:20Z" } }],
                "paging": { "next": { "after": after } },
            });
            let changes = Operation::Changes { since: "5".into(), page: None };
            match provider(None).read(&changes, &response(200, answer)) {
                Ok(Answer::Changes { next, .. }) => next.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(page("50"), "5|50");
        assert_eq!(page("9050"), "1790000000000|");
        let next = Operation::Changes { since: "5".into(), page: Some("5|50".into()) };
        let body = body(&provider(None).request(&next).unwrap());
        assert_eq!((&body["after"], &body["filterGroups"][0]["filters"][0]["value"]), (&json!("50"), &json!("5")));
    }

    #[test]
    fn hooks_name_contacts_and_merges() {
        let events = json!([
            { "objectId": 7, "subscriptionType": "contact.propertyChange", "propertyName": "firstname", "propertyValue": "Ana" },
            { "objectId": 8, "subscriptionType": "contact.deletion" },
            { "subscriptionType": "contact.merge", "primaryObjectId": 9, "newObjectId": 11, "mergedObjectIds": [9, 10] },
        ]);
        let hints = provider(None).hook(&response(0, events)).unwrap();
        assert_eq!(hints.len(), 4);
        assert_eq!(hints[0].fields["firstname"], Value::text("Ana"));
        assert!(hints[1].is_deleted);
        assert_eq!(hints[3].merged_into.as_deref(), Some("11"));
        assert!(provider(None).hook(&response(0, json!({}))).is_err());
    }
}
