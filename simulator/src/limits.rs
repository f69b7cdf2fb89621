//! Checks the form and the limits of messages that the business sends (docs/whatsapp.md#bodies).
//!
//! Lengths are counted in Unicode characters. Types that the chat page cannot show in full (flows,
//! products and others) are checked as far as the platform documents them; unknown types are
//! refused. What depends on the state of the platform (templates, files, windows) is checked by
//! `graph::send`.

use crate::refusal::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;

type Checked = Result<(), Refusal>;

/// The media types of messages.
const MEDIA: [&str; 5] = ["audio", "document", "image", "sticker", "video"];

/// Interactive types whose action is checked by `check_action`.
const OTHER_INTERACTIVE: [&str; 12] = [
    "address_message",
    "carousel",
    "catalog_message",
    "cta_url",
    "flow",
    "location_request_message",
    "order_details",
    "order_status",
    "product",
    "product_list",
    "request_contact_info",
    "voice_call",
];

/// Checks a whole request; returns its `type`.
pub(crate) fn check(request: &Value) -> Result<&str, Refusal> {
    if text(request, "messaging_product") != Some("whatsapp") {
        return Err(Refusal::new(100, "The parameter messaging_product is required."));
    }
    let to_group = match request.get("recipient_type").map(Value::as_str) {
        None | Some(Some("individual")) => false,
        Some(Some("group")) => true,
        Some(_) => return Err(Refusal::new(100, "Param recipient_type must be one of {individual, group}.")),
    };
    let group_address = text(request, "to").is_some_and(|to| !to.is_empty() && crate::people::digits(to).is_none());
    if to_group && !group_address {
        return Err(Refusal::new(100, "Param to must be a group id when recipient_type is group."));
    }
    optional(request, "biz_opaque_callback_data", 0, 512)?;
    if let Some(context) = request.get("context")
        && text(context, "message_id").is_none()
    {
        return Err(Refusal::missing("context['message_id']"));
    }
    let kind = match request.get("type") {
        None => "text",
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Refusal::new(100, "Param type must be a string.")),
    };
    let known = ["text", "interactive", "reaction", "template", "location", "contacts", "pin"];
    if to_group && matches!(kind, "interactive" | "reaction" | "location" | "contacts") {
        return Err(Refusal::new(131_051, format!("Messages of type '{kind}' are not supported in groups.")));
    }
    if kind == "pin" && !to_group {
        return Err(Refusal::new(100, "Param type pin is supported in groups only."));
    }
    if !known.contains(&kind) && !MEDIA.contains(&kind) {
        return Err(Refusal::new(100, format!("Param type must be one of the documented types, but is '{kind}'.")));
    }
    let body = request.get(kind).ok_or_else(|| Refusal::missing(kind))?;
    match kind {
        "text" => check_text(body),
        "interactive" => check_interactive(body),
        "reaction" => check_reaction(body),
        "template" => check_template(body),
        "location" => check_location(body),
        "contacts" => check_contacts(body),
        "pin" => check_pin(body),
        media => check_media(media, body),
    }?;
    Ok(kind)
}

fn check_text(body: &Value) -> Checked {
    match text(body, "body") {
        None => Err(Refusal::missing("text['body']")),
        Some("") => Err(Refusal::new(100, "Param text['body'] must be at least 1 character long.")),
        Some(body) if body.chars().count() > 4096 => {
            Err(Refusal::new(100, "Param text['body'] must be at most 4096 characters long."))
        }
        Some(_) => Ok(()),
    }
}

fn check_reaction(body: &Value) -> Checked {
    required(body, "message_id")?;
    // An empty emoji removes the reaction; a missing one is an error.
    body.get("emoji").and_then(Value::as_str).map(|_| ()).ok_or_else(|| Refusal::missing("emoji"))
}

fn check_pin(body: &Value) -> Checked {
    required(body, "message_id")?;
    match required(body, "type")? {
        "unpin" => Ok(()),
        "pin" => match body.get("expiration_days").and_then(Value::as_i64) {
            Some(1..=30) => Ok(()),
            _ => Err(Refusal::invalid("expiration_days must be a number from 1 to 30.")),
        },
        other => Err(Refusal::invalid(format!("pin['type'] must be pin or unpin, but is '{other}'."))),
    }
}

fn check_template(body: &Value) -> Checked {
    let name = required(body, "name")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() > 512 || !name.chars().all(fits) {
        return Err(Refusal::invalid("A template name must have 1 to 512 characters from a-z, 0-9 and _."));
    }
    let is_list = |value: Option<&Value>| value.is_none_or(Value::is_array);
    if !is_list(body.get("components")) {
        return Err(Refusal::new(100, "Param template['components'] must be an array."));
    }
    let components = body.get("components").and_then(Value::as_array).into_iter().flatten();
    if !components.map(|component| component.get("parameters")).all(is_list) {
        return Err(Refusal::new(100, "Param template['components'][]['parameters'] must be an array."));
    }
    required(body.get("language").unwrap_or(&Value::Null), "code").map(|_| ())
}

fn check_location(body: &Value) -> Checked {
    for (key, max) in [("latitude", 90.0), ("longitude", 180.0)] {
        // Meta's examples have them as numbers and as strings.
        let degrees = match body.get(key) {
            Some(Value::String(degrees)) => degrees.parse().ok(),
            Some(degrees) => degrees.as_f64(),
            None => return Err(Refusal::missing(key)),
        };
        if !degrees.is_some_and(|degrees: f64| degrees.abs() <= max) {
            return Err(Refusal::invalid(format!("{key} must be between -{max} and {max}.")));
        }
    }
    Ok(())
}

fn check_contacts(body: &Value) -> Checked {
    let contacts = body.as_array().filter(|all| !all.is_empty()).ok_or_else(|| Refusal::missing("contacts"))?;
    for contact in contacts {
        required(contact.get("name").unwrap_or(&Value::Null), "formatted_name")?;
    }
    Ok(())
}

fn check_media(kind: &str, body: &Value) -> Checked {
    if text(body, "id").is_none() && text(body, "link").is_none() {
        return Err(Refusal::missing(&format!("{kind}['id'] or {kind}['link']")));
    }
    let may_have_caption = !matches!(kind, "audio" | "sticker");
    if body.get("caption").is_some() && !may_have_caption {
        return Err(Refusal::invalid(format!("{kind} must not have a caption.")));
    }
    optional(body, "caption", 0, 1024)
}

fn check_interactive(body: &Value) -> Checked {
    let kind = required(body, "type")?;
    if let Some(footer) = body.get("footer") {
        length("footer text", required(footer, "text")?, 1, 60)?;
    }
    let action = body.get("action").ok_or_else(|| Refusal::missing("interactive['action']"))?;
    match kind {
        "button" => {
            length("body text", required(part(body, "body"), "text")?, 1, 1024)?;
            check_header(body, &["text", "image", "video", "document"])?;
            check_buttons(action)
        }
        "list" => {
            length("body text", required(part(body, "body"), "text")?, 1, 4096)?;
            check_header(body, &["text"])?;
            check_list(action)
        }
        other if OTHER_INTERACTIVE.contains(&other) => {
            match (other, body.get("header")) {
                ("product_list", None) => return Err(Refusal::missing("interactive['header']")),
                ("product_list", _) => check_header(body, &["text"])?,
                _ => check_header(body, &["text", "image", "video", "document"])?,
            }
            // Optional only for a single product.
            if other == "product" {
                optional(part(body, "body"), "text", 1, 1024)?;
            } else {
                length("body text", required(part(body, "body"), "text")?, 1, 1024)?;
            }
            check_action(other, action)
        }
        other => Err(Refusal::invalid(format!("'{other}' is not an interactive type."))),
    }
}

/// Checks the action of types other than buttons and lists, as far as it is documented.
fn check_action(kind: &str, action: &Value) -> Checked {
    let parameters = part(action, "parameters");
    let has_name = |name: &str| match text(action, "name") {
        Some(actual) if actual == name => Ok(()),
        _ => Err(Refusal::invalid(format!("action['name'] of '{kind}' must be '{name}'."))),
    };
    match kind {
        "cta_url" => {
            has_name("cta_url")?;
            length("display_text", required(parameters, "display_text")?, 1, 20)?;
            required(parameters, "url").map(drop)
        }
        "location_request_message" => has_name("send_location"),
        "request_contact_info" => has_name("request_contact_info"),
        "catalog_message" => has_name("catalog_message"),
        "voice_call" => {
            has_name("voice_call")?;
            optional(parameters, "display_text", 1, 20)
        }
        "flow" => {
            has_name("flow")?;
            required(parameters, "flow_message_version")?;
            length("flow_cta", required(parameters, "flow_cta")?, 1, 30)?;
            // pywa sends the id as a number.
            let has = |key: &str| parameters.get(key).is_some_and(|name| name.is_string() || name.is_number());
            if has("flow_id") == has("flow_name") {
                return Err(Refusal::invalid("A flow must have either flow_id or flow_name."));
            }
            Ok(())
        }
        "product" => {
            required(action, "catalog_id")?;
            required(action, "product_retailer_id").map(drop)
        }
        "product_list" => {
            required(action, "catalog_id")?;
            let sections = items(action, "sections")?;
            let products: usize =
                sections.iter().map(|section| items(section, "product_items").map_or(0, <[Value]>::len)).sum();
            if (1..=10).contains(&sections.len()) && (1..=30).contains(&products) {
                return Ok(());
            }
            Err(Refusal::invalid("A product list must have 1 to 10 sections and 1 to 30 products in total."))
        }
        "carousel" => match items(action, "cards")?.len() {
            2..=10 => Ok(()),
            count => Err(Refusal::invalid(format!("A carousel must have 2 to 10 cards, but has {count}."))),
        },
        _ => Ok(()),
    }
}

fn check_header(body: &Value, kinds: &[&str]) -> Checked {
    let Some(header) = body.get("header") else { return Ok(()) };
    let kind = required(header, "type")?;
    if !kinds.contains(&kind) {
        return Err(Refusal::invalid(format!("A header of type '{kind}' is not supported for this message.")));
    }
    match kind {
        "text" => length("header text", required(header, "text")?, 1, 60),
        media => check_media(media, part(header, media)),
    }
}

fn check_buttons(action: &Value) -> Checked {
    let buttons = items(action, "buttons")?;
    if !(1..=3).contains(&buttons.len()) {
        return Err(Refusal::invalid("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3"));
    }
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for button in buttons {
        if text(button, "type") != Some("reply") {
            return Err(Refusal::invalid("The type of a button must be 'reply'."));
        }
        let reply = part(button, "reply");
        let (id, title) = (required(reply, "id")?, required(reply, "title")?);
        length("Button id", id, 1, 256)?;
        length("Button title", title, 1, 20)?;
        if !ids.insert(id) || !titles.insert(title) {
            return Err(Refusal::invalid("Duplicate button: ids and titles must be unique in a message."));
        }
    }
    Ok(())
}

fn check_list(action: &Value) -> Checked {
    length("List button", required(action, "button")?, 1, 20)?;
    let sections = items(action, "sections")?;
    if !(1..=10).contains(&sections.len()) {
        return Err(Refusal::invalid("Invalid sections count. Min allowed sections: 1, Max allowed sections: 10"));
    }
    let mut ids = BTreeSet::new();
    for section in sections {
        match text(section, "title") {
            Some(title) => length("Section title", title, 1, 24)?,
            None if sections.len() > 1 => return Err(Refusal::missing("section['title']")),
            None => {}
        }
        for row in items(section, "rows")? {
            let id = required(row, "id")?;
            length("Row id", id, 1, 200)?;
            length("Row title", required(row, "title")?, 1, 24)?;
            optional(row, "description", 0, 72)?;
            if !ids.insert(id) {
                return Err(Refusal::invalid(format!("Duplicate row id '{id}'.")));
            }
        }
    }
    // The maximum applies to the whole message, not to a section.
    if !(1..=10).contains(&ids.len()) {
        return Err(Refusal::invalid(format!("The total row count must be between 1 and 10, but is {}.", ids.len())));
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A member, or null if it is missing, so that its own missing members are reported by name.
fn part<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn items<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], Refusal> {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| Refusal::missing(key))
}

fn required<'a>(value: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    text(value, key).ok_or_else(|| Refusal::missing(key))
}

/// Checks the length of an optional string.
fn optional(value: &Value, key: &str, min: usize, max: usize) -> Checked {
    match value.get(key) {
        None => Ok(()),
        Some(Value::String(text)) => length(key, text, min, max),
        Some(_) => Err(Refusal::invalid(format!("{key} must be a string."))),
    }
}

fn length(name: &str, text: &str, min: usize, max: usize) -> Checked {
    let count = text.chars().count();
    if (min..=max).contains(&count) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{name} length invalid. Min length: {min}, Max length: {max}, it is {count}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn send(kind: &str, body: Value) -> Value {
        let mut request = json!({"messaging_product": "whatsapp", "to": "16505551234", "type": kind});
        request[kind] = body;
        request
    }

    fn code(request: &Value) -> Option<u32> {
        check(request).err().map(|refusal| refusal.code)
    }

    fn x(count: usize) -> String {
        "ü".repeat(count)
    }

    #[test]
    fn lengths_are_limited_to_the_last_character() {
        let button = |id: String, title: String| {
            json!({"type": "button", "body": {"text": "b"},
            "action": {"buttons": [{"type": "reply", "reply": {"id": id, "title": title}}]}})
        };
        let list = |row: Value, section: String, open: String| {
            json!({"type": "list", "body": {"text": "b"},
            "action": {"button": open, "sections": [{"title": section, "rows": [row]}]}})
        };
        let row =
            |id: usize, title: usize, about: usize| json!({"id": x(id), "title": x(title), "description": x(about)});
        let decorated = |kind: &str, body: usize, header: usize, footer: usize| {
            let mut message = if kind == "list" { list(row(1, 1, 0), x(1), x(1)) } else { button(x(1), x(1)) };
            message["body"]["text"] = json!(x(body));
            message["header"] = json!({"type": "text", "text": x(header)});
            message["footer"] = json!({"text": x(footer)});
            message
        };
        let cases = [
            (send("text", json!({"body": x(4096)})), send("text", json!({"body": x(4097)}))),
            (
                send("image", json!({"id": "1", "caption": x(1024)})),
                send("image", json!({"id": "1", "caption": x(1025)})),
            ),
            (send("interactive", button(x(256), x(20))), send("interactive", button(x(257), x(20)))),
            (send("interactive", button(x(256), x(20))), send("interactive", button(x(256), x(21)))),
            (
                send("interactive", decorated("button", 1024, 60, 60)),
                send("interactive", decorated("button", 1025, 60, 60)),
            ),
            (
                send("interactive", decorated("button", 1024, 60, 60)),
                send("interactive", decorated("button", 1024, 61, 60)),
            ),
            (
                send("interactive", decorated("list", 4096, 60, 60)),
                send("interactive", decorated("list", 4097, 60, 60)),
            ),
            (
                send("interactive", decorated("list", 4096, 60, 60)),
                send("interactive", decorated("list", 4096, 60, 61)),
            ),
            (
                send("interactive", list(row(200, 24, 72), x(24), x(20))),
                send("interactive", list(row(201, 24, 72), x(24), x(20))),
            ),
            (
                send("interactive", list(row(200, 24, 72), x(24), x(20))),
                send("interactive", list(row(200, 25, 72), x(24), x(20))),
            ),
            (
                send("interactive", list(row(200, 24, 72), x(24), x(20))),
                send("interactive", list(row(200, 24, 73), x(24), x(20))),
            ),
            (
                send("interactive", list(row(200, 24, 72), x(24), x(20))),
                send("interactive", list(row(200, 24, 72), x(25), x(20))),
            ),
            (
                send("interactive", list(row(200, 24, 72), x(24), x(20))),
                send("interactive", list(row(200, 24, 72), x(24), x(21))),
            ),
        ];
        for (valid, too_long) in cases {
            assert_eq!(code(&valid), None, "{valid}");
            assert!(matches!(code(&too_long), Some(100 | 131_009)), "{too_long}");
        }
        let with_data = |count| {
            let mut request = send("text", json!({"body": "b"}));
            request["biz_opaque_callback_data"] = json!(x(count));
            request
        };
        assert_eq!(code(&with_data(512)), None);
        assert_eq!(code(&with_data(513)), Some(131_009));
    }

    #[test]
    fn counts_are_limited() {
        let buttons = |count: usize| {
            let buttons: Vec<_> = (0..count)
                .map(|n| json!({"type": "reply", "reply": {"id": format!("{n}"), "title": format!("t{n}")}}))
                .collect();
            send("interactive", json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": buttons}}))
        };
        assert_eq!([0, 1, 3, 4].map(|n| code(&buttons(n))), [Some(131_009), None, None, Some(131_009)]);
        let rows = |sections: usize, rows: usize| {
            let sections: Vec<_> = (0..sections)
                .map(|s| {
                    let rows: Vec<_> = (0..rows).map(|r| json!({"id": format!("{s}-{r}"), "title": "t"})).collect();
                    json!({"title": "s", "rows": rows})
                })
                .collect();
            let action = json!({"button": "open", "sections": sections});
            send("interactive", json!({"type": "list", "body": {"text": "b"}, "action": action}))
        };
        assert_eq!(code(&rows(10, 1)), None);
        assert_eq!(code(&rows(2, 5)), None);
        // Ten rows in the whole message.
        assert_eq!(code(&rows(2, 6)), Some(131_009));
        assert_eq!(code(&rows(11, 1)), Some(131_009));
        assert_eq!(code(&rows(1, 0)), Some(131_009));
    }

    #[test]
    fn missing_and_duplicate_members_are_refused() {
        let refused = [
            (json!({"to": "1", "type": "text", "text": {"body": "b"}}), 100),
            (json!({"messaging_product": "whatsapp", "type": "text"}), 131_008),
            (send("text", json!({})), 131_008),
            (send("text", json!({"body": ""})), 100),
            (send("poll", json!({})), 100),
            (send("interactive", json!({"type": "button", "body": {"text": "b"}})), 131_008),
            (send("interactive", json!({"type": "poll", "action": {}})), 131_009),
            (send("reaction", json!({"message_id": "wamid.x"})), 131_008),
            (send("audio", json!({"id": "1", "caption": "no"})), 131_009),
            (send("image", json!({})), 131_008),
            (send("template", json!({"name": "Order", "language": {"code": "en"}})), 131_009),
            (send("template", json!({"name": "order"})), 131_008),
            (send("template", json!({"name": "order", "language": {"code": "en"}, "components": "[]"})), 100),
            (
                send(
                    "template",
                    json!({"name": "order", "language": {"code": "en"}, "components": [{"type": "body", "parameters": "[]"}]}),
                ),
                100,
            ),
            (
                send("interactive", json!({"type": "location_request_message", "action": {"name": "send_location"}})),
                131_008,
            ),
            (
                send(
                    "interactive",
                    json!({"type": "product_list", "body": {"text": "b"}, "action": {"catalog_id": "7", "sections": []}}),
                ),
                131_008,
            ),
            (send("location", json!({"latitude": 91, "longitude": 0})), 131_009),
            (send("contacts", json!([])), 131_008),
        ];
        for (request, expected) in refused {
            assert_eq!(code(&request), Some(expected), "{request}");
        }
        let twins = json!({"type": "reply", "reply": {"id": "a", "title": "A"}});
        let doubled = json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": [twins, twins]}});
        assert_eq!(code(&send("interactive", doubled)), Some(131_009));
        assert_eq!(
            check(&json!({"messaging_product": "whatsapp", "text": {"body": "type is text by default"}})),
            Ok("text")
        );
    }

    #[test]
    fn actions_require_the_documented_members() {
        let action = |kind: &str, action: Value| {
            code(&send("interactive", json!({"type": kind, "body": {"text": "b"}, "action": action})))
        };
        let flow = |more: Value| {
            let mut parameters = json!({"flow_message_version": "3", "flow_cta": x(30)});
            parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            action("flow", json!({"name": "flow", "parameters": parameters}))
        };
        let link = |name: &str, words: usize| {
            action("cta_url", json!({"name": name, "parameters": {"display_text": x(words), "url": "https://x"}}))
        };
        let products = |count: usize| {
            let items = vec![json!({"product_retailer_id": "1"}); count];
            let action = json!({"catalog_id": "7", "sections": [{"title": "t", "product_items": items}]});
            let header = json!({"type": "text", "text": "h"});
            code(&send(
                "interactive",
                json!({"type": "product_list", "header": header, "body": {"text": "b"}, "action": action}),
            ))
        };
        let cards = |count: usize| action("carousel", json!({"cards": vec![json!({}); count]}));
        for (actual, expected) in [
            (flow(json!({"flow_id": "1"})), None),
            (flow(json!({"flow_id": 1})), None),
            (flow(json!({"flow_name": "n"})), None),
            (flow(json!({"flow_id": "1", "flow_name": "n"})), Some(131_009)),
            (flow(json!({})), Some(131_009)),
            (flow(json!({"flow_id": "1", "flow_cta": x(31)})), Some(131_009)),
            (link("cta_url", 20), None),
            (link("cta_url", 21), Some(131_009)),
            (link("other", 20), Some(131_009)),
            (products(30), None),
            (products(31), Some(131_009)),
            (products(0), Some(131_009)),
            (cards(1), Some(131_009)),
            (cards(2), None),
            (cards(10), None),
            (cards(11), Some(131_009)),
            (action("location_request_message", json!({"name": "send_location"})), None),
            (action("location_request_message", json!({"name": "x"})), Some(131_009)),
            (action("product", json!({"catalog_id": "7"})), Some(131_008)),
            (action("poll", json!({})), Some(131_009)),
        ] {
            assert_eq!(actual, expected);
        }
    }

    #[test]
    fn groups_support_only_some_types() {
        let to_group = |kind: &str, body: Value| {
            let mut request = send(kind, body);
            request["recipient_type"] = json!("group");
            request["to"] = json!("Y2FwaV9ncm91cDox");
            request
        };
        let pin = |days: i64| json!({"type": "pin", "message_id": "wamid.1", "expiration_days": days});
        for (request, expected) in [
            (to_group("text", json!({"body": "x"})), None),
            (to_group("pin", pin(1)), None),
            (to_group("pin", pin(30)), None),
            (to_group("pin", pin(31)), Some(131_009)),
            (to_group("pin", json!({"type": "unpin", "message_id": "wamid.1"})), None),
            (send("pin", pin(1)), Some(100)),
            (to_group("reaction", json!({"message_id": "wamid.1", "emoji": "x"})), Some(131_051)),
            (to_group("location", json!({"latitude": 1, "longitude": 1})), Some(131_051)),
        ] {
            assert_eq!(code(&request), expected, "{request}");
        }
        let mut number = to_group("text", json!({"body": "x"}));
        number["to"] = json!("+1 650 555 1234");
        assert_eq!(code(&number), Some(100), "a phone number is not a group id");
    }
}
