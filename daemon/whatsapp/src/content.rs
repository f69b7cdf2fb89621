//! The content of a message, by type (docs/whatsapp.md#messages). Content that does not fit its
//! type is `None`; the caller keeps it as the platform wrote it.

use crate::json::Json;
use beadle_model::Content;
use beadle_model::content::{Choice, Location, Media, Order, OrderItem};
use serde_json::{Map, Value};

/// The media type of a file whose type the platform does not state.
const UNKNOWN_MIME_TYPE: &str = "application/octet-stream";

/// The types that [`content`] and reactions know; each is also the name of the member that holds
/// the content.
pub(crate) const TYPES: [&str; 17] = [
    "text",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "order",
    "button",
    "interactive",
    "edit",
    "revoke",
    "reaction",
    "system",
    "unsupported",
];

/// The kinds of answers in an interactive message; each is also the name of the member that holds
/// it.
const REPLIES: [&str; 4] = ["button_reply", "list_reply", "nfm_reply", "call_permission_reply"];

/// The name of the only one of these members that is there; `None` if there are several.
pub(crate) fn only_member(object: &Json<'_>, names: &[&'static str]) -> Option<&'static str> {
    let mut present = names.iter().filter(|name| object.present(name).is_some());
    match (present.next(), present.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// Members of a type's object that [`content`] does not represent, for `extra`. The `url` of a file
/// is left out: it needs our access token.
pub(crate) fn rest(kind: &str, object: &Json<'_>) -> Map<String, Value> {
    let used: &[&str] = match kind {
        "text" => &["body"],
        "location" => &["latitude", "longitude", "name", "address"],
        "order" => &["catalog_id", "text", "product_items"],
        "button" => &["payload", "text"],
        "interactive" => return rest_of_reply(object),
        "edit" | "revoke" => &["original_message_id", "message"],
        "image" | "video" | "audio" | "voice" | "document" | "sticker" => {
            &["id", "mime_type", "sha256", "caption", "filename", "voice", "animated", "url"]
        }
        _ => return Map::new(),
    };
    object.without(|name| used.contains(&name))
}

fn rest_of_reply(interactive: &Json<'_>) -> Map<String, Value> {
    let used: [(&str, &[&str]); 4] = [
        ("button_reply", &["id", "title", "description"]),
        ("list_reply", &["id", "title", "description"]),
        ("nfm_reply", &["response_json"]),
        ("call_permission_reply", &["response", "expiration_timestamp"]),
    ];
    let mut rest = interactive.without(|name| name == "type" || used.iter().any(|(reply, _)| *reply == name));
    for (reply, used) in used {
        let more = interactive.get(reply).map(|reply| reply.without(|name| used.contains(&name))).unwrap_or_default();
        rest.extend(more);
    }
    rest
}

/// Reads the content of a message of this `kind`; `object` is its member of that name.
pub(crate) fn content(kind: &str, object: &Json<'_>) -> Option<Content> {
    Some(match kind {
        "text" => Content::Text(object.string_of("body")?),
        "image" => Content::Image(media(object)?),
        "video" => Content::Video(media(object)?),
        "audio" | "voice" => Content::Audio(media(object)?),
        "document" => Content::Document(media(object)?),
        "sticker" => Content::Sticker(media(object)?),
        "location" => Content::Location(location(object)?),
        "contacts" => Content::Contacts(object.items().filter(|cards| !cards.is_empty()).map(|_| object.to_value())?),
        "order" => Content::Order(order(object)?),
        "button" => {
            let title = object.string_of("text");
            let id = object.string_of("payload").or_else(|| title.clone())?;
            Content::TemplateButton(Choice { id, title: title.unwrap_or_default(), description: None })
        }
        "interactive" => interactive(object)?,
        "edit" => edited(object)?,
        "revoke" => Content::Deleted { original: object.string_of("original_message_id")? },
        "unsupported" => Content::Unsupported(object.string_of("type")),
        _ => return None,
    })
}

fn media(object: &Json<'_>) -> Option<Media> {
    Some(Media {
        handle: None,
        platform: object.string_of("id")?,
        mime_type: object.string_of("mime_type").unwrap_or_else(|| UNKNOWN_MIME_TYPE.to_owned()),
        sha256: object.string_of("sha256"),
        caption: object.string_of("caption"),
        filename: object.string_of("filename"),
        voice: object.is_true("voice"),
        animated: object.is_true("animated"),
    })
}

fn location(object: &Json<'_>) -> Option<Location> {
    let (latitude, longitude) = (object.number_of("latitude")?, object.number_of("longitude")?);
    Some(Location { latitude, longitude, name: object.string_of("name"), address: object.string_of("address") })
}

fn order(object: &Json<'_>) -> Option<Order> {
    let item = |item: &Json<'_>| {
        Some(OrderItem {
            product: item.string_of("product_retailer_id")?,
            quantity: quantity(item)?,
            price: item.string_of("item_price").unwrap_or_default(),
            currency: item.string_of("currency").unwrap_or_default(),
        })
    };
    let items = object.get("product_items")?.items()?.iter().map(item).collect::<Option<Vec<_>>>()?;
    Some(Order { catalog: object.string_of("catalog_id")?, text: object.string_of("text"), items })
}

/// A whole number, also written as `2.0` or `"3.0"`. Anything else makes the order unreadable: a
/// guess would be delivered.
fn quantity(item: &Json<'_>) -> Option<u32> {
    let number = item.number_of("quantity")?;
    let whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    whole.then(|| format!("{number:.0}").parse().ok())?
}

fn interactive(object: &Json<'_>) -> Option<Content> {
    let kind = object.text_of("type").map(|kind| kind.trim().to_ascii_lowercase());
    Some(match kind.as_deref().or_else(|| only_member(object, &REPLIES))? {
        "button_reply" => Content::Button(choice(object.get("button_reply")?)?),
        "list_reply" => Content::ListRow(choice(object.get("list_reply")?)?),
        "nfm_reply" => {
            let reply = object.get("nfm_reply")?;
            // Documented as a string, which is not guaranteed to be JSON. An object is accepted and
            // serialised.
            let response = reply.string_of("response_json").or_else(|| match reply.get("response_json")? {
                object @ Json::Object(_) => Some(object.to_value().to_string()),
                _ => None,
            });
            Content::Flow(response?)
        }
        "call_permission_reply" => {
            let reply = object.get("call_permission_reply")?;
            let granted = reply.text_of("response")? == "accept";
            Content::CallPermission { granted, until: reply.timestamp_of("expiration_timestamp") }
        }
        _ => return None,
    })
}

/// A choice has a title, an id or both; the title stands for a missing id.
fn choice(reply: &Json<'_>) -> Option<Choice> {
    let title = reply.string_of("title");
    Some(Choice {
        id: reply.string_of("id").or_else(|| title.clone())?,
        title: title.unwrap_or_default(),
        description: reply.string_of("description"),
    })
}

fn edited(object: &Json<'_>) -> Option<Content> {
    let message = object.get("message");
    let text = message.and_then(|message| {
        let kind = message.text_of("type")?;
        let inner = message.get(&kind)?;
        inner.string_of("body").or_else(|| inner.string_of("caption"))
    });
    let json = message.map_or(Value::Null, Json::to_value);
    Some(Content::Edited { original: object.string_of("original_message_id")?, text, json })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, json: &str) -> Option<Content> {
        content(kind, &Json::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn numbers_may_be_strings_and_strings_numbers() {
        let location = Content::Location(Location { latitude: 37.5, longitude: -122.0, name: None, address: None });
        assert_eq!(read("location", r#"{"latitude":37.5,"longitude":-122}"#), Some(location.clone()));
        assert_eq!(read("location", r#"{"latitude":"37.5","longitude":"-122"}"#), Some(location));
        assert_eq!(read("location", r#"{"latitude":"north","longitude":1}"#), None);
        for quantity in ["3", "\"3\"", "3.0", "\"3.0\""] {
            let json = format!(
                r#"{{"catalog_id":1,"product_items":[{{"product_retailer_id":7,"quantity":{quantity},"item_price":"30"}}]}}"#
            );
            let Some(Content::Order(order)) = read("order", &json) else { panic!("{json}") };
            assert_eq!(
                (order.catalog.as_str(), order.items[0].product.as_str(), order.items[0].quantity),
                ("1", "7", 3)
            );
        }
    }

    #[test]
    fn content_that_does_not_fit_its_type_is_none() {
        for (kind, json) in [
            ("image", r#"{"caption":"no id"}"#),
            ("contacts", "[]"),
            ("contacts", "{}"),
            ("order", r#"{"catalog_id":"1","product_items":[{"quantity":1}]}"#),
            ("order", r#"{"catalog_id":"1","product_items":[{"product_retailer_id":"cup"}]}"#),
            ("order", r#"{"catalog_id":"1","product_items":[{"product_retailer_id":"cup","quantity":null}]}"#),
            ("order", r#"{"catalog_id":"1","product_items":[{"product_retailer_id":"cup","quantity":-2}]}"#),
            ("order", r#"{"catalog_id":"1","product_items":[{"product_retailer_id":"cup","quantity":"many"}]}"#),
            ("interactive", r#"{"type":"button_reply","list_reply":{"id":"1"}}"#),
            ("interactive", r#"{"type":"new_reply","new_reply":{"id":"1"}}"#),
            ("edit", r#"{"message":{}}"#),
            ("revoke", "{}"),
            ("hologram", r#"{"id":"1"}"#),
        ] {
            assert_eq!(read(kind, json), None, "{kind} {json}");
        }
    }

    #[test]
    fn flow_response_is_kept_as_text_even_if_not_json() {
        let json = r#"{"type":"nfm_reply","nfm_reply":{"name":"flow","body":"Sent","response_json":"{broken"}}"#;
        assert_eq!(read("interactive", json), Some(Content::Flow("{broken".into())));
    }

    #[test]
    fn edit_carries_the_new_text() {
        let json =
            r#"{"original_message_id":"wamid.1","message":{"type":"image","image":{"id":"5","caption":"better"}}}"#;
        let Some(Content::Edited { original, text, .. }) = read("edit", json) else { panic!() };
        assert_eq!((original.as_str(), text.as_deref()), ("wamid.1", Some("better")));
    }
}
