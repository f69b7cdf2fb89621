//! Multistatus bodies of WebDAV (RFC 4918), as far as address books use them.
//!
//! Names are compared without their namespaces: none of the ones read here exists in two. Entities
//! of a document type are not expanded.

use quick_xml::Reader;
use quick_xml::events::Event;

/// One response of a multistatus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub href: String,
    /// The status of the entry itself, such as 404 of a deleted one; 0 if it has properties.
    pub status: u16,
    /// The ETag.
    pub etag: Option<String>,
    /// The card.
    pub card: Option<String>,
    /// The names of elements in `resourcetype` and `supported-report-set`.
    pub kinds: Vec<String>,
}

/// A multistatus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multistatus {
    /// Its responses.
    pub entries: Vec<Entry>,
    /// The token of RFC 6578.
    pub sync_token: Option<String>,
}

/// Deeper nesting is no multistatus.
const MAX_DEPTH: usize = 32;

/// Reads a multistatus; the error says what is wrong.
pub fn read(xml: &str) -> Result<Multistatus, String> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut result = Multistatus::default();
    let mut entry: Option<Entry> = None;
    let mut is_multistatus = false;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                is_multistatus |= name == "multistatus";
                if name == "response" {
                    entry = Some(Entry::default());
                }
                note_kind(&path, &name, entry.as_mut());
                path.push(name);
                if path.len() > MAX_DEPTH {
                    return Err("nested too deeply".to_owned());
                }
                text.clear();
            }
            Event::Empty(empty) => {
                let name = String::from_utf8_lossy(empty.local_name().as_ref()).into_owned();
                is_multistatus |= name == "multistatus";
                note_kind(&path, &name, entry.as_mut());
            }
            Event::Text(part) => text.push_str(&part.decode().map_err(|error| error.to_string())?),
            Event::CData(part) => text.push_str(&part.decode().map_err(|error| error.to_string())?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(c)) => text.push(c),
                _ => text.push_str(match reference.as_ref() {
                    b"amp" => "&",
                    b"lt" => "<",
                    b"gt" => ">",
                    b"quot" => "\"",
                    b"apos" => "'",
                    _ => return Err("unknown entity".to_owned()),
                }),
            },
            Event::End(_) => {
                let Some(name) = path.pop() else { return Err("unexpected end of an element".to_owned()) };
                let parent = path.last().map(String::as_str).unwrap_or_default();
                let value = std::mem::take(&mut text);
                match (name.as_str(), parent, entry.as_mut()) {
                    ("response", ..) => result.entries.extend(entry.take()),
                    ("sync-token", "multistatus", _) => result.sync_token = Some(value.trim().to_owned()),
                    ("href", "response", Some(entry)) => value.trim().clone_into(&mut entry.href),
                    ("status", "response", Some(entry)) => entry.status = status_of(&value),
                    ("getetag", _, Some(entry)) if !value.trim().is_empty() => {
                        entry.etag = Some(value.trim().to_owned());
                    }
                    ("address-data", _, Some(entry)) if !value.trim().is_empty() => entry.card = Some(value),
                    _ => {}
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !path.is_empty() || !is_multistatus {
        return Err("no complete multistatus".to_owned());
    }
    Ok(result)
}

fn note_kind(path: &[String], name: &str, entry: Option<&mut Entry>) {
    let is_inside = |outer: &str| path.iter().any(|name| name == outer);
    if (is_inside("resourcetype") || is_inside("supported-report-set"))
        && let Some(entry) = entry
    {
        entry.kinds.push(name.to_owned());
    }
}

/// The number in `HTTP/1.1 404 Not Found`.
fn status_of(line: &str) -> u16 {
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// A text as XML.
pub fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_a_sync_is_read() {
        let xml = "<?xml version='1.0'?><multistatus xmlns='DAV:' xmlns:C='urn:ietf:params:xml:ns:carddav'>\
            <response><href>/b/1.vcf</href><propstat><prop><getetag>\"e&amp;1\"</getetag>\
            <C:address-data>BEGIN:VCARD&#13;\nFN:&lt;A&gt;&#13;\nEND:VCARD</C:address-data></prop>\
            <status>HTTP/1.1 200 OK</status></propstat></response>\
            <response><href>/b/2.vcf</href><status>HTTP/1.1 404 Not Found</status></response>\
            <sync-token>http://x/7</sync-token></multistatus>";
        let read = read(xml).unwrap();
        assert_eq!(read.sync_token.as_deref(), Some("http://x/7"));
        let [first, second] = read.entries.as_slice() else { panic!("{read:?}") };
        assert_eq!((first.href.as_str(), first.status, first.etag.as_deref()), ("/b/1.vcf", 0, Some("\"e&1\"")));
        assert_eq!(first.card.as_deref(), Some("BEGIN:VCARD\r\nFN:<A>\r\nEND:VCARD"));
        assert_eq!((second.href.as_str(), second.status), ("/b/2.vcf", 404));
    }

    #[test]
    fn kinds_of_a_collection_are_read() {
        let xml = "<D:multistatus xmlns:D='DAV:'><D:response><D:href>/b/</D:href><D:propstat><D:prop><D:resourcetype>\
            <D:collection/><X:addressbook xmlns:X='c'/></D:resourcetype><D:supported-report-set><D:supported-report>\
            <D:report><D:sync-collection/></D:report></D:supported-report></D:supported-report-set></D:prop>\
            </D:propstat></D:response></D:multistatus>";
        let kinds = read(xml).unwrap().entries.remove(0).kinds;
        assert!(["addressbook", "sync-collection"].iter().all(|kind| kinds.iter().any(|k| k == kind)), "{kinds:?}");
    }

    #[test]
    fn nonsense_is_an_error() {
        let deep = "<a>".repeat(40);
        for xml in
            ["", "hello", "<html><body></body></html>", "<multistatus><response>", "<multistatus></other>", &deep]
        {
            assert!(read(xml).is_err(), "{xml}");
        }
        assert!(read("<!DOCTYPE m [<!ENTITY x 'y'>]><multistatus><response>&x;</response></multistatus>").is_err());
    }
}
