//! Checks of a message that depend on the state of the platform: its template, its files, and its
//! category.

use super::direct::direct;
use crate::groups::GroupNo;
use crate::hub::World;
use crate::media;
use crate::refusal::Refusal;
use crate::templates::{Template, fill};
use serde_json::{Value, json};

/// Why a message fails after it was accepted: the error code and its details.
pub(super) type LaterFailure = (u32, String);

/// How an accepted message is processed.
pub(super) struct Plan {
    /// The pricing category: `marketing`, `utility`, `authentication` or `service`.
    pub category: &'static str,
    /// The business may send it first, outside a window.
    pub first: bool,
    /// A template with its parameters filled in.
    pub rendered: Option<Value>,
    /// It cannot be sent to a user id.
    pub needs_phone: bool,
    /// Held for quality assessment.
    pub held: bool,
    /// It is a template message, so the response has a `message_status`.
    pub template: bool,
    /// The template that the platform derived from a Direct Send message.
    pub template_id: Option<String>,
    /// It is accepted, but fails later.
    pub failure: Option<LaterFailure>,
}

impl Plan {
    pub(super) fn status(&self) -> Option<&'static str> {
        match (self.template, self.held) {
            (false, _) => None,
            (true, true) => Some("held_for_quality_assessment"),
            (true, false) => Some("accepted"),
        }
    }
}

/// Checks a message whose form is valid.
pub(super) fn plan(world: &World, request: &Value, kind: &str, now_ms: i64) -> Result<Plan, Refusal> {
    let body = request.get(kind).unwrap_or(&Value::Null);
    let failure = check_files(world, kind, body, now_ms)?;
    if kind == "template" {
        let (template, rendered) = template(world, body)?;
        return Ok(Plan {
            category: fill::category_of(template),
            first: true,
            rendered,
            needs_phone: template.is_some_and(fill::needs_phone),
            held: world.faults.template_hold,
            template: true,
            template_id: None,
            failure,
        });
    }
    let direct = direct(world, request, kind)?;
    let category = direct.as_ref().map_or("service", |direct| direct.category);
    Ok(Plan {
        category,
        first: direct.is_some(),
        rendered: None,
        needs_phone: category == "authentication",
        held: false,
        template: false,
        template_id: direct.map(|direct| direct.template_id),
        failure,
    })
}

/// Finds the template and fills it in. While no template was created and no names are configured,
/// any name is accepted.
fn template<'a>(world: &'a World, body: &Value) -> Result<(Option<&'a Template>, Option<Value>), Refusal> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, language) = (text("/name"), text("/language/code"));
    if let Some(found) = world.templates.find(name, language) {
        return Ok((Some(found), Some(fill::fill(found, body.get("components"))?)));
    }
    let configured = world.faults.templates.iter().any(|known| known == name);
    if configured || (world.templates.is_empty() && world.faults.templates.is_empty()) {
        return Ok((None, Some(render_parameters(body))));
    }
    Err(Refusal::new(132_001, format!("template name ({name}) does not exist in {language}")))
}

/// Renders a template whose text is unknown: its parameters only.
fn render_parameters(body: &Value) -> Value {
    let parts = body.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let parameters = parts.iter().filter_map(|part| part.get("parameters")?.as_array()).flatten();
    let texts: Vec<&str> = parameters.filter_map(|parameter| parameter.get("text")?.as_str()).collect();
    json!({"body": texts.join(" · ")})
}

/// All files of a message: the kind, and the object with the `id` or `link`.
fn files<'a>(kind: &'a str, body: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let file_of = |part: &'a Value| {
        let kind = part.get("type").and_then(Value::as_str)?;
        Some((kind, part.get(kind)?))
    };
    let found = match kind {
        "audio" | "document" | "image" | "sticker" | "video" => vec![(kind, body)],
        "interactive" => body.get("header").and_then(file_of).into_iter().collect(),
        "template" => {
            let parts = body.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let headers = parts.iter().filter(|part| part.get("type").and_then(Value::as_str) == Some("header"));
            headers.filter_map(|part| part.get("parameters")?.as_array()).flatten().filter_map(file_of).collect()
        }
        _ => Vec::new(),
    };
    found.into_iter().filter(|(kind, _)| *kind != "text").collect()
}

/// Refuses unknown files. A file of the wrong type makes the message fail later.
fn check_files(world: &World, kind: &str, body: &Value, now_ms: i64) -> Result<Option<LaterFailure>, Refusal> {
    let mut failure = None;
    for (kind, object) in files(kind, body) {
        let Some(id) = object.get("id").and_then(Value::as_str) else { continue };
        let unknown = || Refusal::invalid(format!("Media '{id}' does not exist or has expired."));
        let file = world.media.get(id, now_ms).ok_or_else(unknown)?;
        let kind = if kind == "gif" { "video" } else { kind };
        let wrong_type = media::fits(kind, file.essence()).err();
        failure = failure.or(wrong_type.map(|refusal| (refusal.code, refusal.details)));
    }
    Ok(failure)
}

/// Pins or unpins a message.
pub(super) fn pin(world: &mut World, group: GroupNo, request: &Value) {
    let text = |key: &str| request.get("pin").and_then(|pin| pin.get(key)).and_then(Value::as_str);
    if let (Some(group), Some(message)) = (world.groups.get_mut(group), text("message_id")) {
        group.pin(message, text("type") == Some("pin"));
    }
}
