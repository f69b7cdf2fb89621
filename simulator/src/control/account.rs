//! Changes that the platform makes: template reviews, restrictions, limits, marketing preferences;
//! and arbitrary webhooks.

use super::answer::{Answer, ControlError, person_no};
use crate::account::{Restriction, UPGRADE_MS, currency};
use crate::action::ScheduledAction;
use crate::envelope::{Update, UpdateKind};
use crate::hub::{Hub, World};
use crate::say::SayError;
use crate::templates::{Status, Template};
use crate::{calendar, receipts, scheduled, view, wire};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    field: String,
    value: Value,
}

/// Sends a webhook with an arbitrary field and value.
pub(super) async fn webhook(State(hub): State<Arc<Hub>>, body: Result<Json<Webhook>, JsonRejection>) -> Answer {
    let Json(Webhook { field, value }) = body?;
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(ControlError::invalid("`field` must contain only a-z and _"));
    }
    let update = Update { json: wire::to_json(&value).into(), ..Update::new(0, UpdateKind::Field(field)) };
    if hub.deliver(&mut hub.world(), update) { Ok(Json(json!({}))) } else { Err(SayError::Busy.into()) }
}

pub(super) async fn templates(State(hub): State<Arc<Hub>>) -> Json<Value> {
    let now_ms = hub.clock.now_ms();
    let world = hub.world();
    Json(json!({"templates": world.templates.iter().map(|template| template.view(now_ms)).collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TemplateChange {
    name: String,
    /// Without it, all languages.
    language: Option<String>,
    /// `approve`, `reject`, `pause`, `unpause`, `disable`, `pending_deletion` or `flag`.
    event: Option<String>,
    /// The reason of a rejection.
    reason: Option<String>,
    /// GREEN, YELLOW, RED or UNKNOWN.
    quality: Option<String>,
    /// MARKETING, UTILITY or AUTHENTICATION.
    category: Option<String>,
}

/// Changes the state, quality or category of a template, and sends the webhooks.
pub(super) async fn change_template(
    State(hub): State<Arc<Hub>>,
    body: Result<Json<TemplateChange>, JsonRejection>,
) -> Answer {
    let Json(change) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let matches = |template: &&Template| {
        template.name == change.name && change.language.as_ref().is_none_or(|language| *language == template.language)
    };
    let ids: Vec<String> = world.templates.iter().filter(matches).map(|template| template.id.clone()).collect();
    if ids.is_empty() {
        return Err(ControlError::not_found(format!("unknown template `{}`", change.name)));
    }
    for id in &ids {
        for (field, value) in apply(&hub, &mut world, id, &change, now_ms)? {
            scheduled::send_field(&hub, &mut world, field, &value);
        }
    }
    let views: Vec<Value> = ids.iter().filter_map(|id| world.templates.get(id)).map(|t| t.view(now_ms)).collect();
    Ok(Json(json!({"templates": views})))
}

/// Changes a template; returns the fields and values of the webhooks.
fn apply(
    hub: &Hub,
    world: &mut World,
    id: &str,
    change: &TemplateChange,
    now_ms: i64,
) -> Result<Vec<(&'static str, Value)>, ControlError> {
    let mut webhooks = Vec::new();
    let Some(template) = world.templates.get_mut(id) else { return Ok(webhooks) };
    let mut pause_ends_ms = None;
    if let Some(event) = &change.event {
        let event = match event.as_str() {
            "approve" | "unpause" => {
                template.status = Status::Approved;
                template.reason = "NONE".to_owned();
                "APPROVED"
            }
            "reject" => {
                template.status = Status::Rejected;
                template.reason = change.reason.clone().unwrap_or_else(|| "INVALID_FORMAT".to_owned());
                "REJECTED"
            }
            "pause" => {
                let (event, ends) = template.pause(now_ms);
                pause_ends_ms = ends;
                event
            }
            "disable" => {
                template.status = Status::Disabled;
                "DISABLED"
            }
            "pending_deletion" => {
                template.status = Status::PendingDeletion;
                "PENDING_DELETION"
            }
            // Low quality; the template can still be sent.
            "flag" => "FLAGGED",
            other => {
                return Err(ControlError::invalid(format!(
                    "`event` must be approve, reject, pause, unpause, disable, pending_deletion or flag, but is `{other}`"
                )));
            }
        };
        webhooks.push(("message_template_status_update", template.status_update(event)));
    }
    if let Some(quality) = &change.quality {
        if !["GREEN", "YELLOW", "RED", "UNKNOWN"].contains(&quality.as_str()) {
            return Err(ControlError::invalid("`quality` must be GREEN, YELLOW, RED or UNKNOWN"));
        }
        let mut value = template.identity();
        if let Some(value) = value.as_object_mut() {
            value.insert("previous_quality_score".to_owned(), json!(template.quality));
            value.insert("new_quality_score".to_owned(), json!(quality));
        }
        template.quality.clone_from(quality);
        webhooks.push(("message_template_quality_update", value));
    }
    if let Some(category) = &change.category {
        if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
            return Err(ControlError::invalid("`category` must be MARKETING, UTILITY or AUTHENTICATION"));
        }
        let mut value = template.identity();
        if let Some(value) = value.as_object_mut() {
            value.insert("previous_category".to_owned(), json!(template.category));
            value.insert("new_category".to_owned(), json!(category));
        }
        template.previous_category = Some(std::mem::replace(&mut template.category, category.clone()));
        webhooks.push(("template_category_update", value));
    }
    if let Some(ends_ms) = pause_ends_ms {
        hub.webhook_sender.schedule(now_ms, ends_ms, ScheduledAction::Unpause(id.to_owned()));
    }
    Ok(webhooks)
}

pub(super) async fn show(State(hub): State<Arc<Hub>>) -> Json<Value> {
    Json(account_view(&hub, &hub.world()))
}

fn account_view(hub: &Hub, world: &World) -> Value {
    let account = &world.account;
    let same_month = account.free_tier.0 == calendar::month(hub.clock.now_ms());
    json!({
        "restriction": account.restriction,
        "quality": account.quality.as_deref().unwrap_or("GREEN"),
        "maintenance_until_ms": account.maintenance_until_ms,
        "free_service_messages_used": if same_month { account.free_tier.1 } else { 0 },
        "currency": currency(), "costs": account.costs,
        "phone_number_id": hub.config.phone_number_id, "business_account_id": hub.config.business_account_id,
        "display_number": hub.config.display_number, "callback": hub.webhook_sender.callback().url,
    })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Change {
    restriction: Option<Restriction>,
    /// GREEN, YELLOW or RED.
    quality: Option<String>,
    /// Number of people to whom the business may write first in 24 hours; 0 is unlimited.
    messaging_limit: Option<u32>,
    /// Changes the throughput; nothing can be sent for the following minute.
    throughput_per_second: Option<u32>,
    /// Replaces the access token.
    access_token: Option<String>,
}

/// Changes the account, and sends the webhooks.
pub(super) async fn change(State(hub): State<Arc<Hub>>, body: Result<Json<Change>, JsonRejection>) -> Answer {
    let Json(change) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let world = &mut *world;
    if let Some(restriction) = change.restriction {
        world.account.restriction = restriction;
        scheduled::send_field(&hub, world, "account_update", &account_update(restriction, now_ms));
    }
    if let Some(quality) = change.quality {
        if !["GREEN", "YELLOW", "RED"].contains(&quality.as_str()) {
            return Err(ControlError::invalid("`quality` must be GREEN, YELLOW or RED"));
        }
        world.account.quality = Some(quality);
        hub.publish(|| json!({"kind": "account"}));
    }
    let tier = |limit: u32| match limit {
        0 => "TIER_UNLIMITED".to_owned(),
        limit @ 1..1_000 => format!("TIER_{limit}"),
        limit => format!("TIER_{}K", limit / 1_000),
    };
    let number = hub.config.display_number.clone();
    if let Some(limit) = change.messaging_limit {
        world.faults.messaging_limit = limit;
        let value = json!({"max_daily_conversations_per_business": tier(limit), "max_phone_numbers_per_business": 25});
        scheduled::send_field(&hub, world, "business_capability_update", &value);
        let value = json!({"display_phone_number": number, "event": "ONBOARDING", "max_daily_conversations_per_business": tier(limit)});
        scheduled::send_field(&hub, world, "phone_number_quality_update", &value);
    }
    if let Some(rate) = change.throughput_per_second {
        world.faults.throughput_per_second = rate;
        world.account.maintenance_until_ms = now_ms.saturating_add(UPGRADE_MS);
        let limit = tier(world.faults.messaging_limit);
        let value = json!({"display_phone_number": number, "event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": limit});
        scheduled::send_field(&hub, world, "phone_number_quality_update", &value);
    }
    if let Some(token) = change.access_token {
        if token.is_empty() {
            return Err(ControlError::invalid("`access_token` must not be empty"));
        }
        hub.set_token(&token);
    }
    Ok(Json(account_view(&hub, world)))
}

/// The value of `account_update` for a restriction.
fn account_update(restriction: Restriction, now_ms: i64) -> Value {
    let week = now_ms.div_euclid(1000) + 7 * 24 * 60 * 60;
    match restriction {
        Restriction::None => json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": []}),
        Restriction::NoBusinessInitiated => json!({"event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": week}]}),
        Restriction::Blocked => json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}}),
        Restriction::Locked => json!({"event": "DISABLED_UPDATE",
            "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": calendar::format_date(now_ms)}}),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marketing {
    person: String,
    /// `stop`, `resume` or `signup`.
    value: String,
}

/// A person changes their marketing preference, which sends `user_preferences`.
pub(super) async fn marketing(State(hub): State<Arc<Hub>>, body: Result<Json<Marketing>, JsonRejection>) -> Answer {
    let Json(Marketing { person, value }) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let no = person_no(&world, &person)?;
    let detail = match value.as_str() {
        "stop" => "User requested to stop marketing messages",
        "resume" => "User requested to resume marketing messages",
        "signup" => "User signed up for marketing messages",
        other => {
            return Err(ControlError::invalid(format!("`value` must be stop, resume or signup, but is `{other}`")));
        }
    };
    let Some(person) = world.people.get_mut(no) else { return Ok(Json(Value::Null)) };
    person.marketing_stopped = value == "stop";
    let mut preference = receipts::participant(person, now_ms);
    if let Some(preference) = preference.as_object_mut() {
        preference.remove("username");
        preference.extend([
            ("detail".to_owned(), json!(detail)),
            ("category".to_owned(), json!("marketing_messages")),
            ("value".to_owned(), json!(value)),
            ("timestamp".to_owned(), json!(now_ms.div_euclid(1000))),
        ]);
    }
    let contact: Value = serde_json::from_str(&receipts::contact(person, true, now_ms)).unwrap_or_default();
    let response = view::person(person, now_ms);
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": hub.envelope.display_number, "phone_number_id": hub.envelope.phone_number_id},
        "contacts": [contact], "user_preferences": [preference],
    });
    let update = Update {
        json: wire::to_json(&value).into(),
        ..Update::new(no, UpdateKind::Field("user_preferences".to_owned()))
    };
    hub.deliver(&mut world, update);
    view::publish_person(&hub, &world, no);
    Ok(Json(response))
}
