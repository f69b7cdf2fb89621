//! Direct Send (docs/whatsapp.md#direct-send): a business-initiated message with a category and
//! without a template.
//!
//! The platform derives a template from the message and states its id in the statuses.

use crate::hub::World;
use crate::ids;
use crate::refusal::Refusal;
use serde_json::Value;

/// A message by Direct Send.
pub(super) struct Direct {
    pub category: &'static str,
    /// The id of the derived template.
    pub template_id: String,
}

/// Checks a message for Direct Send; `None` for normal messages, including those of category
/// `service`.
pub(super) fn direct(world: &World, request: &Value, kind: &str) -> Result<Option<Direct>, Refusal> {
    let calls = is_interactive(request, "voice_call");
    let category = match request.get("category").map(Value::as_str) {
        None if calls => {
            return Err(Refusal::new(100, "Param interactive['type'] 'voice_call' requires the parameter category."));
        }
        None => return Ok(None),
        Some(_) if !world.faults.direct_send => {
            return Err(Refusal::new(
                100,
                "Parameter Invalid: The 'category' value requires Direct Send, which isn't enabled for this account. Use an approved message template instead.",
            ));
        }
        Some(Some("service")) if !calls => return Ok(None),
        Some(Some("utility")) => "utility",
        Some(Some("authentication")) => "authentication",
        Some(_) => {
            return Err(Refusal::new(100, "Param category must be one of {utility, authentication, service}."));
        }
    };
    check(world, request, kind, category, calls)?;
    let name = request.pointer("/direct_send_config/template_name").and_then(Value::as_str);
    let taken = name.filter(|name| world.templates.iter().any(|template| template.name == **name));
    if let Some(name) = taken {
        return Err(Refusal::new(100, format!("A template named '{name}' already exists.")));
    }
    // Without a name, the same content gives the same template.
    let content = request.get(kind).map(Value::to_string).unwrap_or_default();
    Ok(Some(Direct { category, template_id: ids::derived_template(name.unwrap_or(&content)) }))
}

fn is_interactive(request: &Value, kind: &str) -> bool {
    request.pointer("/interactive/type").and_then(Value::as_str) == Some(kind)
}

fn check(world: &World, request: &Value, kind: &str, category: &str, calls: bool) -> Result<(), Refusal> {
    let refuse = |details: &str| Err(Refusal::new(100, details));
    if request.get("recipient_type").and_then(Value::as_str) == Some("group") {
        return refuse("Direct Send is not supported in groups.");
    }
    let supported = match kind {
        "text" => true,
        "interactive" => ["button", "cta_url", "voice_call"].iter().any(|kind| is_interactive(request, kind)),
        _ => false,
    };
    if !supported {
        return refuse("Direct Send supports only text, reply buttons, URL buttons and call buttons.");
    }
    if category == "authentication" && kind != "text" {
        return refuse("Direct Send supports only text for authentication.");
    }
    if calls {
        if request.pointer("/interactive/footer").is_some() {
            return refuse("A message with a call button must not have a footer.");
        }
        let minutes = request.pointer("/interactive/action/parameters/ttl_minutes");
        if minutes.is_some_and(|minutes| !minutes.as_u64().is_some_and(|minutes| (1..=43_200).contains(&minutes))) {
            return refuse("Param ttl_minutes must be a number from 1 to 43200.");
        }
        if !world.faults.calls {
            return Err(Refusal::new(138_000, "Calling is not enabled for this phone number."));
        }
    }
    let name = request.get("direct_send_config").map(|config| config.get("template_name").and_then(Value::as_str));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name {
        Some(Some(name)) if !name.is_empty() && name.len() <= 512 && name.chars().all(fits) => Ok(()),
        None => Ok(()),
        Some(_) => refuse("Param direct_send_config['template_name'] must match ^[a-z0-9_]+$."),
    }
}
