//! What a template must look like to be taken for review: names, lengths, counts, examples.

use super::No;
use serde_json::Value;

/// A template as it was sent in, checked.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub name: String,
    pub language: String,
    pub category: String,
    pub components: Vec<Value>,
    pub parameter_format: String,
    pub ttl_seconds: Option<i64>,
}

/// Checks what was sent in.
pub(crate) fn check_draft(body: &Value) -> Result<Draft, No> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let name = text("name").ok_or_else(|| missing("name"))?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 512 || !name.chars().all(fits) {
        return Err(wrong("Param name must be 1 to 512 of a-z, 0-9 and _."));
    }
    let language = text("language").ok_or_else(|| missing("language"))?;
    let category = text("category").ok_or_else(|| missing("category"))?.to_uppercase();
    if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
        return Err(wrong("Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}."));
    }
    let format = text("parameter_format").unwrap_or("POSITIONAL").to_uppercase();
    if !["NAMED", "POSITIONAL"].contains(&format.as_str()) {
        return Err(wrong("Param parameter_format must be one of {NAMED, POSITIONAL}."));
    }
    let components = body.get("components").and_then(Value::as_array).ok_or_else(|| missing("components"))?;
    let mut kept = Vec::new();
    for component in components {
        let component = check_component(component, &category, format == "NAMED")?;
        kept.push(if category == "AUTHENTICATION" { worded(component) } else { component });
    }
    if kind_count(&kept, "BODY") != 1 {
        return Err(wrong("A template has one component of type BODY."));
    }
    if ["HEADER", "FOOTER", "BUTTONS"].into_iter().any(|kind| kind_count(&kept, kind) > 1) {
        return Err(wrong("A template has at most one HEADER, one FOOTER and one BUTTONS."));
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

fn kind_count(components: &[Value], kind: &str) -> usize {
    components.iter().filter(|component| component.get("type").and_then(Value::as_str) == Some(kind)).count()
}

fn wrong(details: &str) -> No {
    (100, details.to_owned())
}

fn missing(parameter: &str) -> No {
    (100, format!("The parameter {parameter} is required."))
}

/// One component, with its type in upper case, as the API gives it back.
fn check_component(component: &Value, category: &str, named: bool) -> Result<Value, No> {
    let mut kept = component.clone();
    let kind = component.get("type").and_then(Value::as_str).ok_or_else(|| missing("components.type"))?.to_uppercase();
    let text = component.get("text").and_then(Value::as_str);
    match kind.as_str() {
        "HEADER" => check_header(component, named)?,
        "BODY" => match text {
            // The platform writes the text of these itself.
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
        other => return Err(wrong(&format!("'{other}' is not a type of component."))),
    }
    if let Some(kept) = kept.as_object_mut() {
        kept.insert("type".to_owned(), Value::String(kind));
        if let Some(format) = component.get("format").and_then(Value::as_str) {
            kept.insert("format".to_owned(), Value::String(format.to_uppercase()));
        }
    }
    Ok(kept)
}

/// An authentication template has the platform's own words, by what it asked for; their one variable is the code.
fn worded(mut component: Value) -> Value {
    let minutes = component.get("code_expiration_minutes").and_then(Value::as_u64);
    let advised = component.get("add_security_recommendation").and_then(Value::as_bool).unwrap_or_default();
    let words = match component.get("type").and_then(Value::as_str) {
        Some("BODY") if advised => {
            Some("*{{1}}* is your verification code. For your security, do not share this code.".to_owned())
        }
        Some("BODY") => Some("*{{1}}* is your verification code.".to_owned()),
        Some("FOOTER") => minutes.map(|minutes| format!("This code expires in {minutes} minutes.")),
        _ => None,
    };
    if let (Some(words), Some(component)) = (words, component.as_object_mut()) {
        component.entry("text").or_insert(Value::String(words));
    }
    component
}

fn check_header(component: &Value, named: bool) -> Result<(), No> {
    let format = component.get("format").and_then(Value::as_str).ok_or_else(|| missing("components.format"))?;
    match format.to_uppercase().as_str() {
        "TEXT" => {
            let text = component.get("text").and_then(Value::as_str).ok_or_else(|| missing("components.text"))?;
            length("The header", text, 60)?;
            if super::fill::variables(text).len() > 1 {
                return Err(wrong("A header has one variable at most."));
            }
            check_variables(component, text, "header_text", named)
        }
        "IMAGE" | "VIDEO" | "DOCUMENT" | "GIF" => {
            let handle = component.get("example").and_then(|example| example.get("header_handle"));
            match handle.and_then(Value::as_array).and_then(|handles| handles.first()).and_then(Value::as_str) {
                Some(_) => Ok(()),
                None => Err(wrong("A header with media needs an example: example.header_handle.")),
            }
        }
        "LOCATION" => Ok(()),
        other => Err(wrong(&format!("'{other}' is not a format of a header."))),
    }
}

/// Variables are numbered from 1 without gaps, or named, and each has an example.
fn check_variables(component: &Value, text: &str, example: &str, named: bool) -> Result<(), No> {
    let variables = super::fill::variables(text);
    if variables.is_empty() {
        return Ok(());
    }
    for (position, variable) in variables.iter().enumerate() {
        let numbered = variable.bytes().all(|b| b.is_ascii_digit());
        if named == numbered {
            return Err(wrong(&format!("The variable {{{{{variable}}}}} does not go with this parameter_format.")));
        }
        if numbered && *variable != (position + 1).to_string() {
            return Err(wrong("Variables are {{1}}, {{2}} and so on, without gaps."));
        }
    }
    let given = component.get("example");
    let key = if named { format!("{example}_named_params") } else { example.to_owned() };
    let examples = given.and_then(|given| given.get(&key)).and_then(Value::as_array);
    // One list of examples, or a list of such lists.
    let count = match examples.and_then(|examples| examples.first()) {
        Some(Value::Array(first)) => first.len(),
        Some(_) => examples.map_or(0, Vec::len),
        None => 0,
    };
    if count != variables.len() {
        return Err(wrong(&format!("There are {} variables and {count} examples in example.{key}.", variables.len())));
    }
    Ok(())
}

fn check_buttons(component: &Value) -> Result<(), No> {
    let buttons = component.get("buttons").and_then(Value::as_array).ok_or_else(|| missing("components.buttons"))?;
    if buttons.is_empty() || buttons.len() > 10 {
        return Err(wrong("A template has 1 to 10 buttons."));
    }
    for button in buttons {
        let text = |key: &str| button.get(key).and_then(Value::as_str);
        let kind = text("type").ok_or_else(|| missing("buttons.type"))?.to_uppercase();
        let needs: &[&str] = match kind.as_str() {
            "QUICK_REPLY" => &["text"],
            "URL" => &["text", "url"],
            "PHONE_NUMBER" => &["text", "phone_number"],
            "FLOW" | "CATALOG" | "MPM" | "SPM" => &["text"],
            "OTP" | "COPY_CODE" | "VOICE_CALL" | "APP" | "REQUEST_CONTACT_INFO" => &[],
            other => return Err(wrong(&format!("'{other}' is not a type of button."))),
        };
        if let Some(lacking) = needs.iter().find(|key| text(key).is_none()) {
            return Err(missing(&format!("buttons.{lacking}")));
        }
        if let Some(text) = text("text") {
            length("A button", text, 25)?;
        }
    }
    Ok(())
}

fn length(what: &str, text: &str, most: usize) -> Result<(), No> {
    let count = text.chars().count();
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(wrong(&format!("{what} has 1 to {most} characters, and {count} were given.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(components: Value, format: &str) -> Result<Draft, No> {
        check_draft(
            &json!({"name": "a_1", "language": "en_US", "category": "utility", "parameter_format": format, "components": components}),
        )
    }

    #[test]
    fn a_template_in_full_is_taken() {
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
    fn the_platform_writes_the_words_of_authentication() {
        let draft =
            check_draft(&json!({"name": "code", "language": "en", "category": "authentication", "components": [
            {"type": "body", "add_security_recommendation": true}, {"type": "footer", "code_expiration_minutes": 5},
            {"type": "buttons", "buttons": [{"type": "otp", "otp_type": "copy_code"}]}]}))
            .unwrap();
        assert_eq!(super::super::fill::variables(draft.components[0]["text"].as_str().unwrap()), ["1"]);
        assert_eq!(draft.components[1]["text"], "This code expires in 5 minutes.");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (components, format, says) in [
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
                "does not go",
            ),
            (json!([{"type": "BODY", "text": "{{1}}", "example": {"body_text": [["x"]]}}]), "NAMED", "does not go"),
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
            let no = checked(components, format).unwrap_err();
            assert!(no.0 == 100 && no.1.contains(says), "{no:?} does not say {says}");
        }
    }
}
