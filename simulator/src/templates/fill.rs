//! A template and the parameters it is sent with: whether they go together, and what its reader sees.

use super::{Status, Template};
use crate::refusal::Refusal;
use serde_json::{Map, Value, json};

/// The names between `{{` and `}}`, each once, in their order.
pub(crate) fn variables(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        if !name.trim().is_empty() && !found.contains(&name.trim()) {
            found.push(name.trim());
        }
        rest = tail;
    }
    found
}

/// The billing category of a template.
pub(crate) fn category_of(template: Option<&Template>) -> &'static str {
    match template.map(|template| template.category.as_str()) {
        Some("MARKETING") => "marketing",
        Some("AUTHENTICATION") => "authentication",
        _ => "utility",
    }
}

/// Authentication templates do not go to user ids (whatsapp.md 6).
pub(crate) fn needs_phone(template: &Template) -> bool {
    template.category == "AUTHENTICATION"
}

/// Checks what it is sent with; gives what its reader sees: `{header, body, footer, buttons}`.
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
        Status::Pending | Status::Rejected => {
            let Template { name, language, .. } = template;
            return Err(Refusal::new(132_001, format!("template name ({name}) is not approved in {language}")));
        }
    }
    let given = match components {
        None => &[][..],
        Some(Value::Array(given)) => given,
        Some(_) => return Err(Refusal::new(132_018, "template['components'] is not an array.")),
    };
    let of_kind = |kind: &str| given.iter().find(|part| is(part, "type", kind));
    let mut seen = Map::new();
    for component in &template.components {
        let text = component.get("text").and_then(Value::as_str).unwrap_or_default();
        match component.get("type").and_then(Value::as_str) {
            Some("HEADER") => {
                seen.insert("header".to_owned(), header(template, component, text, of_kind("header"))?);
            }
            Some("BODY") => {
                let filled = fill_text(template, "body", text, of_kind("body"))?;
                if filled.chars().count() > 1024 {
                    return Err(Refusal::new(132_005, "Translated text too long: body"));
                }
                seen.insert("body".to_owned(), json!(filled));
            }
            Some("FOOTER") => {
                seen.insert("footer".to_owned(), json!(text));
            }
            Some("BUTTONS") => {
                seen.insert("buttons".to_owned(), buttons(component, given)?);
            }
            _ => {}
        }
    }
    extra(template, given)?;
    Ok(Value::Object(seen))
}

fn is(part: &Value, key: &str, wanted: &str) -> bool {
    part.get(key).and_then(Value::as_str).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
}

fn parameters(part: Option<&Value>) -> &[Value] {
    part.and_then(|part| part.get("parameters")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Parameters for parts that the template does not have.
fn extra(template: &Template, given: &[Value]) -> Result<(), Refusal> {
    let has = |kind: &str| template.components.iter().any(|component| is(component, "type", kind));
    for part in given {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let wanted = match kind.as_str() {
            "button" => has("BUTTONS"),
            "header" | "body" => has(&kind) || parameters(Some(part)).is_empty(),
            "limited_time_offer" | "carousel" | "order_status" => true,
            other => return Err(Refusal::new(132_018, format!("'{other}' is not a type of component."))),
        };
        if !wanted {
            return Err(Refusal::new(
                132_000,
                format!("{kind}: number of localizable_params does not match: the template has no such part"),
            ));
        }
    }
    Ok(())
}

fn fill_text(template: &Template, part: &str, text: &str, given: Option<&Value>) -> Result<String, Refusal> {
    let wanted = variables(text);
    let given = parameters(given);
    if wanted.len() != given.len() {
        return Err(Refusal::new(
            132_000,
            format!(
                "{part}: number of localizable_params ({}) does not match the expected number of params ({})",
                given.len(),
                wanted.len()
            ),
        ));
    }
    let mut filled = text.to_owned();
    for (position, name) in wanted.iter().enumerate() {
        let parameter = if template.parameter_format == "NAMED" {
            given.iter().find(|parameter| parameter.get("parameter_name").and_then(Value::as_str) == Some(name))
        } else {
            given.get(position)
        };
        let parameter = parameter
            .ok_or_else(|| Refusal::new(132_000, format!("{part}: Parameter name is missing or empty: {name}")))?;
        filled = filled.replace(&format!("{{{{{name}}}}}"), &said(part, parameter)?);
    }
    Ok(filled)
}

/// The words of a parameter.
fn said(part: &str, parameter: &Value) -> Result<String, Refusal> {
    let kind = parameter.get("type").and_then(Value::as_str).unwrap_or("text");
    let fallback = |key: &str| parameter.get(key).and_then(|value| value.get("fallback_value")).and_then(Value::as_str);
    let words = match kind {
        // Meta's own examples have booleans here.
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
    match words {
        Some(words) if !words.is_empty() => Ok(words),
        _ => Err(Refusal::new(132_012, format!("{part}: Parameter of type {kind} is missing its text value"))),
    }
}

fn header(template: &Template, component: &Value, text: &str, given: Option<&Value>) -> Result<Value, Refusal> {
    let format = component.get("format").and_then(Value::as_str).unwrap_or("TEXT");
    if format == "TEXT" {
        return Ok(json!({"type": "text", "text": fill_text(template, "header", text, given)?}));
    }
    // A moving picture is a video that plays by itself, and is sent as either.
    let kind = if format == "GIF" { "video".to_owned() } else { format.to_lowercase() };
    let given = parameters(given);
    if given.len() != 1 {
        return Err(Refusal::new(
            132_012,
            format!("header: Format mismatch, expected {format}, received UNKNOWN ({} parameters)", given.len()),
        ));
    }
    let parameter = given.first().unwrap_or(&Value::Null);
    let sent = parameter.get("type").and_then(Value::as_str).unwrap_or_default();
    if !sent.eq_ignore_ascii_case(&kind) && !sent.eq_ignore_ascii_case(format) {
        return Err(Refusal::new(
            132_012,
            format!("header: Format mismatch, expected {format}, received {}", sent.to_uppercase()),
        ));
    }
    Ok(json!({"type": kind, kind: parameter.get(sent)}))
}

/// The buttons as they are tapped: each with its words and what a tap sends or opens.
fn buttons(component: &Value, given: &[Value]) -> Result<Value, Refusal> {
    let made = component.get("buttons").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut shown = Vec::new();
    for (index, button) in made.iter().enumerate() {
        let text = |key: &str| button.get(key).and_then(Value::as_str);
        let kind = text("type").unwrap_or_default().to_uppercase();
        let part = given.iter().find(|part| is(part, "type", "button") && index_of(part) == Some(index));
        let parameter = parameters(part).first();
        let value = |key: &str| parameter.and_then(|parameter| parameter.get(key)).map(plain);
        let words = text("text").unwrap_or(&kind);
        shown.push(match kind.as_str() {
            "QUICK_REPLY" => {
                // Without a payload the words are sent.
                let payload = value("payload").or_else(|| value("text")).unwrap_or_else(|| words.to_owned());
                json!({"type": "quick_reply", "text": words, "payload": payload})
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
                json!({"type": "url", "text": words, "url": url})
            }
            "PHONE_NUMBER" => json!({"type": "phone_number", "text": words, "phone_number": text("phone_number")}),
            "FLOW" => json!({"type": "flow", "text": words, "flow_token": parameter.and_then(|p| p.pointer("/action/flow_token"))}),
            "OTP" | "COPY_CODE" => json!({"type": "copy_code", "text": text("text").unwrap_or("Copy code"), "code": value("text").or_else(|| value("coupon_code"))}),
            other => json!({"type": other.to_lowercase(), "text": words}),
        });
    }
    if let Some(over) = given
        .iter()
        .filter(|part| is(part, "type", "button"))
        .find(|part| index_of(part).is_none_or(|at| at >= made.len()))
    {
        return Err(Refusal::new(
            132_018,
            format!(
                "buttons: the template has no button at index {}",
                plain(over.get("index").unwrap_or(&Value::Null))
            ),
        ));
    }
    Ok(Value::Array(shown))
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
#[path = "fill_tests.rs"]
mod tests;
