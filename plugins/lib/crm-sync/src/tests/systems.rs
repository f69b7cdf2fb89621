//! An address book and a CRM in memory, by HTTP, so that the providers are part of the tests.

use crate::http::{HttpRequest, HttpResponse};
use crate::phone;
use crate::provider::vcard::Card;
use crate::value::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Another side.
pub trait System {
    /// Serves a request.
    fn serve(&mut self, now_ms: i64, request: &HttpRequest) -> HttpResponse;
    /// Ids of contacts with a number.
    fn with_phone(&self, digits: &str) -> Vec<String>;
    /// A field as a person sees it.
    fn field(&self, id: &str, field: &str) -> Option<Value>;
    /// A person edits a field.
    fn edit(&mut self, now_ms: i64, id: &str, field: &str, value: Option<Value>);
    /// A person adds a contact.
    fn add(&mut self, now_ms: i64, name: &str, phone: &str) -> String;
    /// A person deletes a contact.
    fn remove(&mut self, now_ms: i64, id: &str);
    /// Hooks that were called since.
    fn take_hooks(&mut self) -> Vec<Vec<u8>>;
}

fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> HttpResponse {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HttpResponse { status, headers, body: body.into() }
}

/// An address book.
#[derive(Clone, Debug, Default)]
pub struct Dav {
    pub cards: BTreeMap<String, (u64, String)>,
    /// Names of cards in the order of their changes.
    pub changes: Vec<String>,
    pub next_etag: u64,
    /// Older tokens are refused.
    pub oldest_token: usize,
    pub added: usize,
}

impl Dav {
    pub const URL: &'static str = "https://dav.example.org/book";

    fn put(&mut self, id: &str, text: String) -> u64 {
        self.next_etag += 1;
        self.cards.insert(id.to_owned(), (self.next_etag, text));
        self.changes.push(id.to_owned());
        self.next_etag
    }

    fn multistatus(&self, ids: &[String], has_cards: bool, token: bool) -> HttpResponse {
        let mut xml =
            "<?xml version='1.0'?><multistatus xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:carddav'>".to_owned();
        for id in ids {
            match self.cards.get(id) {
                Some((etag, text)) => {
                    let text = quick_xml::escape::escape(text.as_str()).replace('\r', "&#13;");
                    let card =
                        if has_cards { format!("<C:address-data>{text}</C:address-data>") } else { String::new() };
                    xml.push_str(&format!(
                        "<response><href>/book/{id}</href><propstat><prop><getetag>\"{etag}\"</getetag>{card}</prop>\
                         <status>HTTP/1.1 200 OK</status></propstat></response>"
                    ));
                }
                None => xml.push_str(&format!(
                    "<response><href>/book/{id}</href><status>HTTP/1.1 404 Not Found</status></response>"
                )),
            }
        }
        if token {
            xml.push_str(&format!("<sync-token>t{}</sync-token>", self.changes.len()));
        }
        xml.push_str("</multistatus>");
        response(207, &[], xml)
    }

    fn report(&self, body: &str) -> HttpResponse {
        let between = |text: &str, start: &str, end: &str| -> Vec<String> {
            text.split(start).skip(1).filter_map(|part| Some(part.split(end).next()?.to_owned())).collect()
        };
        if body.contains("sync-collection") {
            let token = between(body, "<D:sync-token>", "</D:sync-token>").pop().unwrap_or_default();
            let mut ids: Vec<String> = if token.is_empty() {
                self.cards.keys().cloned().collect()
            } else {
                let from: usize = token.trim_start_matches('t').parse().unwrap_or(0);
                if from < self.oldest_token {
                    return response(403, &[], "<error xmlns='DAV:'><valid-sync-token/></error>");
                }
                self.changes[from..].to_vec()
            };
            ids.sort();
            ids.dedup();
            return self.multistatus(&ids, false, true);
        }
        if body.contains("addressbook-multiget") {
            let ids = between(body, "<D:href>/book/", "</D:href>");
            return self.multistatus(&ids, true, false);
        }
        let name = between(body, "prop-filter name=\"", "\"").pop().unwrap_or_default();
        let texts = between(body, "match-type=\"contains\">", "<");
        let is_found = |text: &str| {
            let card = Card::read(text).unwrap();
            card.all(&name).iter().any(|value| texts.iter().any(|text| value.contains(text.as_str())))
        };
        let ids: Vec<String> =
            self.cards.iter().filter(|(_, (_, text))| is_found(text)).map(|(id, _)| id.clone()).collect();
        self.multistatus(&ids, true, false)
    }
}

impl System for Dav {
    fn serve(&mut self, _: i64, request: &HttpRequest) -> HttpResponse {
        let id = request.url.strip_prefix("https://dav.example.org/book/").unwrap_or_default().to_owned();
        let header = |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let text = String::from_utf8(request.body.clone()).unwrap();
        match request.method {
            "REPORT" => self.report(&text),
            "PROPFIND" => response(
                207,
                &[],
                "<multistatus xmlns='DAV:'><response><href>/book/</href><propstat><prop><resourcetype><addressbook/>\
                 </resourcetype><supported-report-set><sync-collection/></supported-report-set></prop></propstat>\
                 </response></multistatus>",
            ),
            "GET" => match self.cards.get(&id) {
                Some((etag, text)) => response(200, &[("etag", &format!("\"{etag}\""))], text.clone()),
                None => response(404, &[], ""),
            },
            "PUT" => {
                let etag = self.cards.get(&id).map(|(etag, _)| format!("\"{etag}\""));
                let is_stale = header("if-none-match").is_some() && etag.is_some()
                    || header("if-match").is_some_and(|wanted| Some(wanted) != etag);
                if is_stale {
                    return response(412, &[], "");
                }
                let etag = self.put(&id, text);
                response(201, &[("etag", &format!("\"{etag}\""))], "")
            }
            "DELETE" => match self.cards.remove(&id) {
                Some(_) => {
                    self.changes.push(id);
                    response(204, &[], "")
                }
                None => response(404, &[], ""),
            },
            other => panic!("{other}"),
        }
    }

    fn with_phone(&self, digits: &str) -> Vec<String> {
        let has_it = |text: &str| {
            let phones = Card::read(text).unwrap().phones();
            phones
                .iter()
                .filter_map(|number| phone::digits(number, None))
                .any(|number| phone::canonical(&number) == phone::canonical(digits))
        };
        self.cards.iter().filter(|(_, (_, text))| has_it(text)).map(|(id, _)| id.clone()).collect()
    }

    fn field(&self, id: &str, field: &str) -> Option<Value> {
        Card::read(&self.cards.get(id)?.1)?.get(field)
    }

    fn edit(&mut self, _: i64, id: &str, field: &str, value: Option<Value>) {
        let Some((_, text)) = self.cards.get(id) else { return };
        let mut card = Card::read(text).unwrap();
        card.set(field, value.as_ref());
        self.put(id, card.to_text());
    }

    fn add(&mut self, _: i64, name: &str, phone: &str) -> String {
        self.added += 1;
        let id = format!("human-{}.vcf", self.added);
        let card = format!(
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{id}\r\nFN:{name}\r\nN:;{name};;;\r\nTEL;TYPE=home:{phone}\r\nX-KEEP:me\r\nEND:VCARD\r\n"
        );
        self.put(&id, card);
        id
    }

    fn remove(&mut self, _: i64, id: &str) {
        if self.cards.remove(id).is_some() {
            self.changes.push(id.to_owned());
        }
    }

    fn take_hooks(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// A contact of the CRM.
#[derive(Clone, Debug, Default)]
pub struct CrmContact {
    pub properties: BTreeMap<String, String>,
    pub updated_ms: i64,
    pub created_ms: i64,
}

/// HubSpot's interface, as far as the provider uses it. Times are in seconds, as if many edits
/// happened in one.
#[derive(Clone, Debug, Default)]
pub struct Crm {
    pub contacts: BTreeMap<u64, CrmContact>,
    pub next_id: u64,
    pub hooks: Vec<Vec<u8>>,
    pub notes: Vec<String>,
    pub merged: BTreeMap<u64, u64>,
}

/// How long a new contact cannot be found.
const INDEX_LAG_MS: i64 = 3_000;

impl Crm {
    pub const URL: &'static str = "https://crm.example.org";

    fn write(&mut self, now_ms: i64, id: u64, properties: &Map<String, Json>) {
        let contact = self.contacts.entry(id).or_default();
        contact.updated_ms = now_ms / 1000 * 1000;
        for (name, value) in properties {
            let value = value.as_str().unwrap_or_default().to_owned();
            contact.properties.insert(name.clone(), value.clone());
            let event = json!([{ "objectId": id, "subscriptionType": "contact.propertyChange",
                "propertyName": name, "propertyValue": value }]);
            self.hooks.push(event.to_string().into_bytes());
        }
    }

    fn create(&mut self, now_ms: i64, properties: &Map<String, Json>) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.contacts.insert(id, CrmContact { created_ms: now_ms, ..CrmContact::default() });
        self.write(now_ms, id, properties);
        id
    }

    fn show(&self, id: u64) -> Json {
        let contact = &self.contacts[&id];
        let mut properties: Map<String, Json> =
            contact.properties.iter().map(|(name, value)| (name.clone(), Json::from(value.clone()))).collect();
        for name in ["firstname", "lastname", "phone", "a", "b", "c", "optout", "wa_id", "mark"] {
            properties.entry(name.to_owned()).or_insert(Json::Null);
        }
        properties.insert("lastmodifieddate".into(), Json::from(crate::time::rfc3339(contact.updated_ms)));
        json!({ "id": id.to_string(), "properties": properties })
    }

    fn search(&self, now_ms: i64, body: &Json) -> HttpResponse {
        let is_hit = |id: u64, contact: &CrmContact, filter: &Json| {
            let name = filter["propertyName"].as_str().unwrap();
            let value = match name {
                "lastmodifieddate" => contact.updated_ms.to_string(),
                "hs_object_id" => id.to_string(),
                "hs_searchable_calculated_phone_number" => {
                    let phone = contact.properties.get("phone").cloned().unwrap_or_default();
                    phone.chars().filter(char::is_ascii_digit).collect()
                }
                other => contact.properties.get(other).cloned().unwrap_or_default(),
            };
            let wanted = filter["value"].as_str().unwrap_or_default();
            let number = |text: &str| text.parse::<i64>().unwrap();
            match filter["operator"].as_str().unwrap() {
                "IN" => filter["values"].as_array().unwrap().iter().any(|wanted| wanted == &value),
                "CONTAINS_TOKEN" => !value.is_empty() && value.ends_with(wanted.trim_start_matches('*')),
                "GTE" => number(&value) >= number(wanted),
                "GT" => number(&value) > number(wanted),
                other => panic!("{other}"),
            }
        };
        let is_found = |id: u64, contact: &CrmContact| {
            let groups = body["filterGroups"].as_array().unwrap().iter();
            let mut groups = groups.map(|group| group["filters"].as_array().unwrap());
            now_ms >= contact.created_ms + INDEX_LAG_MS
                && groups.any(|filters| filters.iter().all(|filter| is_hit(id, contact, filter)))
        };
        let mut ids: Vec<u64> =
            self.contacts.iter().filter(|(id, contact)| is_found(**id, contact)).map(|(id, _)| *id).collect();
        if body["sorts"][0]["propertyName"] == "lastmodifieddate" {
            ids.sort_by_key(|id| (self.contacts[id].updated_ms, *id));
        }
        let after: usize = body["after"].as_str().and_then(|after| after.parse().ok()).unwrap_or(0);
        let limit = usize::try_from(body["limit"].as_u64().unwrap()).unwrap();
        let page: Vec<Json> = ids.iter().skip(after).take(limit).map(|id| self.show(*id)).collect();
        let mut answer = json!({ "total": ids.len(), "results": page });
        if ids.len() > after + limit {
            answer["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
        }
        response(200, &[], answer.to_string())
    }
}

impl System for Crm {
    fn serve(&mut self, now_ms: i64, request: &HttpRequest) -> HttpResponse {
        let path = request.url.strip_prefix("https://crm.example.org/crm/v3/").unwrap();
        let path = path.split('?').next().unwrap();
        let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        let ok = |json: Json| response(200, &[], json.to_string());
        match (request.method, path) {
            ("GET", "properties/contacts") => {
                let names = ["firstname", "lastname", "phone", "a", "b", "c", "optout", "wa_id", "mark"];
                ok(json!({ "results": names.map(|name| json!({ "name": name })) }))
            }
            ("POST", "objects/contacts/search") => self.search(now_ms, &body),
            ("POST", "objects/contacts/batch/read") => {
                let ids = body["inputs"].as_array().unwrap().iter();
                let ids = ids.filter_map(|input| input["id"].as_str().unwrap().parse::<u64>().ok());
                let found: Vec<Json> =
                    ids.filter(|id| self.contacts.contains_key(id)).map(|id| self.show(id)).collect();
                ok(json!({ "status": "COMPLETE", "results": found }))
            }
            ("POST", "objects/contacts/gdpr-delete") => {
                let id: u64 = body["objectId"].as_str().unwrap().parse().unwrap();
                self.contacts.remove(&id);
                response(204, &[], "")
            }
            ("POST", "objects/contacts/batch/upsert") => {
                let input = &body["inputs"][0];
                let (property, value) = (input["idProperty"].as_str().unwrap(), input["id"].as_str().unwrap());
                let has_it = |contact: &CrmContact| contact.properties.get(property).is_some_and(|text| text == value);
                let known = self.contacts.iter().find(|(_, contact)| has_it(contact)).map(|(id, _)| *id);
                let mut properties = input["properties"].as_object().unwrap().clone();
                properties.insert(property.to_owned(), Json::from(value));
                let id = match known {
                    Some(id) => {
                        self.write(now_ms, id, &properties);
                        id
                    }
                    None => self.create(now_ms, &properties),
                };
                ok(json!({ "status": "COMPLETE", "results": [self.show(id)] }))
            }
            ("POST", "objects/contacts") => {
                let id = self.create(now_ms, body["properties"].as_object().unwrap());
                response(201, &[], self.show(id).to_string())
            }
            ("POST", "objects/notes") => {
                self.notes.push(body["properties"]["hs_note_body"].as_str().unwrap().to_owned());
                response(201, &[], "{}")
            }
            (method, path) => {
                let id: u64 = path.strip_prefix("objects/contacts/").unwrap().parse().unwrap();
                let id = self.merged.get(&id).copied().unwrap_or(id);
                if !self.contacts.contains_key(&id) {
                    return response(404, &[], "{}");
                }
                if method == "PATCH" {
                    let properties = body["properties"].as_object().unwrap().clone();
                    let invalid = properties.iter().find(|(_, value)| value.as_str() == Some("invalid"));
                    if let Some((name, _)) = invalid {
                        let error = json!({ "message": "no", "errors": [{ "context": { "propertyName": [name] } }] });
                        return response(400, &[], error.to_string());
                    }
                    self.write(now_ms, id, &properties);
                }
                ok(self.show(id))
            }
        }
    }

    fn with_phone(&self, digits: &str) -> Vec<String> {
        let has_it = |contact: &CrmContact| {
            let number = contact.properties.get("phone").and_then(|number| phone::digits(number, None));
            number.is_some_and(|number| phone::canonical(&number) == phone::canonical(digits))
        };
        self.contacts.iter().filter(|(_, contact)| has_it(contact)).map(|(id, _)| id.to_string()).collect()
    }

    fn field(&self, id: &str, field: &str) -> Option<Value> {
        Value::text(self.contacts.get(&id.parse().ok()?)?.properties.get(field)?)
    }

    fn edit(&mut self, now_ms: i64, id: &str, field: &str, value: Option<Value>) {
        let Ok(id) = id.parse() else { return };
        if self.contacts.contains_key(&id) {
            let text = value.map(|value| value.to_string()).unwrap_or_default();
            self.write(now_ms, id, &Map::from_iter([(field.to_owned(), Json::from(text))]));
        }
    }

    fn add(&mut self, now_ms: i64, name: &str, phone: &str) -> String {
        let properties = [("firstname", name), ("phone", phone)];
        let properties = properties.map(|(name, value)| (name.to_owned(), Json::from(value)));
        self.create(now_ms, &Map::from_iter(properties)).to_string()
    }

    fn remove(&mut self, _: i64, id: &str) {
        let Ok(id) = id.parse::<u64>() else { return };
        if self.contacts.remove(&id).is_some() {
            let event = json!([{ "objectId": id, "subscriptionType": "contact.deletion" }]);
            self.hooks.push(event.to_string().into_bytes());
        }
    }

    fn take_hooks(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.hooks)
    }
}
