//! Limits of all messages beyond texts, buttons and lists (`docs/whatsapp.md#bodies`).
//!
//! Only the form of a link is checked here; what it leads to is checked by the platform.

use super::parts::{
    BUTTON_TITLE, FOOTER, HEADER, SECTIONS, check_message_id, check_text, empty, quoted, short, some_of, unique,
};
use beadle_model::content::Location;
use beadle_model::outgoing::{
    Direct, Flow, GroupChange, Header, MediaKind, Parameter, ParameterValue, ProductSection, Source, Template,
    TemplateAction, TemplateButton, TemplateHeader,
};
use beadle_model::{Outgoing, Refusal};
use serde_json::Value;

/// Characters of a caption, and of the text of an interactive message.
pub const CAPTION: usize = 1024;
/// Characters of a file name. The platform documents no limit; file systems have one.
pub const FILENAME: usize = 240;
/// Characters of a web address: the limit of browsers.
pub const URL: usize = 2000;
/// Characters of a location's name or address. The platform documents no limit.
pub const LOCATION: usize = 1000;
/// Contacts in one message. The platform documents no limit for sending; its clients share at
/// most 257.
pub const CONTACTS: usize = 257;
/// Characters of the button that opens a flow.
pub const FLOW_BUTTON: usize = 30;
/// Characters of opaque ids and tokens.
pub const TOKEN: usize = 1024;
/// Products in a list of products.
pub const PRODUCTS: usize = 30;
/// Characters of the title of a product section.
pub const PRODUCT_SECTION_TITLE: usize = 24;
/// Characters of a template's name.
pub const TEMPLATE_NAME: usize = 512;
/// Buttons of a template.
pub const TEMPLATE_BUTTONS: usize = 10;
/// Cards of a template's carousel.
pub const TEMPLATE_CARDS: usize = 10;
/// Characters of the topic of a marketing template.
pub const TOPIC: usize = 64;
/// Parameters of a template's text: more than fit into its 1,024 characters.
pub const PARAMETERS: usize = 100;
/// Characters of a quick-reply button's payload in a template.
pub const PAYLOAD: usize = 128;
/// Bytes of a message as the platform's JSON: far more than any kind needs.
pub const JSON_BYTES: usize = 64 * 1024;
/// Nesting of a message as the platform's JSON: more than any kind needs, less than parsers read.
pub const JSON_DEPTH: usize = 32;
/// Characters of a group's subject.
pub const SUBJECT: usize = 128;
/// Characters of a group's description.
pub const DESCRIPTION: usize = 2048;
/// Members of a group, and so of one removal.
pub const PEOPLE: usize = 8;
/// Join requests in one answer. The platform documents no limit; its pages have 25.
pub const REQUESTS: usize = 25;
/// Minutes for which a call button works: 30 days.
pub const VOICE_CALL_MINUTES: u32 = 43_200;
/// Days for which a message is pinned.
pub const PIN_DAYS: u32 = 30;

pub(super) fn check(body: &Outgoing) -> Result<(), Refusal> {
    quoted(&body.quote().map(str::to_owned))?;
    match body {
        Outgoing::Media { media, source, caption, filename, voice, .. } => {
            file(source)?;
            if caption.is_some() && matches!(media, MediaKind::Audio | MediaKind::Sticker) {
                let kind = media.name();
                return Err(bad_message(format!("WhatsApp shows no caption with {kind}. Send a text after it.")));
            }
            if *voice && *media != MediaKind::Audio {
                return Err(bad_message("Only audio can be a voice message."));
            }
            caption.iter().try_for_each(|text| short("the caption", text, CAPTION))?;
            filename.iter().try_for_each(|name| check_text("the file's name", name, FILENAME))
        }
        Outgoing::Location { location, .. } => self::location(location),
        Outgoing::Contacts { contacts, .. } => self::contacts(contacts),
        Outgoing::CtaUrl { header, body, footer, title, url, .. } => {
            above(header)?;
            text_and_footer(body, footer)?;
            check_text("the button", title, BUTTON_TITLE)?;
            address(url)
        }
        Outgoing::LocationRequest { body, .. } | Outgoing::ContactRequest { body, .. } => {
            check_text("the text", body, CAPTION)
        }
        Outgoing::Flow(form) => flow(form),
        Outgoing::Product { body, footer, catalog, product, .. } => {
            body.iter().try_for_each(|body| check_text("the text", body, CAPTION))?;
            footer.iter().try_for_each(|text| check_text("the footer", text, FOOTER))?;
            check_text("the catalogue's id", catalog, TOKEN)?;
            check_text("the product's id", product, TOKEN)
        }
        Outgoing::ProductList { header, body, footer, catalog, sections, .. } => {
            check_text("the header", header, HEADER)?;
            text_and_footer(body, footer)?;
            check_text("the catalogue's id", catalog, TOKEN)?;
            products(sections)
        }
        Outgoing::Catalog { body, footer, product, .. } => {
            text_and_footer(body, footer)?;
            product.iter().try_for_each(|product| check_text("the product's id", product, TOKEN))
        }
        Outgoing::Interactive { json, .. } => {
            if json.get("type").is_none_or(|kind| !kind.is_string()) {
                return Err(bad_message("An interactive message must be a JSON object with a `type`."));
            }
            bytes(json)
        }
        Outgoing::Template(template) => self::template(template),
        Outgoing::Direct(written) => direct(written),
        Outgoing::VoiceCall { .. } => Err(bad_message("A voice-call button can be sent only by Direct Send.")),
        Outgoing::Pin { message, days } => {
            check_message_id(message)?;
            match days {
                Some(days) if !(1..=PIN_DAYS).contains(days) => {
                    Err(bad_message(format!("A message can be pinned for 1 to {PIN_DAYS} days, not {days}.")))
                }
                _ => Ok(()),
            }
        }
        Outgoing::Group(change) => group(change),
        _ => Ok(()),
    }
}

fn bad_message(text: impl Into<String>) -> Refusal {
    Refusal::new("bad-message", text)
}

fn address(url: &str) -> Result<(), Refusal> {
    check_text("the address", url, URL)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(str::is_empty) || url.contains(char::is_whitespace) {
        return Err(bad_message("A web address must start with https:// or http:// and contain no spaces."));
    }
    Ok(())
}

fn file(source: &Source) -> Result<(), Refusal> {
    match source {
        Source::Link(url) => address(url),
        Source::Media(_) => Ok(()),
    }
}

pub(super) fn above(header: &Option<Header>) -> Result<(), Refusal> {
    match header {
        None => Ok(()),
        Some(Header::Text(text)) => check_text("the header", text, HEADER),
        Some(Header::File { source, filename, .. }) => {
            file(source)?;
            filename.iter().try_for_each(|name| check_text("the file's name", name, FILENAME))
        }
    }
}

fn text_and_footer(body: &str, footer: &Option<String>) -> Result<(), Refusal> {
    check_text("the text", body, CAPTION)?;
    footer.iter().try_for_each(|text| check_text("the footer", text, FOOTER))
}

fn location(location: &Location) -> Result<(), Refusal> {
    if !(-90.0..=90.0).contains(&location.latitude) || !(-180.0..=180.0).contains(&location.longitude) {
        return Err(bad_message("A latitude must be within -90 and 90 degrees, a longitude within -180 and 180."));
    }
    let mut texts = location.name.iter().chain(&location.address);
    texts.try_for_each(|text| short("the location's name", text, LOCATION))
}

fn contacts(contacts: &Value) -> Result<(), Refusal> {
    let contacts = contacts.as_array().ok_or_else(|| bad_message("Contacts must be a JSON array."))?;
    some_of("contacts", contacts.len(), CONTACTS)?;
    for contact in contacts {
        let name = contact.pointer("/name/formatted_name").and_then(Value::as_str).unwrap_or_default();
        check_text("a contact's `name.formatted_name`", name, TOKEN)?;
    }
    contacts.iter().try_for_each(bytes)
}

fn bytes(json: &Value) -> Result<(), Refusal> {
    if is_deeper_than(json, JSON_DEPTH) {
        return Err(bad_message(format!("The JSON is nested more than {JSON_DEPTH} levels deep.")));
    }
    json_length(json.to_string().len())
}

pub(super) fn json_length(bytes: usize) -> Result<(), Refusal> {
    if bytes <= JSON_BYTES {
        return Ok(());
    }
    Err(Refusal::new("too-long", format!("The JSON has {bytes} bytes; the maximum is {JSON_BYTES}.")))
}

fn is_deeper_than(json: &Value, depth: usize) -> bool {
    let is_too_deep = |inner: &Value| depth.checked_sub(1).is_none_or(|left| is_deeper_than(inner, left));
    match json {
        Value::Array(items) => items.iter().any(is_too_deep),
        Value::Object(fields) => fields.values().any(is_too_deep),
        _ => false,
    }
}

fn flow(form: &Flow) -> Result<(), Refusal> {
    above(&form.header)?;
    text_and_footer(&form.body, &form.footer)?;
    check_text("the flow's id", &form.flow, TOKEN)?;
    check_text("the flow's token", &form.token, TOKEN)?;
    check_text("what opens the flow", &form.button, FLOW_BUTTON)?;
    form.screen.iter().try_for_each(|screen| check_text("the first screen", screen, TOKEN))?;
    if !form.data.is_null() && !form.data.is_object() {
        return Err(bad_message("The input of a flow's screen must be a JSON object."));
    }
    bytes(&form.data)
}

fn products(sections: &[ProductSection]) -> Result<(), Refusal> {
    some_of("sections", sections.len(), SECTIONS)?;
    some_of("products", sections.iter().map(|section| section.products.len()).sum(), PRODUCTS)?;
    for section in sections {
        if section.products.is_empty() {
            return Err(empty("a section"));
        }
        if sections.len() > 1 || !section.title.is_empty() {
            check_text("the title of a section", &section.title, PRODUCT_SECTION_TITLE)?;
        }
        section.products.iter().try_for_each(|product| check_text("a product's id", product, TOKEN))?;
    }
    Ok(())
}

fn template_name(name: &str) -> Result<(), Refusal> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    check_text("the template's name", name, TEMPLATE_NAME)?;
    if name.chars().all(is_name) {
        return Ok(());
    }
    Err(bad_message("A template's name must contain only lower-case letters, digits and `_`."))
}

fn template(template: &Template) -> Result<(), Refusal> {
    template_name(&template.name)?;
    check_text("the template's language", &template.language, FILENAME)?;
    template.category.iter().try_for_each(|category| short("the template's category", category, TOKEN))?;
    template.topic.iter().try_for_each(|topic| check_text("the topic", topic, TOPIC))?;
    template_parts(template.header.as_ref(), &template.body, &template.buttons)?;
    if template.cards.len() > TEMPLATE_CARDS {
        some_of("cards", template.cards.len(), TEMPLATE_CARDS)?;
    }
    template.cards.iter().try_for_each(|card| {
        if let TemplateHeader::File { source: Source::Media(_), .. } = &card.header {
            return Err(bad_message("The file of a card must be a web address."));
        }
        template_parts(Some(&card.header), &card.body, &card.buttons)
    })
}

/// Header, text and buttons of a template or of one of its cards.
fn template_parts(
    header: Option<&TemplateHeader>,
    body: &[Parameter],
    buttons: &[TemplateButton],
) -> Result<(), Refusal> {
    match header {
        Some(TemplateHeader::Text(parameter)) => filling(parameter)?,
        Some(TemplateHeader::File { source, filename, .. }) => {
            file(source)?;
            filename.iter().try_for_each(|name| check_text("the file's name", name, FILENAME))?;
        }
        Some(TemplateHeader::Location(at)) => location(at)?,
        None => {}
    }
    if body.len() > PARAMETERS {
        some_of("places of a template", body.len(), PARAMETERS)?;
    }
    body.iter().try_for_each(filling)?;
    let with_name = body.iter().filter(|parameter| parameter.name.is_some()).count();
    if with_name != 0 && with_name != body.len() {
        return Err(bad_message("Either all parameters of a template must have a name, or none."));
    }
    unique("places", "name", body.iter().filter_map(|parameter| parameter.name.as_ref()))?;
    if buttons.len() > TEMPLATE_BUTTONS {
        some_of("buttons", buttons.len(), TEMPLATE_BUTTONS)?;
    }
    buttons.iter().try_for_each(|button| match &button.action {
        TemplateAction::Reply(payload) => check_text("a button's payload", payload, PAYLOAD),
        TemplateAction::Url(end) => check_text("the end of a button's address", end, URL),
        TemplateAction::CopyCode(code) => check_text("the code", code, BUTTON_TITLE),
        TemplateAction::Flow { token, data } => check_text("the flow's token", token, TOKEN).and_then(|()| bytes(data)),
        TemplateAction::Other { kind, json } => short("the button's kind", kind, TOKEN).and_then(|()| bytes(json)),
    })
}

/// The limits of Direct Send (`docs/whatsapp.md#direct-send`).
fn direct(direct: &Direct) -> Result<(), Refusal> {
    match direct.category.as_str() {
        "utility" => {}
        "authentication" if !matches!(direct.message, Outgoing::Text { .. }) => {
            return Err(bad_message("Direct Send allows only a text for authentication."));
        }
        "authentication" => {}
        "marketing" => {
            return Err(
                bad_message("Direct Send does not allow marketing.").instead("Send an approved marketing template.")
            );
        }
        other => {
            return Err(bad_message(format!("Direct Send allows only utility and authentication, not `{other}`.")));
        }
    }
    direct.template_name.iter().try_for_each(|name| template_name(name))?;
    match &direct.message {
        Outgoing::VoiceCall { body, title, ttl_minutes } => {
            check_text("the text", body, CAPTION)?;
            check_text("the button", title, BUTTON_TITLE)?;
            match ttl_minutes {
                1..=VOICE_CALL_MINUTES => Ok(()),
                other => Err(bad_message(format!(
                    "A voice-call button can last 1 to {VOICE_CALL_MINUTES} minutes, not {other}."
                ))),
            }
        }
        Outgoing::Text { .. } | Outgoing::Buttons { .. } | Outgoing::CtaUrl { .. } => Ok(()),
        _ => Err(bad_message("Direct Send allows only texts, buttons, cta-url buttons and voice-call buttons.")
            .instead("Send an approved template, or wait until they write.")),
    }
}

fn filling(parameter: &Parameter) -> Result<(), Refusal> {
    parameter.name.iter().try_for_each(|name| short("the name of a template's variable", name, TOKEN))?;
    match &parameter.value {
        ParameterValue::Text(text) => {
            if text.contains(['\n', '\t']) || text.contains("     ") {
                return Err(bad_message(
                    "What fills a template has no line breaks, tabs or more than four spaces in a row.",
                ));
            }
            check_text("what fills the template", text, CAPTION)
        }
        ParameterValue::Currency { fallback, code, .. } => {
            check_text("the amount", fallback, CAPTION)?;
            if code.len() == 3 {
                Ok(())
            } else {
                Err(bad_message("A currency must be an ISO 4217 code such as `EUR`."))
            }
        }
        ParameterValue::DateTime(text) => check_text("the date", text, CAPTION),
        ParameterValue::Group(group) => check_text("the group's id", group, TOKEN),
    }
}

fn group(change: &GroupChange) -> Result<(), Refusal> {
    let described =
        |text: &Option<String>| text.iter().try_for_each(|text| short("the description", text, DESCRIPTION));
    match change {
        GroupChange::Create { subject, description, .. } => {
            check_text("the group's subject", subject, SUBJECT)?;
            described(description)
        }
        GroupChange::Settings { subject: None, description: None } => Err(empty("the change")),
        GroupChange::Settings { subject, description } => {
            subject.iter().try_for_each(|subject| check_text("the group's subject", subject, SUBJECT))?;
            described(description)
        }
        GroupChange::Answer { requests, .. } => {
            some_of("requests", requests.len(), REQUESTS)?;
            requests.iter().try_for_each(|request| check_text("a request's id", request, TOKEN))?;
            unique("requests", "id", requests.iter())
        }
        GroupChange::Remove { contacts } => some_of("people to remove", contacts.len(), PEOPLE),
        GroupChange::Picture { .. } | GroupChange::Delete | GroupChange::InviteLink { .. } | GroupChange::Refresh => {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
