//! The bodies of `POST /{number}/messages` (docs/whatsapp.md#requests and docs/whatsapp.md#bodies).
//!
//! Frequent types (text, buttons, lists, reactions, read marks) are serialised from borrowed
//! structs; the others are built as a JSON tree. Buttons, sections and rows use the model's own
//! serialisation, whose member names are the platform's. The tests compare with Meta's examples.

use beadle_model::content::Location;
use beadle_model::outgoing::{
    Button, Flow, Header, MediaKind, Parameter, ParameterValue, ProductSection, Section, Source, Template,
    TemplateAction, TemplateButton, TemplateCard, TemplateHeader,
};
use beadle_model::{AliasKind, Outgoing};
use beadle_pipeline::SendRequest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Message(Message<'a>),
    Status(Status<'a>),
}

/// Everything except read marks.
#[derive(Serialize)]
struct Message<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(flatten)]
    to: To<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Quote<'a>>,
    #[serde(flatten)]
    content: MessageContent<'a>,
    #[serde(flatten)]
    direct: Option<DirectSend<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    biz_opaque_callback_data: &'a str,
}

/// Makes a business-initiated message without a template (docs/whatsapp.md#direct-send).
#[derive(Clone, Copy, Serialize)]
struct DirectSend<'a> {
    category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_send_config: Option<DirectSendConfig<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct DirectSendConfig<'a> {
    template_name: &'a str,
}

/// A read mark, optionally with a typing indicator. It names an inbound message and therefore needs
/// no recipient.
#[derive(Serialize)]
struct Status<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<Typing>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum To<'a> {
    /// A phone number or a group id.
    To(Cow<'a, str>),
    /// A business-scoped user id; the platform drops one in `to` (docs/whatsapp.md#identities).
    Recipient(&'a str),
}

#[derive(Serialize)]
struct Quote<'a> {
    message_id: &'a str,
}

/// The members `type` and the one that it names.
#[derive(Serialize)]
#[serde(untagged)]
enum MessageContent<'a> {
    Borrowed(Kind<'a>),
    Tree(Map<String, Value>),
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
enum Kind<'a> {
    Text { text: Text<'a> },
    Reaction { reaction: Reaction<'a> },
    Interactive { interactive: Interactive<'a> },
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Serialize)]
struct Reaction<'a> {
    message_id: &'a str,
    emoji: &'a str,
}

#[derive(Serialize)]
struct Typing {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Interactive<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Value>,
    body: Line<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Line<'a>>,
    action: Action<'a>,
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Action<'a> {
    Buttons { buttons: Vec<ReplyButton<'a>> },
    List { button: &'a str, sections: &'a [Section] },
}

#[derive(Serialize)]
struct ReplyButton<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reply: &'a Button,
}

/// Writes the body as JSON. `uploaded` is the platform's id of the message's file, if it carries
/// one of ours.
pub(crate) fn write(request: &SendRequest, uploaded: Option<&str>) -> Vec<u8> {
    let outgoing = match &request.body {
        Outgoing::Direct(direct) => &direct.message,
        other => other,
    };
    let body = match outgoing {
        Outgoing::Text { body, preview_url, quote } => {
            message(request, quote, Kind::Text { text: Text { body, preview_url: *preview_url } })
        }
        Outgoing::Buttons { header, body, footer, buttons, quote } => {
            let buttons = buttons.iter().map(|reply| ReplyButton { kind: "reply", reply }).collect();
            let header = header.as_ref().map(|header| header_tree(header, uploaded));
            interactive(request, quote, "button", (header, body, footer), Action::Buttons { buttons })
        }
        Outgoing::List { header, body, footer, button, sections, quote } => {
            let header = header.clone().map(|text| header_tree(&Header::Text(text), None));
            interactive(request, quote, "list", (header, body, footer), Action::List { button, sections })
        }
        Outgoing::Reaction { to, emoji } => {
            message(request, &None, Kind::Reaction { reaction: Reaction { message_id: to, emoji } })
        }
        Outgoing::MarkRead { message } => status(message, None),
        Outgoing::Typing { to } => status(to, Some(Typing { kind: "text" })),
        other => {
            let (kind, object) = tree(other, uploaded);
            let mut parts = Map::new();
            parts.insert("type".to_owned(), kind.into());
            parts.insert(kind.to_owned(), object);
            envelope(request, other.quote(), MessageContent::Tree(parts))
        }
    };
    // Only strings, flags and numbers under fixed names, which always serialise.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn message<'a>(request: &'a SendRequest, quote: &'a Option<String>, kind: Kind<'a>) -> Body<'a> {
    envelope(request, quote.as_deref(), MessageContent::Borrowed(kind))
}

fn envelope<'a>(request: &'a SendRequest, quote: Option<&'a str>, content: MessageContent<'a>) -> Body<'a> {
    let (recipient_type, to) = match &request.group {
        Some(group) => ("group", To::To(Cow::Borrowed(group))),
        None => ("individual", individual(&request.to.value, request.to.kind)),
    };
    Body::Message(Message {
        messaging_product: "whatsapp",
        recipient_type,
        to,
        context: quote.map(|message_id| Quote { message_id }),
        content,
        direct: direct_send(&request.body),
        biz_opaque_callback_data: &request.callback,
    })
}

fn direct_send(body: &Outgoing) -> Option<DirectSend<'_>> {
    let Outgoing::Direct(direct) = body else { return None };
    let config = direct.template_name.as_deref().map(|template_name| DirectSendConfig { template_name });
    Some(DirectSend { category: &direct.category, direct_send_config: config })
}

/// The address of a person. A number is written with `+`: without it the platform may prepend the
/// country code of the business.
fn individual(value: &str, kind: AliasKind) -> To<'_> {
    match kind {
        AliasKind::UserId | AliasKind::ParentUserId => To::Recipient(value),
        AliasKind::Phone | AliasKind::WaId if value.bytes().all(|byte| byte.is_ascii_digit()) => {
            To::To(Cow::Owned(format!("+{value}")))
        }
        AliasKind::Phone | AliasKind::WaId => To::To(Cow::Borrowed(value)),
    }
}

fn interactive<'a>(
    request: &'a SendRequest,
    quote: &'a Option<String>,
    kind: &'static str,
    (header, body, footer): (Option<Value>, &'a str, &'a Option<String>),
    action: Action<'a>,
) -> Body<'a> {
    let interactive = Interactive {
        kind,
        header,
        body: Line { text: body },
        footer: footer.as_deref().map(|text| Line { text }),
        action,
    };
    message(request, quote, Kind::Interactive { interactive })
}

fn status<'a>(message_id: &'a str, typing_indicator: Option<Typing>) -> Body<'a> {
    Body::Status(Status { messaging_product: "whatsapp", status: "read", message_id, typing_indicator })
}

/// The platform's `type` and the object under that key, for types without a struct of their own.
fn tree(body: &Outgoing, uploaded: Option<&str>) -> (&'static str, Value) {
    match body {
        Outgoing::Media { media, source, caption, filename, voice, .. } => {
            let mut object = file(source, uploaded);
            put(&mut object, "caption", caption.as_deref());
            put(&mut object, "filename", filename.as_deref());
            if *voice {
                object.insert("voice".to_owned(), true.into());
            }
            (media.name(), Value::Object(object))
        }
        Outgoing::Location { location, .. } => ("location", location_tree(location)),
        Outgoing::Contacts { contacts, .. } => ("contacts", contacts.clone()),
        Outgoing::CtaUrl { header, body, footer, title, url, .. } => {
            let action = json!({"name": "cta_url", "parameters": {"display_text": title, "url": url}});
            (
                "interactive",
                interactive_tree("cta_url", (header.as_ref(), Some(body), footer.as_deref()), action, uploaded),
            )
        }
        Outgoing::LocationRequest { body, .. } => {
            let action = json!({"name": "send_location"});
            ("interactive", interactive_tree("location_request_message", (None, Some(body), None), action, None))
        }
        Outgoing::ContactRequest { body, .. } => {
            let action = json!({"name": "request_contact_info"});
            ("interactive", interactive_tree("request_contact_info", (None, Some(body), None), action, None))
        }
        Outgoing::Flow(form) => ("interactive", flow(form, uploaded)),
        Outgoing::Product { body, footer, catalog, product, .. } => {
            let action = json!({"catalog_id": catalog, "product_retailer_id": product});
            ("interactive", interactive_tree("product", (None, body.as_deref(), footer.as_deref()), action, None))
        }
        Outgoing::ProductList { header, body, footer, catalog, sections, .. } => {
            let header = Header::Text(header.clone());
            let sections: Vec<Value> = sections.iter().map(product_section).collect();
            let action = json!({"catalog_id": catalog, "sections": sections});
            let text = (Some(&header), Some(body.as_str()), footer.as_deref());
            ("interactive", interactive_tree("product_list", text, action, None))
        }
        Outgoing::Catalog { body, footer, product, .. } => {
            let mut action = json!({"name": "catalog_message"});
            if let (Some(product), Some(action)) = (product, action.as_object_mut()) {
                action.insert("parameters".to_owned(), json!({"thumbnail_product_retailer_id": product}));
            }
            ("interactive", interactive_tree("catalog_message", (None, Some(body), footer.as_deref()), action, None))
        }
        Outgoing::Interactive { json, .. } => ("interactive", json.clone()),
        Outgoing::VoiceCall { body, title, ttl_minutes } => {
            let action =
                json!({"name": "voice_call", "parameters": {"display_text": title, "ttl_minutes": ttl_minutes}});
            ("interactive", interactive_tree("voice_call", (None, Some(body), None), action, None))
        }
        Outgoing::Template(message) => ("template", template(message, uploaded)),
        Outgoing::Pin { message, days: Some(days) } => {
            ("pin", json!({"type": "pin", "message_id": message, "expiration_days": days}))
        }
        Outgoing::Pin { message, days: None } => ("pin", json!({"type": "unpin", "message_id": message})),
        // These are serialised from structs; a change of a group is not a message.
        Outgoing::Text { .. }
        | Outgoing::Buttons { .. }
        | Outgoing::List { .. }
        | Outgoing::Reaction { .. }
        | Outgoing::MarkRead { .. }
        | Outgoing::Typing { .. }
        | Outgoing::Direct(_)
        | Outgoing::Group(_) => ("text", Value::Null),
    }
}

fn put(object: &mut Map<String, Value>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        object.insert(key.to_owned(), text.into());
    }
}

fn file(source: &Source, uploaded: Option<&str>) -> Map<String, Value> {
    let mut object = Map::new();
    match source {
        Source::Link(url) => put(&mut object, "link", Some(url)),
        Source::Media(_) => put(&mut object, "id", uploaded),
    }
    object
}

fn named_file(kind: MediaKind, source: &Source, filename: Option<&str>, uploaded: Option<&str>) -> Value {
    let mut object = file(source, uploaded);
    put(&mut object, "filename", filename);
    let mut typed = Map::new();
    typed.insert("type".to_owned(), kind.name().into());
    typed.insert(kind.name().to_owned(), Value::Object(object));
    Value::Object(typed)
}

fn header_tree(header: &Header, uploaded: Option<&str>) -> Value {
    match header {
        Header::Text(text) => json!({"type": "text", "text": text}),
        Header::File { kind, source, filename } => named_file(*kind, source, filename.as_deref(), uploaded),
    }
}

fn location_tree(location: &Location) -> Value {
    let mut object = Map::new();
    object.insert("latitude".to_owned(), json!(location.latitude));
    object.insert("longitude".to_owned(), json!(location.longitude));
    put(&mut object, "name", location.name.as_deref());
    put(&mut object, "address", location.address.as_deref());
    Value::Object(object)
}

fn interactive_tree(
    kind: &str,
    (heading, body, footer): (Option<&Header>, Option<&str>, Option<&str>),
    action: Value,
    uploaded: Option<&str>,
) -> Value {
    let mut object = Map::new();
    object.insert("type".to_owned(), kind.into());
    if let Some(heading) = heading {
        object.insert("header".to_owned(), header_tree(heading, uploaded));
    }
    if let Some(body) = body {
        object.insert("body".to_owned(), json!({"text": body}));
    }
    if let Some(footer) = footer {
        object.insert("footer".to_owned(), json!({"text": footer}));
    }
    object.insert("action".to_owned(), action);
    Value::Object(object)
}

fn product_section(section: &ProductSection) -> Value {
    let items: Vec<Value> = section.products.iter().map(|product| json!({"product_retailer_id": product})).collect();
    let mut object = Map::new();
    put(&mut object, "title", Some(section.title.as_str()).filter(|title| !title.is_empty()));
    object.insert("product_items".to_owned(), Value::Array(items));
    Value::Object(object)
}

/// The version of flow messages; the platform has only this one.
const FLOW_VERSION: &str = "3";

fn flow(form: &Flow, uploaded: Option<&str>) -> Value {
    let mut parameters = Map::new();
    put(&mut parameters, "flow_message_version", Some(FLOW_VERSION));
    put(&mut parameters, if form.by_name { "flow_name" } else { "flow_id" }, Some(&form.flow));
    put(&mut parameters, "flow_token", Some(&form.token));
    put(&mut parameters, "flow_cta", Some(&form.button));
    put(&mut parameters, "flow_action", Some(if form.screen.is_some() { "navigate" } else { "data_exchange" }));
    if let Some(screen) = &form.screen {
        let mut payload = json!({"screen": screen});
        if let (false, Some(payload)) = (form.data.is_null(), payload.as_object_mut()) {
            payload.insert("data".to_owned(), form.data.clone());
        }
        parameters.insert("flow_action_payload".to_owned(), payload);
    }
    put(&mut parameters, "mode", form.draft.then_some("draft"));
    let action = json!({"name": "flow", "parameters": parameters});
    interactive_tree("flow", (form.header.as_ref(), Some(&form.body), form.footer.as_deref()), action, uploaded)
}

fn template(template: &Template, uploaded: Option<&str>) -> Value {
    let mut parts = components(template.header.as_ref(), &template.body, &template.buttons, uploaded);
    if !template.cards.is_empty() {
        let card = |(index, card): (usize, &TemplateCard)| {
            // The files of cards have web addresses.
            json!({"card_index": index, "components": components(Some(&card.header), &card.body, &card.buttons, None)})
        };
        let cards: Vec<Value> = template.cards.iter().enumerate().map(card).collect();
        parts.push(json!({"type": "carousel", "cards": cards}));
    }
    let mut object = Map::new();
    put(&mut object, "name", Some(&template.name));
    object.insert("language".to_owned(), json!({"code": template.language}));
    if !parts.is_empty() {
        object.insert("components".to_owned(), Value::Array(parts));
    }
    Value::Object(object)
}

/// The filled parts of a template, or of one card.
fn components(
    header: Option<&TemplateHeader>,
    body: &[Parameter],
    buttons: &[TemplateButton],
    uploaded: Option<&str>,
) -> Vec<Value> {
    let mut components = Vec::new();
    if let Some(header) = header {
        let parameter = match header {
            TemplateHeader::Text(filling) => parameter(filling),
            TemplateHeader::File { kind, source, filename } => named_file(*kind, source, filename.as_deref(), uploaded),
            TemplateHeader::Location(location) => json!({"type": "location", "location": location_tree(location)}),
        };
        components.push(json!({"type": "header", "parameters": [parameter]}));
    }
    if !body.is_empty() {
        let parameters: Vec<Value> = body.iter().map(parameter).collect();
        components.push(json!({"type": "body", "parameters": parameters}));
    }
    for button in buttons {
        let (sub_type, parameters) = action(&button.action);
        // The platform's examples write the index as a string.
        let index = button.index.to_string();
        components.push(json!({"type": "button", "sub_type": sub_type, "index": index, "parameters": parameters}));
    }
    components
}

fn parameter(parameter: &Parameter) -> Value {
    let mut object = match &parameter.value {
        ParameterValue::Text(text) => json!({"type": "text", "text": text}),
        ParameterValue::Currency { fallback, code, amount_1000 } => json!({
            "type": "currency",
            "currency": {"fallback_value": fallback, "code": code, "amount_1000": amount_1000},
        }),
        ParameterValue::DateTime(text) => json!({"type": "date_time", "date_time": {"fallback_value": text}}),
        ParameterValue::Group(group) => json!({"type": "group_id", "group_id": group}),
    };
    if let (Some(name), Some(object)) = (&parameter.name, object.as_object_mut()) {
        put(object, "parameter_name", Some(name));
    }
    object
}

fn action(action: &TemplateAction) -> (&str, Value) {
    match action {
        TemplateAction::Reply(payload) => ("quick_reply", json!([{"type": "payload", "payload": payload}])),
        TemplateAction::Url(suffix) => ("url", json!([{"type": "text", "text": suffix}])),
        TemplateAction::CopyCode(code) => ("copy_code", json!([{"type": "coupon_code", "coupon_code": code}])),
        TemplateAction::Flow { token, data } => {
            let mut start = json!({"flow_token": token});
            if let (false, Some(start)) = (data.is_null(), start.as_object_mut()) {
                start.insert("flow_action_data".to_owned(), data.clone());
            }
            ("flow", json!([{"type": "action", "action": start}]))
        }
        TemplateAction::Other { kind, json } => (kind, json.clone()),
    }
}
