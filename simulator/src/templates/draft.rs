//! Checks the form of a new template: names, lengths, counts, variables and their examples.

use crate::refusal::Refusal;
use serde_json::Value;

/// A template whose form was checked.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub name: String,
    pub language: String,
    pub category: String,
    pub components: Vec<Value>,
    pub parameter_format: String,
    pub ttl_seconds: Option<i64>,
}

/// Checks a template as submitted by the business.
pub(crate) fn check_draft(body: &Value) -> Result<Draft, Refusal> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let name = text("name").ok_or_else(|| missing("name"))?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 512 || !name.chars().all(fits) {
        return Err(invalid("Param name must have 1 to 512 characters from a-z, 0-9 and _."));
    }
    let language = text("language").ok_or_else(|| missing("language"))?;
    let category = text("category").ok_or_else(|| missing("category"))?.to_uppercase();
    if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
        return Err(invalid("Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}."));
    }
    let format = text("parameter_format").unwrap_or("POSITIONAL").to_uppercase();
    if !["NAMED", "POSITIONAL"].contains(&format.as_str()) {
        return Err(invalid("Param parameter_format must be one of {NAMED, POSITIONAL}."));
    }
    let components = body.get("components").and_then(Value::as_array).ok_or_else(|| missing("components"))?;
    let mut kept = Vec::new();
    for component in components {
        let component = check_component(component, &category, format == "NAMED")?;
        kept.push(if category == "AUTHENTICATION" { with_fixed_text(component) } else { component });
    }
    if kind_count(&kept, "BODY") != 1 {
        return Err(invalid("A template must have one component of type BODY."));
    }
    if ["HEADER", "FOOTER", "BUTTONS"].into_iter().any(|kind| kind_count(&kept, kind) > 1) {
        return Err(invalid("A template must have at most one HEADER, one FOOTER and one BUTTONS."));
    }
    Ok(Draft {
        name: name.to_owned(),
        language: language.to_owned(),
        category,
        components: kept,
        parameter_format: format,
        ttl_seconds: body.get("message_send_ttl_seconds").and_then(Value::as_i64),
    })
}

/// The variables of a text, the names between `{{` and `}}`, each once and in order.
pub(super) fn variables(text: &str) -> Vec<&str> {
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

fn kind_count(components: &[Value], kind: &str) -> usize {
    components.iter().filter(|component| component.get("type").and_then(Value::as_str) == Some(kind)).count()
}

fn invalid(details: &str) -> Refusal {
    Refusal::new(100, details)
}

fn missing(parameter: &str) -> Refusal {
    Refusal::new(100, format!("The parameter {parameter} is required."))
}

/// Checks one component. The result has its type in upper case, as in responses.
fn check_component(component: &Value, category: &str, named: bool) -> Result<Value, Refusal> {
    let mut kept = component.clone();
    let kind = component.get("type").and_then(Value::as_str).ok_or_else(|| missing("components.type"))?.to_uppercase();
    let text = component.get("text").and_then(Value::as_str);
    match kind.as_str() {
        "HEADER" => check_header(component, named)?,
        "BODY" => match text {
            // The platform provides the text.
            None if category == "AUTHENTICATION" => {}
            None => return Err(missing("components.text")),
            Some(text) => {
                length("The body", text, 1024)?;
                check_variables(component, text, "body_text", named)?;
            }
        },
        "FOOTER" if category == "AUTHENTICATION" => {}
        "FOOTER" => length("The footer", text.ok_or_else(|| missing("components.text"))?, 60)?,
        "BUTTONS" => check_buttons(component)?,
        "LIMITED_TIME_OFFER" | "CAROUSEL" | "CALL_PERMISSION_REQUEST" => {}
        other => return Err(invalid(&format!("'{other}' is not a component type."))),
    }
    if let Some(kept) = kept.as_object_mut() {
        kept.insert("type".to_owned(), Value::String(kind));
        if let Some(format) = component.get("format").and_then(Value::as_str) {
            kept.insert("format".to_owned(), Value::String(format.to_uppercase()));
        }
    }
    Ok(kept)
}

/// Adds the platform's fixed text to a component of an authentication template. Its only variable
/// is the code.
fn with_fixed_text(mut component: Value) -> Value {
    let minutes = component.get("code_expiration_minutes").and_then(Value::as_u64);
    let with_recommendation = component.get("add_security_recommendation").and_then(Value::as_bool).unwrap_or_default();
    let text = match component.get("type").and_then(Value::as_str) {
        Some("BODY") if with_recommendation => {
            Some("*{{1}}* is your verification code. For your security, do not share this code.".to_owned())
        }
        Some("BODY") => Some("*{{1}}* is your verification code.".to_owned()),
        Some("FOOTER") => minutes.map(|minutes| format!("This code expires in {minutes} minutes.")),
        _ => None,
    };
    if let (Some(text), Some(component)) = (text, component.as_object_mut()) {
        component.entry("text").or_insert(Value::String(text));
    }
    component
}

fn check_header(component: &Value, named: bool) -> Result<(), Refusal> {
    let format = component.get("format").and_then(Value::as_str).ok_or_else(|| missing("components.format"))?;
    match format.to_uppercase().as_str() {
        "TEXT" => {
            let text = component.get("text").and_then(Value::as_str).ok_or_else(|| missing("components.text"))?;
            length("The header", text, 60)?;
            if variables(text).len() > 1 {
                return Err(invalid("A header must have at most one variable."));
            }
            check_variables(component, text, "header_text", named)
        }
        "IMAGE" | "VIDEO" | "DOCUMENT" | "GIF" => {
            let handle = component.get("example").and_then(|example| example.get("header_handle"));
            match handle.and_then(Value::as_array).and_then(|handles| handles.first()).and_then(Value::as_str) {
                Some(_) => Ok(()),
                None => Err(invalid("A media header must have an example in example.header_handle.")),
            }
        }
        "LOCATION" => Ok(()),
        other => Err(invalid(&format!("'{other}' is not a header format."))),
    }
}

/// Checks that variables are numbered from 1 without gaps, or named, and that each has an example.
fn check_variables(component: &Value, text: &str, example: &str, named: bool) -> Result<(), Refusal> {
    let variables = variables(text);
    if variables.is_empty() {
        return Ok(());
    }
    for (position, variable) in variables.iter().enumerate() {
        let numbered = variable.bytes().all(|b| b.is_ascii_digit());
        if named == numbered {
            return Err(invalid(&format!("The variable {{{{{variable}}}}} does not match the parameter_format.")));
        }
        if numbered && *variable != (position + 1).to_string() {
            return Err(invalid("Variables must be {{1}}, {{2}} and so on, without gaps."));
        }
    }
    let key = if named { format!("{example}_named_params") } else { example.to_owned() };
    let examples = component.get("example").and_then(|example| example.get(&key)).and_then(Value::as_array);
    // Either an array of examples or an array of such arrays.
    let count = match examples.and_then(|examples| examples.first()) {
        Some(Value::Array(first)) => first.len(),
        Some(_) => examples.map_or(0, Vec::len),
        None => 0,
    };
    if count != variables.len() {
        return Err(invalid(&format!(
            "There are {} variables and {count} examples in example.{key}.",
            variables.len()
        )));
    }
    Ok(())
}

fn check_buttons(component: &Value) -> Result<(), Refusal> {
    let buttons = component.get("buttons").and_then(Value::as_array).ok_or_else(|| missing("components.buttons"))?;
    if buttons.is_empty() || buttons.len() > 10 {
        return Err(invalid("A template must have 1 to 10 buttons."));
    }
    for button in buttons {
        let text = |key: &str| button.get(key).and_then(Value::as_str);
        let kind = text("type").ok_or_else(|| missing("buttons.type"))?.to_uppercase();
        let required: &[&str] = match kind.as_str() {
            "QUICK_REPLY" => &["text"],
            "URL" => &["text", "url"],
            "PHONE_NUMBER" => &["text", "phone_number"],
            "FLOW" | "CATALOG" | "MPM" | "SPM" => &["text"],
            "OTP" | "COPY_CODE" | "VOICE_CALL" | "APP" | "REQUEST_CONTACT_INFO" => &[],
            other => return Err(invalid(&format!("'{other}' is not a button type."))),
        };
        if let Some(key) = required.iter().find(|key| text(key).is_none()) {
            return Err(missing(&format!("buttons.{key}")));
        }
        if let Some(text) = text("text") {
            length("A button", text, 25)?;
        }
    }
    Ok(())
}

fn length(name: &str, text: &str, max: usize) -> Result<(), Refusal> {
    let count = text.chars().count();
    if (1..=max).contains(&count) {
        return Ok(());
    }
    Err(invalid(&format!("{name} must have 1 to {max} characters, but has {count}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(components: Value, format: &str) -> Result<Draft, Refusal> {
        check_draft(
            &json!({"name": "a_1", "language": "en_US", "category": "utility", "parameter_format": format, "components": components}),
        )
    }

    #[test]
    fn complete_template_is_valid() {
        let draft = checked(
            json!([
                {"type": "header", "format": "text", "text": "Hi {{1}}", "example": {"header_text": ["Ana"]}},
                {"type": "body", "text": "{{1}}, it is {{2}}.", "example": {"body_text": [["Ana", "ready"]]}},
                {"type": "footer", "text": "Harbour Street"},
                {"type": "buttons", "buttons": [{"type": "quick_reply", "text": "Thanks"}, {"type": "url", "text": "Look", "url": "https://x/{{1}}", "example": ["1"]}]},
            ]),
            "positional",
        )
        .unwrap();
        assert_eq!((draft.category.as_str(), draft.components.len()), ("UTILITY", 4));
        assert_eq!(draft.components[0]["format"], "TEXT");
    }

    #[test]
    fn authentication_template_gets_the_platforms_text() {
        let draft =
            check_draft(&json!({"name": "code", "language": "en", "category": "authentication", "components": [
            {"type": "body", "add_security_recommendation": true}, {"type": "footer", "code_expiration_minutes": 5},
            {"type": "buttons", "buttons": [{"type": "otp", "otp_type": "copy_code"}]}]}))
            .unwrap();
        assert_eq!(variables(draft.components[0]["text"].as_str().unwrap()), ["1"]);
        assert_eq!(draft.components[1]["text"], "This code expires in 5 minutes.");
    }

    #[test]
    fn invalid_template_is_refused_with_details() {
        for (components, format, expected) in [
            (json!([{"type": "FOOTER", "text": "x"}]), "POSITIONAL", "one component of type BODY"),
            (json!([{"type": "BODY", "text": "{{1}}"}]), "POSITIONAL", "1 variables and 0 examples"),
            (
                json!([{"type": "BODY", "text": "{{2}}", "example": {"body_text": [["x"]]}}]),
                "POSITIONAL",
                "without gaps",
            ),
            (
                json!([{"type": "BODY", "text": "{{name}}", "example": {"body_text": [["x"]]}}]),
                "POSITIONAL",
                "does not match",
            ),
            (json!([{"type": "BODY", "text": "{{1}}", "example": {"body_text": [["x"]]}}]), "NAMED", "does not match"),
            (json!([{"type": "BODY", "text": "x".repeat(1025)}]), "POSITIONAL", "1 to 1024"),
            (
                json!([{"type": "BODY", "text": "x"}, {"type": "HEADER", "format": "IMAGE"}]),
                "POSITIONAL",
                "header_handle",
            ),
            (
                json!([{"type": "BODY", "text": "x"}, {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "x"}]}]),
                "POSITIONAL",
                "buttons.url",
            ),
        ] {
            let refusal = checked(components, format).unwrap_err();
            assert!(refusal.code == 100 && refusal.details.contains(expected), "{refusal:?}");
        }
    }
}
