//! Fills a template with the parameters of a message, and checks that they match.

use super::draft::variables;
use super::{Status, Template};
use crate::refusal::Refusal;
use serde_json::{Map, Value, json};

/// The pricing category of a template; that of an unknown one is utility.
pub(crate) fn category_of(template: Option<&Template>) -> &'static str {
    match template.map(|template| template.category.as_str()) {
        Some("MARKETING") => "marketing",
        Some("AUTHENTICATION") => "authentication",
        _ => "utility",
    }
}

/// Whether a template can be sent only to a phone number. Authentication templates cannot be sent
/// to user ids.
pub(crate) fn needs_phone(template: &Template) -> bool {
    template.category == "AUTHENTICATION"
}

/// Checks the components of a message, and returns the filled template:
/// `{header, body, footer, buttons}`.
pub(crate) fn fill(template: &Template, components: Option<&Value>) -> Result<Value, Refusal> {
    match template.status {
        Status::Approved => {}
        Status::Paused => {
            return Err(Refusal::new(
                132_015,
                "Template is paused due to low quality, so it can't be sent in a template message.",
            ));
        }
        Status::Disabled => {
            return Err(Refusal::new(
                132_016,
                "Template has been paused too many times due to low quality and is now permanently disabled.",
            ));
        }
        Status::Pending | Status::Rejected | Status::PendingDeletion => {
            let Template { name, language, .. } = template;
            return Err(Refusal::new(132_001, format!("template name ({name}) is not approved in {language}")));
        }
    }
    let sent = match components {
        None => &[][..],
        Some(Value::Array(sent)) => sent,
        Some(_) => return Err(Refusal::new(132_018, "template['components'] must be an array.")),
    };
    let of_kind = |kind: &str| sent.iter().find(|part| is(part, "type", kind));
    let mut output = Map::new();
    for component in &template.components {
        let text = component.get("text").and_then(Value::as_str).unwrap_or_default();
        match component.get("type").and_then(Value::as_str) {
            Some("HEADER") => {
                output.insert("header".to_owned(), fill_header(template, component, text, of_kind("header"))?);
            }
            Some("BODY") => {
                let body = fill_text(template, "body", text, of_kind("body"))?;
                if body.chars().count() > 1024 {
                    return Err(Refusal::new(132_005, "Translated text too long: body"));
                }
                output.insert("body".to_owned(), json!(body));
            }
            Some("FOOTER") => {
                output.insert("footer".to_owned(), json!(text));
            }
            Some("BUTTONS") => {
                output.insert("buttons".to_owned(), fill_buttons(component, sent)?);
            }
            Some("CAROUSEL") => {
                output.insert("cards".to_owned(), fill_cards(template, component, of_kind("carousel"))?);
            }
            _ => {}
        }
    }
    refuse_surplus(template, sent)?;
    Ok(Value::Object(output))
}

fn is(part: &Value, key: &str, expected: &str) -> bool {
    part.get(key).and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case(expected))
}

fn parameters(part: Option<&Value>) -> &[Value] {
    part.and_then(|part| part.get("parameters")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Refuses components that the template does not have.
fn refuse_surplus(template: &Template, sent: &[Value]) -> Result<(), Refusal> {
    let has = |kind: &str| template.components.iter().any(|component| is(component, "type", kind));
    for part in sent {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let expected = match kind.as_str() {
            "button" => has("BUTTONS"),
            "header" | "body" => has(&kind) || parameters(Some(part)).is_empty(),
            "limited_time_offer" | "carousel" | "order_status" => true,
            other => return Err(Refusal::new(132_018, format!("'{other}' is not a component type."))),
        };
        if !expected {
            return Err(Refusal::new(
                132_000,
                format!("{kind}: number of localizable_params does not match: the template has no such component"),
            ));
        }
    }
    Ok(())
}

fn fill_text(template: &Template, part: &str, text: &str, sent: Option<&Value>) -> Result<String, Refusal> {
    let names = variables(text);
    let sent = parameters(sent);
    if names.len() != sent.len() {
        return Err(Refusal::new(
            132_000,
            format!(
                "{part}: number of localizable_params ({}) does not match the expected number of params ({})",
                sent.len(),
                names.len()
            ),
        ));
    }
    let mut output = text.to_owned();
    for (position, name) in names.iter().enumerate() {
        let parameter = if template.parameter_format == "NAMED" {
            sent.iter().find(|parameter| parameter.get("parameter_name").and_then(Value::as_str) == Some(name))
        } else {
            sent.get(position)
        };
        let parameter = parameter
            .ok_or_else(|| Refusal::new(132_000, format!("{part}: Parameter name is missing or empty: {name}")))?;
        output = output.replace(&format!("{{{{{name}}}}}"), &parameter_text(part, parameter)?);
    }
    Ok(output)
}

/// The text of a parameter.
fn parameter_text(part: &str, parameter: &Value) -> Result<String, Refusal> {
    // The platform ignores case here, as it does for components.
    let kind = parameter.get("type").and_then(Value::as_str).unwrap_or("text").to_lowercase();
    let fallback = |key: &str| parameter.get(key).and_then(|value| value.get("fallback_value")).and_then(Value::as_str);
    let text = match kind.as_str() {
        // Meta's examples have booleans here.
        "text" => match parameter.get("text") {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other @ (Value::Bool(_) | Value::Number(_))) => Some(other.to_string()),
            _ => None,
        },
        "currency" => fallback("currency").map(str::to_owned),
        "date_time" => fallback("date_time").map(str::to_owned),
        "group_id" => parameter.get("group_id").and_then(Value::as_str).map(str::to_owned),
        other => {
            return Err(Refusal::new(
                132_012,
                format!("{part}: Format mismatch, expected TEXT, received {}", other.to_uppercase()),
            ));
        }
    };
    match text {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Refusal::new(132_012, format!("{part}: Parameter of type {kind} is missing its text value"))),
    }
}

fn fill_header(template: &Template, component: &Value, text: &str, sent: Option<&Value>) -> Result<Value, Refusal> {
    let format = component.get("format").and_then(Value::as_str).unwrap_or("TEXT");
    if format == "TEXT" {
        return Ok(json!({"type": "text", "text": fill_text(template, "header", text, sent)?}));
    }
    // A GIF is a video that plays automatically, and may be sent as either type.
    let kind = if format == "GIF" { "video".to_owned() } else { format.to_lowercase() };
    let sent = parameters(sent);
    if sent.len() != 1 {
        return Err(Refusal::new(
            132_012,
            format!("header: Format mismatch, expected {format}, received UNKNOWN ({} parameters)", sent.len()),
        ));
    }
    let parameter = sent.first().unwrap_or(&Value::Null);
    let sent_kind = parameter.get("type").and_then(Value::as_str).unwrap_or_default();
    if !sent_kind.eq_ignore_ascii_case(&kind) && !sent_kind.eq_ignore_ascii_case(format) {
        return Err(Refusal::new(
            132_012,
            format!("header: Format mismatch, expected {format}, received {}", sent_kind.to_uppercase()),
        ));
    }
    let content = parameter.get(sent_kind).or_else(|| parameter.get(sent_kind.to_lowercase()));
    Ok(json!({"type": kind, kind: content}))
}

/// The buttons, each with its text and what a tap sends or opens.
fn fill_buttons(component: &Value, sent: &[Value]) -> Result<Value, Refusal> {
    let buttons = component.get("buttons").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut output = Vec::new();
    for (index, button) in buttons.iter().enumerate() {
        let text = |key: &str| button.get(key).and_then(Value::as_str);
        let kind = text("type").unwrap_or_default().to_uppercase();
        let part = sent.iter().find(|part| is(part, "type", "button") && index_of(part) == Some(index));
        let parameter = parameters(part).first();
        let value = |key: &str| parameter.and_then(|parameter| parameter.get(key)).map(plain);
        let label = text("text").unwrap_or(&kind);
        output.push(match kind.as_str() {
            "QUICK_REPLY" => {
                // Without a payload, a tap sends the label.
                let payload = value("payload").or_else(|| value("text")).unwrap_or_else(|| label.to_owned());
                json!({"type": "quick_reply", "text": label, "payload": payload})
            }
            "URL" => {
                let url = text("url").unwrap_or_default();
                let needs = !variables(url).is_empty();
                let suffix = value("text");
                if needs && suffix.is_none() {
                    return Err(Refusal::new(131_008, format!("buttons: Button at index {index} of type Url requires a parameter")));
                }
                let name = variables(url).first().map_or_else(String::new, |name| format!("{{{{{name}}}}}"));
                let url = if needs { url.replace(&name, &suffix.unwrap_or_default()) } else { url.to_owned() };
                json!({"type": "url", "text": label, "url": url})
            }
            "PHONE_NUMBER" => json!({"type": "phone_number", "text": label, "phone_number": text("phone_number")}),
            "FLOW" => json!({"type": "flow", "text": label, "flow_token": parameter.and_then(|p| p.pointer("/action/flow_token"))}),
            "OTP" | "COPY_CODE" => json!({"type": "copy_code", "text": text("text").unwrap_or("Copy code"), "code": value("text").or_else(|| value("coupon_code"))}),
            other => json!({"type": other.to_lowercase(), "text": label}),
        });
    }
    if let Some(surplus) = sent
        .iter()
        .filter(|part| is(part, "type", "button"))
        .find(|part| index_of(part).is_none_or(|at| at >= buttons.len()))
    {
        return Err(Refusal::new(
            132_018,
            format!(
                "buttons: the template has no button at index {}",
                plain(surplus.get("index").unwrap_or(&Value::Null))
            ),
        ));
    }
    Ok(Value::Array(output))
}

/// The cards of a carousel, each filled like a template.
fn fill_cards(template: &Template, component: &Value, sent: Option<&Value>) -> Result<Value, Refusal> {
    let cards = |value: Option<&Value>| {
        value.and_then(|component| component.get("cards")).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let (defined, sent) = (cards(Some(component)), cards(sent));
    if defined.len() != sent.len() {
        return Err(Refusal::new(
            132_012,
            format!("carousel: expected {} cards, received {}", defined.len(), sent.len()),
        ));
    }
    let mut output = Vec::new();
    for (defined, sent) in defined.iter().zip(&sent) {
        let components = defined.get("components").and_then(Value::as_array).cloned().unwrap_or_default();
        let card = Template { components, ..template.clone() };
        output.push(fill(&card, sent.get("components"))?);
    }
    Ok(Value::Array(output))
}

fn index_of(part: &Value) -> Option<usize> {
    match part.get("index")? {
        Value::String(index) => index.parse().ok(),
        index => index.as_u64().and_then(|index| usize::try_from(index).ok()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::Templates;
    use crate::templates::draft::check_draft;

    fn template(format: &str, components: Value) -> Template {
        let draft = check_draft(
            &json!({"name": "t", "language": "en", "category": "UTILITY", "parameter_format": format, "components": components}),
        );
        let mut templates = Templates::default();
        let mut template = templates.create(1, draft.unwrap(), 0).unwrap().clone();
        template.status = Status::Approved;
        template
    }

    fn order() -> Template {
        template(
            "POSITIONAL",
            json!([
                {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::x"]}},
                {"type": "BODY", "text": "Hello {{1}}, {{2}} is {{1}}", "example": {"body_text": [["a", "b"]]}},
                {"type": "BUTTONS", "buttons": [
                    {"type": "QUICK_REPLY", "text": "Thanks"},
                    {"type": "URL", "text": "Track", "url": "https://x.example/{{1}}", "example": ["1"]},
                ]},
            ]),
        )
    }

    fn parameters_for_order() -> Value {
        json!([
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "7"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "currency", "currency": {"fallback_value": "€ 5"}}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "yes-42"}]},
            {"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "abc"}]},
        ])
    }

    #[test]
    fn template_is_filled_with_parameters() {
        let output = fill(&order(), Some(&parameters_for_order())).unwrap();
        assert_eq!(
            output,
            json!({
                "header": {"type": "image", "image": {"id": "7"}},
                "body": "Hello Ana, € 5 is Ana",
                "buttons": [
                    {"type": "quick_reply", "text": "Thanks", "payload": "yes-42"},
                    {"type": "url", "text": "Track", "url": "https://x.example/abc"},
                ],
            })
        );
    }

    #[test]
    fn mismatching_parameters_are_refused() {
        let without = |part: usize| {
            let mut parameters = parameters_for_order();
            parameters.as_array_mut().unwrap().remove(part);
            parameters
        };
        let changed = |pointer: &str, to: Value| {
            let mut parameters = parameters_for_order();
            *parameters.pointer_mut(pointer).unwrap() = to;
            parameters
        };
        for (parameters, code) in [
            (without(0), 132_012),
            (without(1), 132_000),
            (without(3), 131_008),
            (changed("/0/parameters/0/type", json!("video")), 132_012),
            (changed("/1/parameters/0/text", json!("")), 132_012),
            (changed("/1/parameters/0/text", json!("x".repeat(1025))), 132_005),
            (changed("/3/index", json!(7)), 131_008),
            (changed("/0/type", json!("footer")), 132_012),
        ] {
            assert_eq!(fill(&order(), Some(&parameters)).unwrap_err().code, code, "{parameters}");
        }
    }

    #[test]
    fn named_parameters_are_matched_by_name() {
        let named = json!([{"type": "BODY", "text": "{{who}}: {{what}}",
            "example": {"body_text_named_params": [{"param_name": "who", "example": "x"}, {"param_name": "what", "example": "y"}]}}]);
        let template = template("NAMED", named);
        let parameters = |names: [&str; 2]| json!([{"type": "body", "parameters": names.map(|name| json!({"type": "text", "parameter_name": name, "text": name.to_uppercase()}))}]);
        assert_eq!(fill(&template, Some(&parameters(["what", "who"]))).unwrap()["body"], "WHO: WHAT");
        assert_eq!(fill(&template, Some(&parameters(["what", "when"]))).unwrap_err().code, 132_000);
    }

    #[test]
    fn template_must_be_approved() {
        for (status, code) in [
            (Status::Pending, 132_001),
            (Status::Rejected, 132_001),
            (Status::Paused, 132_015),
            (Status::Disabled, 132_016),
            (Status::PendingDeletion, 132_001),
        ] {
            let template = Template { status, ..order() };
            assert_eq!(fill(&template, Some(&parameters_for_order())).unwrap_err().code, code);
        }
    }
}
