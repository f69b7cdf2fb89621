//! What a message that the business sends may look like: whatsapp.md 2.2, each limit where it stands.
//!
//! Lengths are counted in Unicode characters. Kinds that a local WhatsApp cannot show in full (media, templates, flows,
//! products) are looked at as far as their common parts go and accepted; unknown ones are refused as the platform does.

use crate::refusal::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;

type Checked = Result<(), Refusal>;

/// The kinds of message that there are, media apart.
const MEDIA: [&str; 5] = ["audio", "document", "image", "sticker", "video"];

/// Interactive kinds whose action is looked at in `check_action`.
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

/// Checks the whole request; gives its `type`.
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
    at_most(request, "biz_opaque_callback_data", 0, 512)?;
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
        return Err(Refusal::new(131_051, format!("Messages of type '{kind}' do not go to groups.")));
    }
    if kind == "pin" && !to_group {
        return Err(Refusal::new(100, "Param type pin goes to groups only."));
    }
    if !known.contains(&kind) && !MEDIA.contains(&kind) {
        return Err(Refusal::new(100, format!("Param type must be one of the documented types, it is '{kind}'.")));
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
    // An empty emoji takes the reaction back; none at all is a mistake.
    body.get("emoji").and_then(Value::as_str).map(|_| ()).ok_or_else(|| Refusal::missing("emoji"))
}

fn check_pin(body: &Value) -> Checked {
    required(body, "message_id")?;
    match required(body, "type")? {
        "unpin" => Ok(()),
        "pin" => match body.get("expiration_days").and_then(Value::as_i64) {
            Some(1..=30) => Ok(()),
            _ => Err(Refusal::invalid("expiration_days is a number from 1 to 30.")),
        },
        other => Err(Refusal::invalid(format!("pin['type'] is pin or unpin, not '{other}'."))),
    }
}

fn check_template(body: &Value) -> Checked {
    let name = required(body, "name")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() > 512 || !name.chars().all(fits) {
        return Err(Refusal::invalid("A template's name is 1 to 512 of a-z, 0-9 and _."));
    }
    required(body.get("language").unwrap_or(&Value::Null), "code").map(|_| ())
}

fn check_location(body: &Value) -> Checked {
    for (key, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        // Meta's own examples have them as numbers and as strings.
        let degrees = match body.get(key) {
            Some(Value::String(degrees)) => degrees.parse().ok(),
            Some(degrees) => degrees.as_f64(),
            None => return Err(Refusal::missing(key)),
        };
        if !degrees.is_some_and(|degrees: f64| degrees.abs() <= most) {
            return Err(Refusal::invalid(format!("{key} is not between -{most} and {most}.")));
        }
    }
    Ok(())
}

fn check_contacts(body: &Value) -> Checked {
    let cards = body.as_array().filter(|cards| !cards.is_empty()).ok_or_else(|| Refusal::missing("contacts"))?;
    for card in cards {
        required(card.get("name").unwrap_or(&Value::Null), "formatted_name")?;
    }
    Ok(())
}

fn check_media(kind: &str, body: &Value) -> Checked {
    if text(body, "id").is_none() && text(body, "link").is_none() {
        return Err(Refusal::missing(&format!("{kind}['id'] or {kind}['link']")));
    }
    let takes_caption = !matches!(kind, "audio" | "sticker");
    if body.get("caption").is_some() && !takes_caption {
        return Err(Refusal::invalid(format!("{kind} does not take a caption.")));
    }
    at_most(body, "caption", 0, 1024)
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
            check_header(body, &["text", "image", "video", "document"])?;
            at_most(part(body, "body"), "text", 1, 1024)?;
            check_action(other, action)
        }
        other => Err(Refusal::invalid(format!("'{other}' is not a type of interactive message."))),
    }
}

/// The action of the kinds that are neither buttons nor a list, as far as the platform's pages say what is needed.
fn check_action(kind: &str, action: &Value) -> Checked {
    let parameters = part(action, "parameters");
    let named = |name: &str| match text(action, "name") {
        Some(given) if given == name => Ok(()),
        _ => Err(Refusal::invalid(format!("action['name'] of '{kind}' is '{name}'."))),
    };
    match kind {
        "cta_url" => {
            named("cta_url")?;
            length("display_text", required(parameters, "display_text")?, 1, 20)?;
            required(parameters, "url").map(drop)
        }
        "location_request_message" => named("send_location"),
        "request_contact_info" => named("request_contact_info"),
        "catalog_message" => named("catalog_message"),
        "voice_call" => {
            named("voice_call")?;
            at_most(parameters, "display_text", 1, 20)
        }
        "flow" => {
            named("flow")?;
            required(parameters, "flow_message_version")?;
            length("flow_cta", required(parameters, "flow_cta")?, 1, 30)?;
            // A number is taken as well: pywa sends ids so.
            let given = |key: &str| parameters.get(key).is_some_and(|name| name.is_string() || name.is_number());
            if given("flow_id") == given("flow_name") {
                return Err(Refusal::invalid("A flow is named by either flow_id or flow_name."));
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
            Err(Refusal::invalid("A list of products has 1 to 10 sections and 1 to 30 products in all."))
        }
        "carousel" => match items(action, "cards")?.len() {
            2..=10 => Ok(()),
            count => Err(Refusal::invalid(format!("A carousel has 2 to 10 cards, not {count}."))),
        },
        _ => Ok(()),
    }
}

fn check_header(body: &Value, kinds: &[&str]) -> Checked {
    let Some(header) = body.get("header") else { return Ok(()) };
    let kind = required(header, "type")?;
    if !kinds.contains(&kind) {
        return Err(Refusal::invalid(format!("A header of type '{kind}' does not go with this message.")));
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
            return Err(Refusal::invalid("A button's type is 'reply'."));
        }
        let reply = part(button, "reply");
        let (id, title) = (required(reply, "id")?, required(reply, "title")?);
        length("Button id", id, 1, 256)?;
        length("Button title", title, 1, 20)?;
        if !ids.insert(id) || !titles.insert(title) {
            return Err(Refusal::invalid("Duplicated button: ids and titles are unique in a message."));
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
            at_most(row, "description", 0, 72)?;
            if !ids.insert(id) {
                return Err(Refusal::invalid(format!("Duplicated row id '{id}'.")));
            }
        }
    }
    // Ten in the whole message, not in a section.
    if !(1..=10).contains(&ids.len()) {
        return Err(Refusal::invalid(format!("Total row count {} is not between 1 and 10.", ids.len())));
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The member, or null where it is not there: what is missing in it is then told by its name.
fn part<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn items<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], Refusal> {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| Refusal::missing(key))
}

fn required<'a>(value: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    text(value, key).ok_or_else(|| Refusal::missing(key))
}

fn at_most(value: &Value, key: &str, least: usize, most: usize) -> Checked {
    match value.get(key) {
        None => Ok(()),
        Some(Value::String(text)) => length(key, text, least, most),
        Some(_) => Err(Refusal::invalid(format!("{key} is not a string."))),
    }
}

fn length(what: &str, text: &str, least: usize, most: usize) -> Checked {
    let count = text.chars().count();
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("{what} length invalid. Min length: {least}, Max length: {most}, it is {count}.")))
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
