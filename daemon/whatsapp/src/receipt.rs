//! Turns one element of `statuses` into a receipt (docs/whatsapp.md#statuses).
//!
//! A receipt is matched to a message by the id that we attached to it, or else by the platform's
//! id.

use crate::json::{Json, object_or_null};
use crate::unparsable::Unparsable;
use crate::{errors, person};
use beadle_model::event::{Pricing, Problem};
use beadle_model::{MessageId, Timestamp};
use beadle_store::step::{Receipt, ReceiptFor};
use serde_json::Value;

/// Reads one status. `install` is the tag of this installation.
pub(crate) fn read(install: &str, status: &Json<'_>, now: Timestamp) -> Result<Receipt, Unparsable> {
    let platform_id = status.string_of("id").ok_or(Unparsable::Malformed("a status has no `id`"))?;
    let ours = status.text_of("biz_opaque_callback_data").and_then(|callback| our_message(install, &callback));
    let pricing = pricing(status);
    let extra = extra(status, pricing.is_some());
    let mut problems = errors_of(status).iter().filter_map(problem);
    Ok(Receipt {
        message: match ours {
            Some(message) => ReceiptFor::Ours(message, platform_id),
            None => ReceiptFor::Platform(platform_id),
        },
        status: status.string_of("status").ok_or(Unparsable::Malformed("a status has no `status`"))?,
        at: status.timestamp_of("timestamp").unwrap_or(now),
        free_entry_until: free_entry(status, pricing.as_ref()),
        pricing,
        participant: person::participant(status),
        recipient: person::recipient(status),
        problem: problems.next(),
        further_problems: problems.collect(),
        extra,
    })
}

/// Members that the receipt does not represent, such as the template of a Direct Send message and
/// the billed conversation. A price that cannot be read stays as it is, and so do all reasons of a
/// failure after the first. Members that identify a person are dropped at every level.
fn extra(status: &Json<'_>, priced: bool) -> Value {
    const USED: [&str; 5] = ["id", "status", "timestamp", "errors", "biz_opaque_callback_data"];
    let mut extra = status.without(|name| USED.contains(&name) || (priced && name == "pricing"));
    if priced && let Some(Value::Object(conversation)) = extra.get_mut("conversation") {
        conversation.remove("pricing");
    }
    extra.retain(|_, value| !value.is_null());
    if let Some(more) = further_errors(status) {
        extra.insert("errors".to_owned(), more);
    }
    let mut extra = Value::Object(extra);
    remove_people(&mut extra);
    if let Value::Object(extra) = extra { object_or_null(extra) } else { Value::Null }
}

/// The elements of `errors`; an object counts as the only element.
pub(crate) fn errors_of<'j, 'a>(element: &'j Json<'a>) -> &'j [Json<'a>] {
    match element.get("errors") {
        Some(Json::Array(errors)) => errors,
        Some(error @ Json::Object(_)) => std::slice::from_ref(error),
        _ => &[],
    }
}

/// The errors after the first one, which is the [`Problem`].
pub(crate) fn further_errors(element: &Json<'_>) -> Option<Value> {
    let (_, more) = errors_of(element).split_first()?;
    (!more.is_empty()).then(|| Value::Array(more.iter().map(Json::to_value).collect()))
}

/// Removes members that identify a person, at every level.
fn remove_people(json: &mut Value) {
    let identifies = |name: &str| {
        ["recipient", "participant"].iter().any(|part| name.contains(part))
            || ["from", "to", "wa_id", "user_id", "input", "customer"].contains(&name)
            || name.ends_with("_user_id")
    };
    match json {
        Value::Object(members) => {
            members.retain(|name, _| !identifies(name));
            members.values_mut().for_each(remove_people);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_people),
        _ => {}
    }
}

/// The price. Some of Meta's examples nest it in `conversation`.
fn pricing(status: &Json<'_>) -> Option<Pricing> {
    let nested = || status.get("conversation")?.get("pricing");
    let pricing = status.get("pricing").or_else(nested)?;
    Some(Pricing {
        category: pricing.string_of("category")?,
        kind: pricing.string_of("type"),
        model: pricing.string_of("pricing_model"),
        billable: pricing.bool_of("billable"),
        subtype: pricing.string_of("subtype"),
    })
}

/// The end of a free entry point window (docs/whatsapp.md#free-entry-points). `conversation` is
/// reliable only while such a window is open; any other conversation is ignored.
fn free_entry(status: &Json<'_>, pricing: Option<&Pricing>) -> Option<Timestamp> {
    let conversation = status.get("conversation")?;
    let origin = conversation.get("origin").and_then(|origin| origin.string_of("type"));
    let is_free = pricing.and_then(|pricing| pricing.kind.as_deref()) == Some("free_entry_point")
        || origin.as_deref() == Some("referral_conversion");
    if is_free { conversation.timestamp_of("expiration_timestamp") } else { None }
}

/// The message in `msg_123@INSTALL`, if the installation is this one: another one may send from the
/// same number.
fn our_message(install: &str, callback: &str) -> Option<MessageId> {
    let (message, sender) = callback.split_once('@')?;
    if sender == install { message.parse().ok() } else { None }
}

/// An element of `errors`, or the `error` in it; older API versions have `details` outside
/// `error_data`. If the platform gives no title, the title is that of our table.
pub(crate) fn problem(error: &Json<'_>) -> Option<Problem> {
    let error = error.object_of("error").unwrap_or(error);
    let code = error.string_of("code")?;
    let title = error.string_of("title").or_else(|| error.string_of("message"));
    let details = error.get("error_data").and_then(|data| data.string_of("details"));
    Some(Problem {
        title: title.unwrap_or_else(|| errors::title_of(&code).to_owned()),
        details: details.or_else(|| error.string_of("details")),
        by: "platform".to_owned(),
        code,
    })
}
