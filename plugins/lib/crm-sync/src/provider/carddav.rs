//! CardDAV (RFC 6352): an address book, whose contacts are vCards. Changes by `sync-collection`
//! (RFC 6578), writes by `If-Match`, so that no edit of another program is overwritten.
//!
//! A contact's id is the last part of its path. Fields are properties of the card: `FN`,
//! `N.given`, `CATEGORIES`, `TEL`, `X-…`.

use super::multistatus::{self, Entry, Multistatus, escape};
use super::vcard::Card;
use crate::http::{HttpRequest, HttpResponse};
use crate::port::{
    Abilities, Answer, Changed, Cursor, FindBy, Hint, Limits, Operation, Provider, ProviderError, Record, Setup,
    usual_error,
};
use crate::time;
use crate::value::{Value, uuid};

/// The property with the member's id.
pub const MEMBER_ID: &str = "X-BEADLE-ID";
/// The property with WhatsApp's user id.
pub const USER_ID: &str = "X-WA-ID";

/// The property with the number of our last write.
pub const WRITE_MARK: &str = "X-BEADLE-WRITE";

/// An address book.
#[derive(Clone, Debug)]
pub struct Carddav {
    /// What is read.
    pub setup: Setup,
}

const XML: &str = "application/xml; charset=utf-8";
const NAMESPACES: &str = "xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:carddav\"";

impl Carddav {
    fn report(&self, depth: &str, body: String) -> HttpRequest {
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{body}");
        HttpRequest::new("REPORT", self.setup.url("")).header("depth", depth).header("content-type", XML).body(body)
    }

    fn card_url(&self, id: &str) -> String {
        self.setup.url(id)
    }

    fn put(&self, id: &str, card: &Card) -> HttpRequest {
        HttpRequest::new("PUT", self.card_url(id))
            .header("content-type", "text/vcard; charset=utf-8")
            .body(card.to_text())
    }

    fn record(&self, id: String, revision: Option<String>, text: &str) -> Result<Record, ProviderError> {
        let card = Card::read(text).ok_or_else(|| ProviderError::Unreadable("not a vCard".to_owned()))?;
        let names = self.setup.fields.iter().map(String::as_str).chain([WRITE_MARK]);
        let fields = names.map(|field| (field.to_owned(), card.get(field))).collect();
        Ok(Record {
            id,
            revision,
            updated_at_ms: card.get("REV").and_then(|rev| time::parse_ms(&rev.to_string())),
            fields,
            phones: card.phones(),
            emails: card.all("EMAIL"),
            user_ids: card.all(USER_ID),
            member_id: card.get(MEMBER_ID).map(|id| id.to_string()),
            raw: Some(text.to_owned()),
        })
    }

    /// The id in a path, or nothing for the collection itself.
    fn id_in(&self, href: &str) -> Option<String> {
        let href = href.trim_end();
        let id = href.rsplit('/').next()?;
        (!id.is_empty()).then(|| id.to_owned())
    }

    /// The contacts in a multistatus; cards that cannot be read are left out, and so stay as they
    /// are.
    fn records(&self, entries: Vec<Entry>) -> Vec<Record> {
        let record = |entry: Entry| {
            let card = entry.card?;
            self.record(self.id_in(&entry.href)?, entry.etag, &card).ok()
        };
        entries.into_iter().filter_map(record).collect()
    }
}

/// The name of a new card: the same for the same member, so that creating it twice is refused.
pub fn card_name(member_id: &str) -> String {
    format!("{}.vcf", uuid(member_id))
}

/// Texts of which a card with this number contains one, whatever separates its last four digits.
fn endings(digits: &str) -> Vec<String> {
    let last: Vec<char> = digits.chars().rev().take(4).collect();
    let last: String = last.into_iter().rev().collect();
    let mut endings = vec![last.clone()];
    for place in 1..last.len() {
        let Some((start, end)) = last.split_at_checked(place) else { continue };
        endings.extend([" ", "-", "."].map(|separator| format!("{start}{separator}{end}")));
    }
    endings
}

/// Whether a card was stored: 201 or 204. A 200 with a page comes from something in between.
fn stored(response: &HttpResponse) -> Result<(), ProviderError> {
    match usual_error(response) {
        Some(error) => Err(error),
        None if matches!(response.status, 201 | 204) => Ok(()),
        None => Err(ProviderError::Unreadable(format!("status {} of a write", response.status))),
    }
}

fn read_multistatus(response: &HttpResponse) -> Result<Multistatus, ProviderError> {
    if response.status != 207 {
        return Err(usual_error(response)
            .unwrap_or_else(|| ProviderError::Unreadable(format!("status {} instead of 207", response.status))));
    }
    multistatus::read(&response.text()).map_err(ProviderError::Unreadable)
}

impl Provider for Carddav {
    fn abilities(&self) -> Abilities {
        Abilities {
            cursor: Cursor::Token,
            can_read: true,
            can_note: false,
            find_values: 1,
            is_create_repeatable: true,
            search_delay_ms: 0,
        }
    }

    fn limits(&self) -> Limits {
        // No limit is specified; a shared host should not notice the sync.
        Limits { requests: 50, per_seconds: 10 }
    }

    fn search_field(&self, by: FindBy) -> Option<String> {
        Some(match by {
            FindBy::MemberId => MEMBER_ID.to_owned(),
            FindBy::UserId => USER_ID.to_owned(),
            FindBy::Phone => "TEL".to_owned(),
            FindBy::Email => "EMAIL".to_owned(),
        })
    }

    fn write_mark(&self) -> Option<String> {
        Some(WRITE_MARK.to_owned())
    }

    fn request(&self, operation: &Operation) -> Result<HttpRequest, ProviderError> {
        let properties = "<D:prop><D:getetag/><C:address-data/></D:prop>";
        Ok(match operation {
            Operation::Schema => {
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind {NAMESPACES}><D:prop><D:resourcetype/>\
                     <D:supported-report-set/></D:prop></D:propfind>"
                );
                HttpRequest::new("PROPFIND", self.setup.url(""))
                    .header("depth", "0")
                    .header("content-type", XML)
                    .body(body)
            }
            Operation::Find { by, values } => {
                let name = self.search_field(*by).unwrap_or_default();
                let matches: String = values
                    .iter()
                    .flat_map(|value| if *by == FindBy::Phone { endings(value) } else { vec![value.clone()] })
                    .map(|text| format!("<C:text-match match-type=\"contains\">{}</C:text-match>", escape(&text)))
                    .collect();
                self.report(
                    "1",
                    format!(
                        "<C:addressbook-query {NAMESPACES}>{properties}<C:filter><C:prop-filter name=\"{name}\" \
                         test=\"anyof\">{matches}</C:prop-filter></C:filter></C:addressbook-query>"
                    ),
                )
            }
            Operation::Get { id } => HttpRequest::new("GET", self.card_url(id)).header("accept", "text/vcard"),
            Operation::GetMany { ids } => {
                let path = self.setup.base_url.splitn(4, '/').nth(3).unwrap_or_default();
                let hrefs: String =
                    ids.iter().map(|id| format!("<D:href>/{}/{}</D:href>", escape(path), escape(id))).collect();
                self.report(
                    "1",
                    format!("<C:addressbook-multiget {NAMESPACES}>{properties}{hrefs}</C:addressbook-multiget>"),
                )
            }
            Operation::Create { member_id, fields } => {
                let mut card = Card::new(&uuid(member_id));
                for (field, value) in fields {
                    card.set(field, value.as_ref());
                }
                card.set(MEMBER_ID, Value::text(member_id).as_ref());
                card.complete(&card.phones().into_iter().next().unwrap_or_else(|| "?".to_owned()));
                self.put(&card_name(member_id), &card).header("if-none-match", "*")
            }
            Operation::Update { id, revision, fields, raw } => {
                let raw = raw.as_deref().unwrap_or_default();
                let mut card = Card::read(raw).ok_or(ProviderError::Outdated)?;
                for (field, value) in fields {
                    card.set(field, value.as_ref());
                }
                card.complete("?");
                // Without an ETag the write would be blind.
                let revision = revision.clone().ok_or(ProviderError::Unsupported)?;
                self.put(id, &card).header("if-match", revision)
            }
            Operation::Delete { id } => HttpRequest::new("DELETE", self.card_url(id)),
            Operation::Changes { since, page } => {
                let token = page.as_ref().unwrap_or(since);
                self.report(
                    "0",
                    format!(
                        "<D:sync-collection {NAMESPACES}><D:sync-token>{}</D:sync-token><D:sync-level>1</D:sync-level>\
                         <D:prop><D:getetag/></D:prop></D:sync-collection>",
                        escape(token)
                    ),
                )
            }
            Operation::List { page, .. } => {
                return self.request(&Operation::Changes { since: String::new(), page: page.clone() });
            }
            Operation::Note { .. } => return Err(ProviderError::Unsupported),
        })
    }

    fn read(&self, operation: &Operation, response: &HttpResponse) -> Result<Answer, ProviderError> {
        let etag = || response.header("etag").map(str::to_owned);
        match operation {
            Operation::Schema => {
                let read = read_multistatus(response)?;
                let has = |kind: &str| read.entries.iter().any(|entry| entry.kinds.iter().any(|known| known == kind));
                if !has("addressbook") || !has("sync-collection") {
                    let message = "the URL is not an address book that reports changes (sync-collection)".to_owned();
                    return Err(ProviderError::Rejected { fields: Vec::new(), message });
                }
                Ok(Answer::Schema(None))
            }
            Operation::Find { .. } | Operation::GetMany { .. } => {
                let entries = read_multistatus(response)?.entries;
                Ok(Answer::Records { records: self.records(entries), next: None })
            }
            Operation::Get { id } => match usual_error(response) {
                Some(error) => Err(error),
                None => Ok(Answer::Record(Box::new(self.record(id.clone(), etag(), &response.text())?))),
            },
            Operation::Create { member_id, .. } => match stored(response) {
                // Created before; a repeated request, or another card of this name.
                Err(ProviderError::Outdated) => Err(ProviderError::Duplicate(vec![card_name(member_id)])),
                Err(error) => Err(error),
                Ok(()) => {
                    let id = card_name(member_id);
                    Ok(Answer::Written(Box::new(Record { id, revision: etag(), ..Record::default() })))
                }
            },
            Operation::Update { id, .. } => {
                stored(response)?;
                let record = Record { id: id.clone(), revision: etag(), ..Record::default() };
                Ok(Answer::Written(Box::new(record)))
            }
            Operation::Delete { .. } => match usual_error(response) {
                Some(ProviderError::Missing) | None => Ok(Answer::Done),
                Some(error) => Err(error),
            },
            Operation::Changes { .. } | Operation::List { .. } => {
                // RFC 6578, 3.2: an invalid token is 403 (some: 409) with `valid-sync-token`.
                if matches!(response.status, 400 | 403 | 409) && response.text().contains("valid-sync-token") {
                    return Err(ProviderError::TokenExpired);
                }
                let read = read_multistatus(response)?;
                // RFC 6578, 3.6: 507 for the collection says that there is more.
                let has_more = read.entries.iter().any(|entry| entry.status == 507);
                let changed = |entry: Entry| {
                    let id = self.id_in(&entry.href).filter(|_| entry.status != 507)?;
                    let is_deleted = entry.status == 404 || entry.status == 410;
                    Some(Changed { id, revision: entry.etag, is_deleted, record: None })
                };
                let changed = read.entries.into_iter().filter_map(changed).collect();
                let next = read.sync_token.clone().filter(|_| has_more);
                Ok(Answer::Changes { changed, next, since: read.sync_token })
            }
            Operation::Note { .. } => Err(ProviderError::Unsupported),
        }
    }

    fn hook(&self, _: &HttpResponse) -> Result<Vec<Hint>, ProviderError> {
        Err(ProviderError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Fields;

    fn provider() -> Carddav {
        let fields = ["FN", "TEL", "CATEGORIES"].map(str::to_owned).to_vec();
        Carddav { setup: Setup { base_url: "https://dav.example.org/ana/book".into(), fields, ..Setup::default() } }
    }

    fn response(status: u16, body: &str) -> HttpResponse {
        let headers = vec![("ETag".to_owned(), "\"2\"".to_owned())];
        HttpResponse { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_card_is_created_once() {
        let create = Operation::Create {
            member_id: "con_1".into(),
            fields: Fields::from([("FN".into(), Value::text("Ana")), ("TEL".into(), Value::text("+31612345678"))]),
        };
        let request = provider().request(&create).unwrap();
        assert_eq!(request.method, "PUT");
        assert_eq!(request.url, format!("https://dav.example.org/ana/book/{}", card_name("con_1")));
        assert!(request.headers.contains(&("if-none-match".into(), "*".into())));
        let card = String::from_utf8(request.body).unwrap();
        assert!(card.contains("X-BEADLE-ID:con_1\r\n") && card.contains("N:;Ana;;;\r\n"), "{card}");
        let Ok(Answer::Written(record)) = provider().read(&create, &response(201, "")) else { panic!() };
        assert_eq!((record.id, record.revision.as_deref()), (card_name("con_1"), Some("\"2\"")));
        let repeated = provider().read(&create, &response(412, ""));
        assert_eq!(repeated, Err(ProviderError::Duplicate(vec![card_name("con_1")])));
    }

    #[test]
    fn an_update_keeps_what_it_does_not_know_and_names_the_revision() {
        let raw = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nPHOTO;ENCODING=b:AAAA\r\nEND:VCARD\r\n";
        let get = Operation::Get { id: "1.vcf".into() };
        let Ok(Answer::Record(record)) = provider().read(&get, &response(200, raw)) else { panic!() };
        let update = Operation::Update {
            id: record.id,
            revision: record.revision,
            fields: Fields::from([("FN".into(), Value::text("Anna"))]),
            raw: record.raw,
        };
        let request = provider().request(&update).unwrap();
        assert!(request.headers.contains(&("if-match".into(), "\"2\"".into())));
        let body = String::from_utf8(request.body).unwrap();
        assert!(body.contains("PHOTO;ENCODING=b:AAAA\r\n") && body.contains("FN:Anna\r\n"), "{body}");
        assert_eq!(provider().read(&update, &response(412, "")), Err(ProviderError::Outdated));
    }

    #[test]
    fn numbers_are_found_however_they_are_written() {
        let find = Operation::Find { by: FindBy::Phone, values: vec!["31612345678".into()] };
        let body = String::from_utf8(provider().request(&find).unwrap().body).unwrap();
        for written in ["0612345678", "+31 6 12 34 56 78", "+31-6-1234-5-678"] {
            let is_found = body
                .split("<C:text-match match-type=\"contains\">")
                .skip(1)
                .any(|part| written.contains(part.split('<').next().unwrap()));
            assert!(is_found, "{written}");
        }
    }

    #[test]
    fn changes_are_read_with_deletions_and_an_expired_token() {
        let changes = Operation::Changes { since: "t1".into(), page: None };
        let body = "<D:multistatus xmlns:D='DAV:'>\
            <D:response><D:href>/ana/book/1.vcf</D:href><D:propstat><D:prop><D:getetag>\"3\"</D:getetag></D:prop>\
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\
            <D:response><D:href>/ana/book/2.vcf</D:href><D:status>HTTP/1.1 404 Not Found</D:status></D:response>\
            <D:response><D:href>/ana/book/</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>\
            <D:sync-token>t2</D:sync-token></D:multistatus>";
        let answer = provider().read(&changes, &response(207, body));
        let changed = |id: &str, revision: Option<&str>, is_deleted| Changed {
            id: id.into(),
            revision: revision.map(str::to_owned),
            is_deleted,
            record: None,
        };
        assert_eq!(
            answer,
            Ok(Answer::Changes {
                changed: vec![changed("1.vcf", Some("\"3\""), false), changed("2.vcf", None, true)],
                next: Some("t2".into()),
                since: Some("t2".into()),
            })
        );
        let expired = response(403, "<error xmlns='DAV:'><valid-sync-token/></error>");
        assert_eq!(provider().read(&changes, &expired), Err(ProviderError::TokenExpired));
    }

    #[test]
    fn what_is_no_address_book_is_refused() {
        let body = "<D:multistatus xmlns:D='DAV:'><D:response><D:href>/</D:href></D:response></D:multistatus>";
        let answer = provider().read(&Operation::Schema, &response(207, body));
        assert!(matches!(answer, Err(ProviderError::Rejected { .. })));
        let html = provider().read(&Operation::Schema, &response(200, "<html>"));
        assert!(matches!(html, Err(ProviderError::Unreadable(_))));
    }
}
