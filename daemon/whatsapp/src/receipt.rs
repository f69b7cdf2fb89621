//! One element of `statuses` becomes a receipt.

use crate::json::Json;
use crate::misfit::Misfit;
use crate::webhook::object_or_null;
use crate::{errors, person};
use beadle_model::event::{Pricing, Problem};
use beadle_model::{MessageId, Timestamp};
use beadle_store::step::{Receipt, ReceiptFor};
use serde_json::Value;

/// What the platform says became of a message.
pub(crate) fn read(install: &str, status: &Json<'_>, now: Timestamp) -> Result<Receipt, Misfit> {
    let platform_id = status.string_of("id").ok_or(Misfit::Nonsense("a status without an `id`"))?;
    let ours = status.text_of("biz_opaque_callback_data").and_then(|callback| our_message(install, &callback));
    let pricing = pricing(status);
    Ok(Receipt {
        message: match ours {
            Some(message) => ReceiptFor::Ours(message, platform_id),
            None => ReceiptFor::Platform(platform_id),
        },
        status: status.string_of("status").ok_or(Misfit::Nonsense("a status that does not say what it is"))?,
        at: status.moment_of("timestamp").unwrap_or(now),
        free_entry_until: free_entry(status, pricing.as_ref()),
        pricing,
        participant: person::participant(status),
        recipient: person::recipient(status),
        problem: status.get("errors").and_then(Json::items).and_then(<[_]>::first).and_then(problem),
        extra: extra(status),
    })
}

/// What it says besides, without people: the template of a message by Direct Send, the conversation it is billed in, ….
fn extra(status: &Json<'_>) -> Value {
    const USED: [&str; 6] = ["id", "status", "timestamp", "pricing", "errors", "biz_opaque_callback_data"];
    let is_person = |name: &str| name.starts_with("recipient") || name.starts_with("participant");
    let mut extra = status.without(|name| USED.contains(&name) || is_person(name));
    if let Some(Value::Object(conversation)) = extra.get_mut("conversation") {
        conversation.remove("pricing");
    }
    object_or_null(extra)
}

/// What it costs. Some of Meta's examples have it inside `conversation` (whatsapp.md 3.5).
fn pricing(status: &Json<'_>) -> Option<Pricing> {
    let inside = || status.get("conversation")?.get("pricing");
    let pricing = status.get("pricing").or_else(inside)?;
    Some(Pricing {
        category: pricing.string_of("category")?,
        kind: pricing.string_of("type"),
        model: pricing.string_of("pricing_model"),
        billable: pricing.get("billable").map(|_| pricing.is_true("billable")),
        subtype: pricing.string_of("subtype"),
    })
}

/// Until when messages cost nothing because they came by an advertisement (whatsapp.md 5.2). The platform's `conversation`
/// tells it only while that is so; of any other it tells nothing that may be relied on.
fn free_entry(status: &Json<'_>, pricing: Option<&Pricing>) -> Option<Timestamp> {
    let conversation = status.get("conversation")?;
    let origin = conversation.get("origin").and_then(|origin| origin.string_of("type"));
    let is_free = pricing.and_then(|pricing| pricing.kind.as_deref()) == Some("free_entry_point")
        || origin.as_deref() == Some("referral_conversion");
    if is_free { conversation.moment_of("expiration_timestamp") } else { None }
}

/// `msg_123@INSTALL`, where the installation is this one: another one may send from the same number.
fn our_message(install: &str, callback: &str) -> Option<MessageId> {
    let (message, sender) = callback.split_once('@')?;
    if sender == install { message.parse().ok() } else { None }
}

/// An element of `errors`. Its title is the platform's; where it has none, that of our table.
pub(crate) fn problem(error: &Json<'_>) -> Option<Problem> {
    let code = error.string_of("code")?;
    let title = error.string_of("title").or_else(|| error.string_of("message"));
    Some(Problem {
        title: title.unwrap_or_else(|| errors::title_of(&code).to_owned()),
        details: error.get("error_data").and_then(|data| data.string_of("details")),
        by: "platform".to_owned(),
        code,
    })
}
