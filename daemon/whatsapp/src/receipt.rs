//! One element of `statuses` becomes a receipt.

use crate::errors;
use crate::json::Json;
use beadle_model::event::Problem;
use beadle_model::{MessageId, Timestamp};
use beadle_store::step::{Receipt, ReceiptFor};

/// What the platform says became of a message; `None` where it does not say of which, or what.
pub(crate) fn read(install: &str, status: &Json<'_>, now: Timestamp) -> Option<Receipt> {
    let platform_id = status.string_of("id")?;
    let ours = status.text_of("biz_opaque_callback_data").and_then(|callback| our_message(install, &callback));
    Some(Receipt {
        message: match ours {
            Some(message) => ReceiptFor::Ours(message, platform_id),
            None => ReceiptFor::Platform(platform_id),
        },
        status: status.string_of("status")?,
        at: status.moment_of("timestamp").unwrap_or(now),
        problem: status.get("errors").and_then(Json::items).and_then(<[_]>::first).and_then(problem),
    })
}

/// `msg_123@INSTALL`, where the installation is this one: another one may send from the same number.
fn our_message(install: &str, callback: &str) -> Option<MessageId> {
    let (message, sender) = callback.split_once('@')?;
    if sender == install { message.parse().ok() } else { None }
}

/// An element of `errors`. Its title is the platform's; where it has none, that of our table.
fn problem(error: &Json<'_>) -> Option<Problem> {
    let code = error.string_of("code")?;
    let title = error.string_of("title").or_else(|| error.string_of("message"));
    Some(Problem {
        title: title.unwrap_or_else(|| errors::title_of(&code).to_owned()),
        details: error.get("error_data").and_then(|data| data.string_of("details")),
        by: "platform".to_owned(),
        code,
    })
}
