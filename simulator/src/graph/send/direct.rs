//! Direct Send (whatsapp.md 2.3): an account that may names a category, writes first with it, and made no template before.
//!
//! The platform makes a template of each by itself, and names it in the statuses.

use crate::hub::World;
use crate::ids;
use crate::refusal::Refusal;
use serde_json::Value;

/// What a message with a category goes as.
pub(super) struct Direct {
    pub category: &'static str,
    /// The template that the platform made of it.
    pub template_id: String,
}

/// None where it is a message like any other; `service` is one too.
pub(super) fn direct(world: &World, request: &Value, kind: &str) -> Result<Option<Direct>, Refusal> {
    let calls = is_interactive(request, "voice_call");
    let category = match request.get("category").map(Value::as_str) {
        None if calls => {
            return Err(Refusal::new(100, "Param interactive['type'] 'voice_call' requires the parameter category."));
        }
        None => return Ok(None),
        Some(_) if !world.knobs.direct_send => {
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
        return Err(Refusal::new(100, format!("The template name '{name}' is taken by a template of this account.")));
    }
    // By its words where no name was given: the same words are the same template.
    let words = request.get(kind).map(Value::to_string).unwrap_or_default();
    Ok(Some(Direct { category, template_id: ids::template_of(name.unwrap_or(&words)) }))
}

fn is_interactive(request: &Value, kind: &str) -> bool {
    request.pointer("/interactive/type").and_then(Value::as_str) == Some(kind)
}

fn check(world: &World, request: &Value, kind: &str, category: &str, calls: bool) -> Result<(), Refusal> {
    let no = |details: &str| Err(Refusal::new(100, details));
    if request.get("recipient_type").and_then(Value::as_str) == Some("group") {
        return no("Direct Send does not go to groups.");
    }
    let takes = match kind {
        "text" => true,
        "interactive" => ["button", "cta_url", "voice_call"].iter().any(|kind| is_interactive(request, kind)),
        _ => false,
    };
    if !takes {
        return no("Direct Send takes texts, reply buttons, links and call buttons only.");
    }
    if category == "authentication" && kind != "text" {
        return no("Direct Send takes texts only for authentication.");
    }
    if calls {
        if request.pointer("/interactive/footer").is_some() {
            return no("A message with a call button takes no footer.");
        }
        let minutes = request.pointer("/interactive/action/parameters/ttl_minutes");
        if minutes.is_some_and(|minutes| !minutes.as_u64().is_some_and(|minutes| (1..=43_200).contains(&minutes))) {
            return no("Param ttl_minutes is a number from 1 to 43200.");
        }
        if !world.knobs.calls {
            return Err(Refusal::new(138_000, "Calling is not enabled for this phone number."));
        }
    }
    let name = request.get("direct_send_config").map(|config| config.get("template_name").and_then(Value::as_str));
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name {
        Some(Some(name)) if !name.is_empty() && name.len() <= 512 && name.chars().all(fits) => Ok(()),
        None => Ok(()),
        Some(_) => no("Param direct_send_config['template_name'] matches ^[a-z0-9_]+$."),
    }
}
