//! What a message brings with it: its template, its media, what it will be billed as.

use super::Trouble;
use super::direct::direct;
use crate::groups::GroupNo;
use crate::hub::World;
use crate::media;
use crate::refusal::Refusal;
use crate::templates::{self, Template};
use serde_json::{Value, json};

/// What was found out about a message before it is accepted.
pub(super) struct Plan {
    /// marketing, utility, authentication or service.
    pub category: &'static str,
    /// The business may write first with it.
    pub first: bool,
    /// A template as its reader sees it.
    pub rendered: Option<Value>,
    pub needs_phone: bool,
    /// Held for quality assessment.
    pub held: bool,
    /// It is a template: the answer has a `message_status`.
    pub template: bool,
    /// The template that the platform made of a message by Direct Send.
    pub template_id: Option<String>,
    /// It is accepted and fails.
    pub trouble: Option<Trouble>,
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

/// Looks at everything that depends on what there is, beyond the message's own shape.
pub(super) fn plan(world: &World, request: &Value, kind: &str, now_ms: i64) -> Result<Plan, Refusal> {
    let body = request.get(kind).unwrap_or(&Value::Null);
    let trouble = media_trouble(world, kind, body, now_ms)?;
    if kind == "template" {
        let (template, rendered) = template(world, body)?;
        return Ok(Plan {
            category: templates::category_of(template),
            first: true,
            rendered,
            needs_phone: template.is_some_and(templates::needs_phone),
            held: world.knobs.template_hold,
            template: true,
            template_id: None,
            trouble,
        });
    }
    let direct = direct(world, request, kind)?;
    let category = direct.as_ref().map_or("service", |direct| direct.category);
    Ok(Plan {
        category,
        // A read mark apart, nothing else may be first.
        first: direct.is_some(),
        rendered: None,
        needs_phone: category == "authentication",
        held: false,
        template: false,
        template_id: direct.map(|direct| direct.template_id),
        trouble,
    })
}

/// The template that is named. Until the first one is made, and where no names are set, every template goes.
fn template<'a>(world: &'a World, body: &Value) -> Result<(Option<&'a Template>, Option<Value>), Refusal> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, language) = (text("/name"), text("/language/code"));
    if let Some(found) = world.templates.find(name, language) {
        return Ok((Some(found), Some(templates::fill(found, body.get("components"))?)));
    }
    let named = world.knobs.templates.iter().any(|known| known == name);
    if named || (world.templates.is_empty() && world.knobs.templates.is_empty()) {
        return Ok((None, Some(guess(body))));
    }
    Err(Refusal::new(132_001, format!("template name ({name}) does not exist in {language}")))
}

/// What a reader may see of a template whose words nobody knows: its parameters.
fn guess(body: &Value) -> Value {
    let parts = body.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let parameters = parts.iter().filter_map(|part| part.get("parameters")?.as_array()).flatten();
    let words: Vec<&str> = parameters.filter_map(|parameter| parameter.get("text")?.as_str()).collect();
    json!({"body": words.join(" · ")})
}

/// Every file that a message names: the kind it goes as, and the object with its `id` or `link`.
fn files<'a>(kind: &'a str, body: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let of = |part: &'a Value| {
        let kind = part.get("type").and_then(Value::as_str)?;
        Some((kind, part.get(kind)?))
    };
    let found = match kind {
        "audio" | "document" | "image" | "sticker" | "video" => vec![(kind, body)],
        "interactive" => body.get("header").and_then(of).into_iter().collect(),
        "template" => {
            let parts = body.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let headers = parts.iter().filter(|part| part.get("type").and_then(Value::as_str) == Some("header"));
            headers.filter_map(|part| part.get("parameters")?.as_array()).flatten().filter_map(of).collect()
        }
        _ => Vec::new(),
    };
    found.into_iter().filter(|(kind, _)| *kind != "text").collect()
}

/// A file that is not there is refused; one that does not suit its message fails later.
fn media_trouble(world: &World, kind: &str, body: &Value, now_ms: i64) -> Result<Option<Trouble>, Refusal> {
    let mut trouble = None;
    for (kind, object) in files(kind, body) {
        let Some(id) = object.get("id").and_then(Value::as_str) else { continue };
        let unknown = || Refusal::invalid(format!("There is no media '{id}', or it has expired."));
        let file = world.media.get(id, now_ms).ok_or_else(unknown)?;
        let kind = if kind == "gif" { "video" } else { kind };
        let unfit = media::fits(kind, file.essence()).err();
        trouble = trouble.or(unfit.map(|refusal| (refusal.code, refusal.details)));
    }
    Ok(trouble)
}

/// A pin or its end.
pub(super) fn pin(world: &mut World, group: GroupNo, request: &Value) {
    let text = |key: &str| request.get("pin").and_then(|pin| pin.get(key)).and_then(Value::as_str);
    if let (Some(group), Some(message)) = (world.groups.get_mut(group), text("message_id")) {
        group.pin(message, text("type") == Some("pin"));
    }
}
