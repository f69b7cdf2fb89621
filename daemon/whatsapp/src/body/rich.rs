//! Bodies with many forms: files, locations, contacts, forms, products, templates, pins (whatsapp.md 2.2 and 2.3).

use beadle_model::Outgoing;
use beadle_model::content::Location;
use beadle_model::outgoing::{
    Flow, Header, MediaKind, Parameter, ParameterValue, ProductSection, Source, Template, TemplateAction,
    TemplateHeader,
};
use serde_json::{Map, Value, json};

/// The platform's `type`, and the object under that key. `uploaded`: the id of the message's own file.
pub(super) fn object(body: &Outgoing, uploaded: Option<&str>) -> (&'static str, Value) {
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
        Outgoing::Location { location, .. } => ("location", self::location(location)),
        Outgoing::Contacts { contacts, .. } => ("contacts", contacts.clone()),
        Outgoing::CtaUrl { header, body, footer, title, url, .. } => {
            let action = json!({"name": "cta_url", "parameters": {"display_text": title, "url": url}});
            ("interactive", interactive("cta_url", (header.as_ref(), Some(body), footer.as_deref()), action, uploaded))
        }
        Outgoing::LocationRequest { body, .. } => {
            let action = json!({"name": "send_location"});
            ("interactive", interactive("location_request_message", (None, Some(body), None), action, None))
        }
        Outgoing::ContactRequest { body, .. } => {
            let action = json!({"name": "request_contact_info"});
            ("interactive", interactive("request_contact_info", (None, Some(body), None), action, None))
        }
        Outgoing::Flow(form) => ("interactive", flow(form, uploaded)),
        Outgoing::Product { body, footer, catalog, product, .. } => {
            let action = json!({"catalog_id": catalog, "product_retailer_id": product});
            ("interactive", interactive("product", (None, body.as_deref(), footer.as_deref()), action, None))
        }
        Outgoing::ProductList { header, body, footer, catalog, sections, .. } => {
            let header = Header::Text(header.clone());
            let action =
                json!({"catalog_id": catalog, "sections": sections.iter().map(product_section).collect::<Vec<_>>()});
            let around = (Some(&header), Some(body.as_str()), footer.as_deref());
            ("interactive", interactive("product_list", around, action, None))
        }
        Outgoing::Catalog { body, footer, product, .. } => {
            let mut action = json!({"name": "catalog_message"});
            if let (Some(product), Some(action)) = (product, action.as_object_mut()) {
                action.insert("parameters".to_owned(), json!({"thumbnail_product_retailer_id": product}));
            }
            ("interactive", interactive("catalog_message", (None, Some(body), footer.as_deref()), action, None))
        }
        Outgoing::Interactive { json, .. } => ("interactive", json.clone()),
        Outgoing::VoiceCall { body, title, ttl_minutes } => {
            let action =
                json!({"name": "voice_call", "parameters": {"display_text": title, "ttl_minutes": ttl_minutes}});
            ("interactive", interactive("voice_call", (None, Some(body), None), action, None))
        }
        Outgoing::Template(filled) => ("template", template(filled, uploaded)),
        Outgoing::Pin { message, days: Some(days) } => {
            ("pin", json!({"type": "pin", "message_id": message, "expiration_days": days}))
        }
        Outgoing::Pin { message, days: None } => ("pin", json!({"type": "unpin", "message_id": message})),
        // The others have bodies of their own; a change of a group is no message at all.
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
    let mut whole = Map::new();
    whole.insert("type".to_owned(), kind.name().into());
    whole.insert(kind.name().to_owned(), Value::Object(object));
    Value::Object(whole)
}

pub(super) fn header(header: &Header, uploaded: Option<&str>) -> Value {
    match header {
        Header::Text(text) => json!({"type": "text", "text": text}),
        Header::File { kind, source, filename } => named_file(*kind, source, filename.as_deref(), uploaded),
    }
}

fn location(place: &Location) -> Value {
    let mut object = Map::new();
    object.insert("latitude".to_owned(), json!(place.latitude));
    object.insert("longitude".to_owned(), json!(place.longitude));
    put(&mut object, "name", place.name.as_deref());
    put(&mut object, "address", place.address.as_deref());
    Value::Object(object)
}

fn interactive(
    kind: &str,
    (above, body, footer): (Option<&Header>, Option<&str>, Option<&str>),
    action: Value,
    uploaded: Option<&str>,
) -> Value {
    let mut object = Map::new();
    object.insert("type".to_owned(), kind.into());
    if let Some(above) = above {
        object.insert("header".to_owned(), header(above, uploaded));
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

/// The version of the message, the only one that the platform has.
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
    interactive("flow", (form.header.as_ref(), Some(&form.body), form.footer.as_deref()), action, uploaded)
}

fn template(template: &Template, uploaded: Option<&str>) -> Value {
    let mut components = Vec::new();
    if let Some(header) = &template.header {
        let parameter = match header {
            TemplateHeader::Text(filling) => parameter(filling),
            TemplateHeader::File { kind, source, filename } => named_file(*kind, source, filename.as_deref(), uploaded),
            TemplateHeader::Location(place) => json!({"type": "location", "location": location(place)}),
        };
        components.push(json!({"type": "header", "parameters": [parameter]}));
    }
    if !template.body.is_empty() {
        let parameters: Vec<Value> = template.body.iter().map(parameter).collect();
        components.push(json!({"type": "body", "parameters": parameters}));
    }
    for button in &template.buttons {
        let (sub_type, parameters) = action(&button.action);
        // The platform's examples write the index as a text.
        let index = button.index.to_string();
        components.push(json!({"type": "button", "sub_type": sub_type, "index": index, "parameters": parameters}));
    }
    let mut object = Map::new();
    put(&mut object, "name", Some(&template.name));
    object.insert("language".to_owned(), json!({"code": template.language}));
    if !components.is_empty() {
        object.insert("components".to_owned(), Value::Array(components));
    }
    Value::Object(object)
}

fn parameter(parameter: &Parameter) -> Value {
    let mut object = match &parameter.value {
        ParameterValue::Text(text) => json!({"type": "text", "text": text}),
        ParameterValue::Currency { fallback, code, amount_1000 } => json!({
            "type": "currency",
            "currency": {"fallback_value": fallback, "code": code, "amount_1000": amount_1000},
        }),
        ParameterValue::DateTime(shown) => json!({"type": "date_time", "date_time": {"fallback_value": shown}}),
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
        TemplateAction::Url(end) => ("url", json!([{"type": "text", "text": end}])),
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
