//! Template management: `/{WABA_ID}/message_templates` and `/{TEMPLATE_ID}`
//! (docs/whatsapp.md#templates).

use super::call::{Call, CallResult, only, page};
use crate::action::ScheduledAction;
use crate::faults::Review;
use crate::hub::{Hub, World};
use crate::refusal::Refusal;
use crate::scheduled;
use crate::templates::Status;
use crate::templates::draft::check_draft;
use axum::http::Method;
use serde_json::{Value, json};

/// Default and maximum page size.
const PAGE: usize = 25;
const MAX_PAGE: usize = 1_000;

/// `GET`, `POST` and `DELETE /{WABA_ID}/message_templates`.
pub(super) fn of_account(call: &Call<'_>) -> CallResult {
    match *call.method {
        Method::GET => list(call),
        Method::POST => create(call),
        Method::DELETE => delete(call),
        _ => Err(call.unsupported()),
    }
}

fn list(call: &Call<'_>) -> CallResult {
    let now_ms = call.hub.clock.now_ms();
    let world = call.hub.world();
    let is = |name: &str, value: &str| call.query.get(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
    let has = |name: &str, value: &str| call.query.get(name).is_none_or(|wanted| value.contains(wanted.as_str()));
    let fields = call.fields();
    let found = world.templates.iter().filter(|template| {
        is("status", template.status.name())
            && is("category", &template.category)
            && is("language", &template.language)
            && is("quality_score", &template.quality)
            && has("name", &template.name)
    });
    let all: Vec<Value> = found.map(|template| only(template.view(now_ms), fields.as_deref())).collect();
    let total = all.len();
    let (data, paging) = page(call, all, PAGE, MAX_PAGE)?;
    let mut answer = json!({"data": data, "paging": paging});
    if let (Some(_), Some(answer)) = (call.query.get("summary"), answer.as_object_mut()) {
        let summary = json!({"total_count": total, "message_template_count": world.templates.iter().count(), "message_template_limit": 6000, "are_translations_complete": false});
        answer.insert("summary".to_owned(), summary);
    }
    Ok(answer)
}

fn create(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    let mut body = call.json()?;
    from_library(&mut body)?;
    let draft = check_draft(&body)?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let template = world.templates.create(hub.ids.number(), draft, now_ms)?;
    let answer = json!({"id": template.id, "status": template.status.name(), "category": template.category});
    let id = template.id.clone();
    schedule_review(hub, &world, id, now_ms);
    hub.publish(|| json!({"kind": "account"}));
    Ok(answer)
}

/// Schedules the end of the review, unless reviews are manual.
fn schedule_review(hub: &Hub, world: &World, id: String, now_ms: i64) {
    if world.faults.template_review != Review::Manual {
        hub.webhook_sender.schedule(
            now_ms,
            now_ms.saturating_add(world.faults.template_review_ms),
            ScheduledAction::Review(id),
        );
    }
}

fn delete(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    let name = call.parameter("name").ok_or_else(|| Refusal::new(100, "The parameter name is required."))?;
    let id = call.parameter("hsm_id");
    let mut world = hub.world();
    let deleted = world.templates.delete(&name, id.as_deref(), hub.clock.now_ms());
    if deleted.is_empty() {
        return Err(Refusal::new(100, format!("Template '{name}' does not exist.")));
    }
    for template in deleted {
        let value = template.status_update("DELETED");
        scheduled::send_field(hub, &mut world, "message_template_status_update", &value);
    }
    Ok(json!({"success": true}))
}

/// `GET`, `POST /{TEMPLATE_ID}` and `POST /{TEMPLATE_ID}/unpause`.
pub(super) fn template(call: &Call<'_>) -> CallResult {
    let hub = call.hub;
    let now_ms = hub.clock.now_ms();
    match (call.method, call.edge) {
        (&Method::GET, "") => {
            let world = hub.world();
            let template = world.templates.get(call.id).ok_or_else(|| Refusal::unknown_object(call.method, call.id))?;
            Ok(only(template.view(now_ms), call.fields().as_deref()))
        }
        (&Method::POST, "") => edit(call, now_ms),
        (&Method::POST, "unpause") => {
            let mut world = hub.world();
            let template = world.templates.get_mut(call.id).filter(|template| template.status == Status::Paused);
            let Some(template) = template else {
                return Ok(json!({"success": false, "reason": "The template is not paused."}));
            };
            template.status = Status::Approved;
            template.paused_until_ms = None;
            let value = template.status_update("APPROVED");
            scheduled::send_field(hub, &mut world, "message_template_status_update", &value);
            Ok(json!({"success": true}))
        }
        _ => Err(call.unsupported()),
    }
}

fn edit(call: &Call<'_>, now_ms: i64) -> CallResult {
    let hub = call.hub;
    let change = call.json()?;
    let mut world = hub.world();
    let edited = world.templates.edit(
        call.id,
        |template| {
            // Omitted members are unchanged; the name and the language cannot change.
            let changed = |key: &str, current: Value| change.get(key).cloned().unwrap_or(current);
            check_draft(&json!({
                "name": template.name, "language": template.language,
                "category": changed("category", json!(template.category)),
                "components": changed("components", json!(template.components)),
                "parameter_format": template.parameter_format,
                "message_send_ttl_seconds": changed("message_send_ttl_seconds", json!(template.ttl_seconds)),
            }))
        },
        now_ms,
    );
    edited?;
    schedule_review(hub, &world, call.id.to_owned(), now_ms);
    hub.publish(|| json!({"kind": "account"}));
    let (name, category) = world.templates.get(call.id).map(|template| (&template.name, &template.category)).unzip();
    Ok(json!({"success": true, "id": call.id, "name": name, "category": category}))
}

/// The library template that invites to a group. It must be copied unchanged to remain a utility
/// template.
const INVITATION: &str = "group_invite_link";
const INVITATION_BODY: &str = "You are invited to join the group {{1}}.";
const INVITATION_EXAMPLE: &str = "Harbour Street";

/// `GET /message_template_library`.
pub(super) fn library(call: &Call<'_>) -> CallResult {
    let item = json!({
        "name": INVITATION, "language": "en", "category": "UTILITY", "topic": "GROUP_INVITE_LINK",
        "body": INVITATION_BODY, "body_params": [INVITATION_EXAMPLE], "body_param_types": ["GROUP_ID"],
        "id": "7138055039625658",
    });
    let is = |name: &str| {
        let value = item.get(name).and_then(Value::as_str).unwrap_or_default();
        call.query.get(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let data: Vec<&Value> = [&item].into_iter().filter(|_| is("category") && is("topic") && is("language")).collect();
    Ok(json!({"data": data}))
}

/// Replaces the components of a template that is created from the library.
fn from_library(body: &mut Value) -> Result<(), Refusal> {
    let Some(name) = body.get("library_template_name").cloned() else { return Ok(()) };
    if name != INVITATION {
        return Err(Refusal::new(100, format!("The library has no template {name}.")));
    }
    if let Some(body) = body.as_object_mut() {
        let example = json!({"body_text": [[INVITATION_EXAMPLE]]});
        body.insert("components".to_owned(), json!([{"type": "BODY", "text": INVITATION_BODY, "example": example}]));
        body.entry("category").or_insert_with(|| json!("UTILITY"));
    }
    Ok(())
}
