//! The platform's hand on the account: reviews, restrictions, limits, what people want of marketing, and any other webhook.

use super::{Answer, Problem, person_no};
use crate::account::{Restriction, UPGRADE_MS, currency};
use crate::deeds;
use crate::hub::{Hub, World};
use crate::letter::{Update, What};
use crate::say::Unsaid;
use crate::templates::{Status, Template};
use crate::{civil, receipts, view, wire};
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

/// Any other change: whatsapp.md 1.8 and 3.3.
pub(super) async fn webhook(State(hub): State<Arc<Hub>>, body: Result<Json<Webhook>, JsonRejection>) -> Answer {
    let Json(Webhook { field, value }) = body?;
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(Problem::wrong("a field's name is of a-z and _"));
    }
    let update = Update { json: wire::to_json(&value).into(), ..Update::new(0, What::Field(field)) };
    if hub.deliver(&mut hub.world(), update) { Ok(Json(json!({}))) } else { Err(Unsaid::Busy.into()) }
}

pub(super) async fn templates(State(hub): State<Arc<Hub>>) -> Json<Value> {
    let now_ms = hub.clock.now_ms();
    let world = hub.world();
    Json(json!({"templates": world.templates.iter().map(|template| template.view(now_ms)).collect::<Vec<_>>()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judgement {
    name: String,
    /// All languages without it.
    language: Option<String>,
    /// `approve`, `reject`, `pause`, `unpause`, `disable`, `flag`.
    event: Option<String>,
    /// Why it is rejected.
    reason: Option<String>,
    /// GREEN, YELLOW, RED or UNKNOWN.
    quality: Option<String>,
    /// MARKETING, UTILITY or AUTHENTICATION.
    category: Option<String>,
}

/// A hand on a template: its state, its quality, its category. Each is told by its webhook.
pub(super) async fn judge_template(
    State(hub): State<Arc<Hub>>,
    body: Result<Json<Judgement>, JsonRejection>,
) -> Answer {
    let Json(judgement) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let meant = |template: &&Template| {
        template.name == judgement.name
            && judgement.language.as_ref().is_none_or(|language| *language == template.language)
    };
    let ids: Vec<String> = world.templates.iter().filter(meant).map(|template| template.id.clone()).collect();
    if ids.is_empty() {
        return Err(Problem::nothing(format!("there is no template `{}`", judgement.name)));
    }
    for id in &ids {
        for (field, value) in judged(&hub, &mut world, id, &judgement, now_ms)? {
            deeds::tell_field(&hub, &mut world, field, &value);
        }
    }
    let shown: Vec<Value> = ids.iter().filter_map(|id| world.templates.get(id)).map(|t| t.view(now_ms)).collect();
    Ok(Json(json!({"templates": shown})))
}

/// Changes a template; gives the webhooks of it.
fn judged(
    hub: &Hub,
    world: &mut World,
    id: &str,
    judgement: &Judgement,
    now_ms: i64,
) -> Result<Vec<(&'static str, Value)>, Problem> {
    let mut told = Vec::new();
    let Some(template) = world.templates.get_mut(id) else { return Ok(told) };
    let mut ends_ms = None;
    if let Some(event) = &judgement.event {
        let event = match event.as_str() {
            "approve" | "unpause" => {
                template.status = Status::Approved;
                template.reason = "NONE".to_owned();
                "APPROVED"
            }
            "reject" => {
                template.status = Status::Rejected;
                template.reason = judgement.reason.clone().unwrap_or_else(|| "INVALID_FORMAT".to_owned());
                "REJECTED"
            }
            "pause" => {
                let (event, ends) = template.pause(now_ms);
                ends_ms = ends;
                event
            }
            "disable" => {
                template.status = Status::Disabled;
                "DISABLED"
            }
            // Its quality is low; it still goes.
            "flag" => "FLAGGED",
            other => {
                return Err(Problem::wrong(format!(
                    "`{other}` is none of approve, reject, pause, unpause, disable, flag"
                )));
            }
        };
        told.push(("message_template_status_update", template.status_update(event)));
    }
    if let Some(quality) = &judgement.quality {
        if !["GREEN", "YELLOW", "RED", "UNKNOWN"].contains(&quality.as_str()) {
            return Err(Problem::wrong("a quality is GREEN, YELLOW, RED or UNKNOWN"));
        }
        let mut value = template.named();
        if let Some(value) = value.as_object_mut() {
            value.insert("previous_quality_score".to_owned(), json!(template.quality));
            value.insert("new_quality_score".to_owned(), json!(quality));
        }
        template.quality.clone_from(quality);
        told.push(("message_template_quality_update", value));
    }
    if let Some(category) = &judgement.category {
        if !["MARKETING", "UTILITY", "AUTHENTICATION"].contains(&category.as_str()) {
            return Err(Problem::wrong("a category is MARKETING, UTILITY or AUTHENTICATION"));
        }
        let mut value = template.named();
        if let Some(value) = value.as_object_mut() {
            value.insert("previous_category".to_owned(), json!(template.category));
            value.insert("new_category".to_owned(), json!(category));
        }
        template.previous_category = Some(std::mem::replace(&mut template.category, category.clone()));
        told.push(("template_category_update", value));
    }
    if let Some(ends_ms) = ends_ms {
        hub.courier.later(now_ms, ends_ms, deeds::Deed::Unpause(id.to_owned()));
    }
    Ok(told)
}

pub(super) async fn show(State(hub): State<Arc<Hub>>) -> Json<Value> {
    Json(shown(&hub, &hub.world()))
}

fn shown(hub: &Hub, world: &World) -> Value {
    let account = &world.account;
    let same_month = account.free_tier.0 == civil::month(hub.clock.now_ms());
    json!({
        "restriction": account.restriction,
        "quality": account.quality.as_deref().unwrap_or("GREEN"),
        "maintenance_until_ms": account.maintenance_until_ms,
        "free_service_messages_used": if same_month { account.free_tier.1 } else { 0 },
        "currency": currency(), "costs": account.costs,
        "phone_number_id": hub.config.phone_number_id, "business_account_id": hub.config.business_account_id,
        "display_number": hub.config.display_number, "callback": hub.courier.target().url,
    })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Change {
    restriction: Option<Restriction>,
    /// GREEN, YELLOW or RED.
    quality: Option<String>,
    /// People the business may write to first in 24 hours; 0 is unlimited.
    messaging_limit: Option<u32>,
    /// Raises the throughput: a minute in which nothing can be sent.
    throughput_per_second: Option<u32>,
    /// Another access token; the old one is refused from now on.
    access_token: Option<String>,
}

/// What the platform does to the account, each told by its webhook.
pub(super) async fn change(State(hub): State<Arc<Hub>>, body: Result<Json<Change>, JsonRejection>) -> Answer {
    let Json(change) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let world = &mut *world;
    if let Some(restriction) = change.restriction {
        world.account.restriction = restriction;
        deeds::tell_field(&hub, world, "account_update", &restricted(restriction, now_ms));
    }
    if let Some(quality) = change.quality {
        if !["GREEN", "YELLOW", "RED"].contains(&quality.as_str()) {
            return Err(Problem::wrong("a number's quality is GREEN, YELLOW or RED"));
        }
        world.account.quality = Some(quality);
        hub.tell(|| json!({"kind": "account"}));
    }
    let tier = |limit: u32| match limit {
        0 => "TIER_UNLIMITED".to_owned(),
        limit @ 1..1_000 => format!("TIER_{limit}"),
        limit => format!("TIER_{}K", limit / 1_000),
    };
    let number = hub.config.display_number.clone();
    if let Some(limit) = change.messaging_limit {
        world.knobs.messaging_limit = limit;
        let value = json!({"max_daily_conversations_per_business": tier(limit), "max_phone_numbers_per_business": 25});
        deeds::tell_field(&hub, world, "business_capability_update", &value);
        let value = json!({"display_phone_number": number, "event": "ONBOARDING", "max_daily_conversations_per_business": tier(limit)});
        deeds::tell_field(&hub, world, "phone_number_quality_update", &value);
    }
    if let Some(rate) = change.throughput_per_second {
        world.knobs.throughput_per_second = rate;
        world.account.maintenance_until_ms = now_ms.saturating_add(UPGRADE_MS);
        let limit = tier(world.knobs.messaging_limit);
        let value = json!({"display_phone_number": number, "event": "THROUGHPUT_UPGRADE", "max_daily_conversations_per_business": limit});
        deeds::tell_field(&hub, world, "phone_number_quality_update", &value);
    }
    if let Some(token) = change.access_token {
        if token.is_empty() {
            return Err(Problem::wrong("an access token is not empty"));
        }
        hub.renew_token(&token);
    }
    Ok(Json(shown(&hub, world)))
}

/// The value of `account_update` for a restriction.
fn restricted(restriction: Restriction, now_ms: i64) -> Value {
    let week = now_ms.div_euclid(1000) + 7 * 24 * 60 * 60;
    match restriction {
        Restriction::None => json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": []}),
        Restriction::NoFirst => json!({"event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": week}]}),
        Restriction::Blocked => json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}}),
        Restriction::Locked => json!({"event": "DISABLED_UPDATE",
            "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": civil::in_words(now_ms)}}),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marketing {
    person: String,
    /// `stop`, `resume` or `signup`.
    value: String,
}

/// Somebody wants no more marketing, or wants it again: `user_preferences`.
pub(super) async fn marketing(State(hub): State<Arc<Hub>>, body: Result<Json<Marketing>, JsonRejection>) -> Answer {
    let Json(Marketing { person, value }) = body?;
    let now_ms = hub.clock.now_ms();
    let mut world = hub.world();
    let no = person_no(&world, &person)?;
    let detail = match value.as_str() {
        "stop" => "User requested to stop marketing messages",
        "resume" => "User requested to resume marketing messages",
        "signup" => "User signed up for marketing messages",
        other => return Err(Problem::wrong(format!("`{other}` is none of stop, resume, signup"))),
    };
    let Some(person) = world.people.get_mut(no) else { return Ok(Json(Value::Null)) };
    person.marketing_stopped = value == "stop";
    let mut wish = receipts::participant(person, now_ms);
    if let Some(wish) = wish.as_object_mut() {
        wish.remove("username");
        wish.extend([
            ("detail".to_owned(), json!(detail)),
            ("category".to_owned(), json!("marketing_messages")),
            ("value".to_owned(), json!(value)),
            ("timestamp".to_owned(), json!(now_ms.div_euclid(1000))),
        ]);
    }
    let contact: Value = serde_json::from_str(&receipts::contact(person, true, now_ms)).unwrap_or_default();
    let shown = view::person(person, now_ms);
    let about = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": hub.letterhead.display_number, "phone_number_id": hub.letterhead.phone_number_id},
        "contacts": [contact], "user_preferences": [wish],
    });
    let update =
        Update { json: wire::to_json(&about).into(), ..Update::new(no, What::Field("user_preferences".to_owned())) };
    hub.deliver(&mut world, update);
    view::tell_person(&hub, &world, no);
    Ok(Json(shown))
}
