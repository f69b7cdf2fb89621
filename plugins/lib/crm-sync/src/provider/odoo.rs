//! Odoo 19 and later: `res.partner` by the JSON-2 interface. No hooks; changes by `write_date`.
//!
//! Odoo returns `false` for an empty field. It counts as empty, except for fields whose words in
//! the map are `true` and `false`.

use super::keyset::Place;
use crate::http::{HttpRequest, HttpResponse};
use crate::port::{
    Abilities, Answer, Changed, Cursor, FieldInfo, Fields, FindBy, Hint, Limits, Operation, Provider, ProviderError,
    Record, Setup, id_of, json_of, missing, usual_error,
};
use crate::time;
use crate::value::Value;
use serde_json::{Map, Value as Json, json};

/// Odoo.
#[derive(Clone, Debug)]
pub struct Odoo {
    /// What is read.
    pub setup: Setup,
    /// The database, if the server has several.
    pub database: Option<String>,
    /// Fields that are yes or no.
    pub flags: Vec<String>,
}

/// Partners per page: each may need an effect of the event that handles the page.
const PAGE: usize = 50;

impl Odoo {
    fn call(&self, method: &str, arguments: &Json) -> HttpRequest {
        let request = HttpRequest::json("POST", self.setup.url(&format!("json/2/res.partner/{method}")), arguments);
        match &self.database {
            Some(database) => request.header("x-odoo-database", database),
            None => request,
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.setup.all_fields();
        names.push("write_date".to_owned());
        names
    }

    fn search(&self, domain: &Json, order: &str, limit: usize, offset: usize) -> HttpRequest {
        let arguments =
            json!({ "domain": domain, "fields": self.names(), "order": order, "limit": limit, "offset": offset });
        self.call("search_read", &arguments)
    }

    fn record(&self, json: &Json) -> Result<Record, ProviderError> {
        let id = json.get("id").and_then(id_of).ok_or_else(|| missing("id"))?;
        let value = |name: &String| match json.get(name)? {
            Json::Bool(flag) => (*flag || self.flags.contains(name)).then_some(Value::Flag(*flag)),
            // A reference: [7, "Netherlands"].
            Json::Array(pair) if matches!(pair.as_slice(), [Json::Number(_), Json::String(_)]) => {
                pair.get(1).and_then(Value::from_json)
            }
            other => Value::from_json(other),
        };
        let names = self.setup.all_fields();
        let mut record = Record {
            id,
            updated_at_ms: json.get("write_date").and_then(Json::as_str).and_then(time::parse_ms),
            fields: names.iter().map(|name| (name.clone(), value(name))).collect(),
            ..Record::default()
        };
        self.setup.identify(&mut record);
        Ok(record)
    }

    fn records(&self, json: &Json) -> Result<Vec<Record>, ProviderError> {
        let partners = json.as_array().ok_or_else(|| missing("list of partners"))?;
        partners.iter().map(|partner| self.record(partner)).collect()
    }
}

/// Ids are numbers.
fn number(id: &str) -> Json {
    id.parse::<i64>().map_or_else(|_| Json::from(id), Json::from)
}

fn values(fields: &Fields) -> Map<String, Json> {
    let json = |value: &Option<Value>| match value {
        None => Json::Bool(false),
        // Command 6 of Odoo replaces the whole set of a many-to-many field.
        Some(Value::List(ids)) => json!([[6, 0, ids.iter().map(|id| number(id)).collect::<Vec<_>>()]]),
        Some(value) => value.to_json(),
    };
    fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

/// `{"name": "odoo.exceptions.ValidationError", "message": …}` with a status.
fn error_of(response: &HttpResponse, names: &[String]) -> Option<ProviderError> {
    let usual = usual_error(response)?;
    let json = response.json().unwrap_or_default();
    let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default();
    let message: String = text("message").chars().take(300).collect();
    let kind = text("name").rsplit('.').next().unwrap_or_default();
    Some(match kind {
        "MissingError" => ProviderError::Missing,
        "AccessError" | "AccessDenied" | "Unauthorized" | "Forbidden" => ProviderError::Credentials(message),
        "ValidationError"
        | "UserError"
        | "ValueError"
        | "KeyError"
        | "TypeError"
        | "IntegrityError"
        | "UnprocessableEntity" => {
            let fields = names.iter().filter(|name| message.contains(name.as_str())).cloned().collect();
            ProviderError::Rejected { fields, message }
        }
        "OperationalError" | "SerializationFailure" | "ConcurrencyError" => ProviderError::Later(None),
        _ => usual,
    })
}

impl Provider for Odoo {
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
        // Odoo.sh and Online ask for about one call a second.
        Limits { requests: 10, per_seconds: 10 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        self.setup.search_field(by)
    }

    fn write_mark(&self) -> Option<String> {
        self.setup.write_mark.clone()
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        Ok(match operation {
            Operation::Schema => self.call("fields_get", &json!({ "attributes": ["type", "readonly", "selection"] })),
            Operation::Find { by, values } => {
                let name = self.search_field(*by).ok_or(ProviderError::Unsupported)?;
                let mut domain = match by {
                    // Numbers may be formatted; the digits are compared afterwards.
                    FindBy::Phone => values
                        .iter()
                        .map(|digits| digits.get(digits.len().saturating_sub(4)..).unwrap_or(digits))
                        .map(|ending| json!([name, "=like", format!("%{ending}")]))
                        .collect(),
                    FindBy::Email => values.iter().map(|value| json!([name, "=ilike", value])).collect(),
                    _ => vec![json!([name, "in", values])],
                };
                // Prefix notation: n conditions need n-1 operators.
                for _ in 1..domain.len() {
                    domain.insert(0, Json::from("|"));
                }
                self.search(&Json::from(domain), "id", 100, 0)
            }
            Operation::Get { id } => self.call("read", &json!({ "ids": [number(id)], "fields": self.names() })),
            Operation::GetMany { ids } => {
                let ids: Vec<Json> = ids.iter().map(|id| number(id)).collect();
                self.search(&json!([["id", "in", ids]]), "id", PAGE, 0)
            }
            Operation::Create { member_id, fields } => {
                let mut values = values(fields);
                if let Some(name) = &self.setup.member_id {
                    values.insert(name.clone(), Json::from(member_id.clone()));
                }
                if values.get("name").is_none_or(|name| name == &Json::Bool(false)) {
                    let phone =
                        fields.get("phone").cloned().flatten().map_or("?".to_owned(), |phone| phone.to_string());
                    values.insert("name".to_owned(), Json::String(phone));
                }
                self.call("create", &json!({ "vals_list": [values] }))
            }
            Operation::Update { id, fields, .. } => {
                self.call("write", &json!({ "ids": [number(id)], "vals": values(fields) }))
            }
            Operation::Delete { id } => self.call("unlink", &json!({ "ids": [number(id)] })),
            Operation::Changes { since, page } => {
                let place = Place::read(since, page.as_deref());
                let domain = json!([["write_date", ">=", time::sql(place.since_ms)]]);
                self.search(&domain, "write_date asc, id asc", PAGE, place.offset)
            }
            Operation::List { page, limit } => {
                let domain = match page {
                    Some(last) => json!([["id", ">", number(last)]]),
                    None => json!([]),
                };
                self.search(&domain, "id", *limit, 0)
            }
            Operation::Note { id, text, .. } => {
                self.call("message_post", &json!({ "ids": [number(id)], "body": text }))
            }
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        if let Some(error) = error_of(response, &self.setup.all_fields()) {
            return match (operation, error) {
                (Operation::Delete { .. }, ProviderError::Missing) => Ok(Answer::Done),
                (_, error) => Err(error),
            };
        }
        let json = json_of(response)?;
        match operation {
            Operation::Schema => {
                let fields = json.as_object().ok_or_else(|| missing("fields"))?;
                let info = |(name, info): (&String, &Json)| {
                    let options = info.get("selection").and_then(Json::as_array).into_iter().flatten();
                    FieldInfo {
                        name: name.clone(),
                        is_writable: info.get("readonly") != Some(&Json::Bool(true)),
                        options: options.filter_map(|option| Some(option.get(0)?.as_str()?.to_owned())).collect(),
                    }
                };
                Ok(Answer::Schema(Some(fields.iter().map(info).collect())))
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
            Operation::Get { .. } => match self.records(&json)?.into_iter().next() {
                Some(record) => Ok(Answer::Record(Box::new(record))),
                None => Err(ProviderError::Missing),
            },
            Operation::Create { .. } => {
                let id = json.get(0).unwrap_or(&json);
                let id = id_of(id).ok_or_else(|| missing("id"))?;
                Ok(Answer::Written(Box::new(Record { id, ..Record::default() })))
            }
            Operation::Update { id, .. } => {
                Ok(Answer::Written(Box::new(Record { id: id.clone(), ..Record::default() })))
            }
            Operation::Delete { .. } | Operation::Note { .. } => Ok(Answer::Done),
        }
    }

    fn hook(&self, _: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        Err(ProviderError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Odoo {
        let fields = ["name", "phone", "x_optout", "category_id"].map(str::to_owned).to_vec();
        let setup =
            Setup { base_url: "https://o.example.org".into(), fields, phone: Some("phone".into()), ..Setup::default() };
        Odoo { setup, database: Some("shop".into()), flags: vec!["x_optout".into()] }
    }

    fn response(status: u16, body: Json) -> HttpResponse {
        HttpResponse { status, headers: vec![], body: body.to_string().into_bytes() }
    }

    fn arguments(operation: &Operation) -> (String, Json) {
        let request = provider().request(operation).unwrap();
        assert!(request.headers.contains(&("x-odoo-database".into(), "shop".into())));
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    #[test]
    fn calls_have_named_arguments() {
        let (url, find) = arguments(&Operation::Find {
            by: FindBy::Phone,
            values: vec!["525512345678".into(), "5215512345679".into()],
        });
        assert_eq!(url, "https://o.example.org/json/2/res.partner/search_read");
        assert_eq!(find["domain"], json!(["|", ["phone", "=like", "%5678"], ["phone", "=like", "%5679"]]));
        let (_, changes) = arguments(&Operation::Changes { since: "1790000000000".into(), page: None });
        assert_eq!(changes["domain"], json!([["write_date", ">=", "2026-09-21 14:13:20"]]));
        let fields = Fields::from([("phone".into(), None), ("category_id".into(), Value::list(["7", "9"]))]);
        let (url, write) = arguments(&Operation::Update { id: "7".into(), revision: None, fields, raw: None });
        assert!(url.ends_with("/write"));
        assert_eq!(write, json!({ "ids": [7], "vals": { "phone": false, "category_id": [[6, 0, [7, 9]]] } }));
    }

    #[test]
    fn false_is_empty_unless_it_is_an_answer() {
        let get = Operation::Get { id: "7".into() };
        let partner = json!([{ "id": 7, "name": "Ana", "phone": false, "x_optout": false, "category_id": [9, 7],
            "write_date": "2026-09-21 14:13:20" }]);
        let Ok(Answer::Record(record)) = provider().read(&get, &response(200, partner)) else { panic!() };
        assert_eq!(record.fields["phone"], None);
        assert_eq!(record.fields["x_optout"], Some(Value::Flag(false)));
        assert_eq!(record.fields["category_id"], Value::list(["7", "9"]));
        assert_eq!(provider().read(&get, &response(200, json!([]))), Err(ProviderError::Missing));
    }

    #[test]
    fn exceptions_are_understood() {
        let create = Operation::Create { member_id: "con_1".into(), fields: Fields::new() };
        let read = |status, name: &str, message: &str| {
            provider().read(&create, &response(status, json!({ "name": name, "message": message })))
        };
        assert_eq!(provider().read(&create, &response(200, json!([12]))).map(|_| ()), Ok(()));
        assert!(matches!(read(401, "werkzeug.exceptions.Unauthorized", "expired"), Err(ProviderError::Credentials(_))));
        assert_eq!(read(404, "odoo.exceptions.MissingError", "gone"), Err(ProviderError::Missing));
        let Err(ProviderError::Rejected { fields, .. }) =
            read(422, "odoo.exceptions.ValidationError", "Wrong value for x_optout")
        else {
            panic!()
        };
        assert_eq!(fields, ["x_optout"]);
        assert!(matches!(read(500, "psycopg2.OperationalError", "x"), Err(ProviderError::Later(_))));
    }
}
