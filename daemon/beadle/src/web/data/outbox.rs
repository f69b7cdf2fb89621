//! Messages in the outbox.

use super::query::{Answer, Names, optional_id, page_size, read, variant};
use crate::api::{List, MessageRow, Problem};
use crate::web::context::Admin;
use crate::web::summary;
use axum::Json;
use axum::extract::{Query, State};
use beadle_model::Purpose;
use beadle_store::step::SendState;
use beadle_store::views::{OutboxDetails, OutboxFilter};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    state: Option<String>,
    conversation: Option<String>,
    plugin: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

/// `GET /outbox`: newest first; without a state, messages that are not finished.
pub async fn outbox(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<MessageRow>> {
    let now = admin.clock.now().as_ms();
    let states: Vec<SendState> =
        match variant("state of a message", query.state.as_deref(), &SendState::ALL, SendState::name)? {
            Some(state) => vec![state],
            None => vec![SendState::Sending, SendState::Queued],
        };
    let (conversation, before) = (optional_id(query.conversation.as_deref())?, optional_id(query.before.as_deref())?);
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, names| {
        let plugin = query.plugin.as_deref().map(|name| names.number(name)).transpose()?;
        let mut found = Vec::new();
        for state in states {
            found.extend(reader.outbox(&OutboxFilter { state: Some(state), conversation, plugin, before, limit })?);
        }
        found.sort_by_key(|send| std::cmp::Reverse(send.row.message));
        let next = found.get(limit.saturating_sub(1)).map(|send| send.row.message.to_string());
        found.truncate(limit);
        Ok(List { now, items: found.iter().map(|send| message_row(names, send)).collect(), next })
    });
    Ok(Json(list.await?))
}

/// A row of a list.
pub fn message_row(names: &Names, details: &OutboxDetails) -> MessageRow {
    let row = &details.row;
    MessageRow {
        id: row.message.to_string(),
        event: row.event.map(|event| event.to_string()),
        plugin: names.name(row.plugin),
        conversation: row.conversation.to_string(),
        state: row.state.name().into(),
        purpose: row.options.purpose.as_ref().map(Purpose::to_string),
        receipt: receipts(details).last().map(|(name, _)| (*name).into()),
        held_at: details.held_at.map(|at| at.as_ms()),
        // Without a rule that defers it, it is due when it was created.
        due_at: row.due_at.max(row.created_at).as_ms(),
        created_at: row.created_at.as_ms(),
        attempts: attempts(details),
        possibly_duplicate: row.possibly_duplicate,
        platform_id: details.platform.clone(),
        problem: details.problem.as_ref().map(problem),
        summary: summary::outgoing(&row.body),
    }
}

/// How often the platform was asked to send it. The store counts the attempts before the last one.
fn attempts(OutboxDetails { row, problem, .. }: &OutboxDetails) -> u32 {
    // The gate, or a missing address or channel, stopped it before the last request.
    let is_stopped_before =
        problem.as_ref().is_some_and(|problem| problem.by == "host" && problem.code != "outcome-unknown");
    let last = match row.state {
        SendState::Queued => false,
        SendState::Sending | SendState::Accepted => true,
        SendState::Failed | SendState::Dead | SendState::Dropped => !is_stopped_before,
    };
    row.attempts + u32::from(last)
}

/// The receipts of a message, in order.
pub fn receipts(details: &OutboxDetails) -> Vec<(&'static str, i64)> {
    let receipts = [
        ("sent", details.sent_at),
        ("delivered", details.delivered_at),
        ("read", details.read_at),
        ("played", details.played_at),
        ("failed", details.failed_at),
    ];
    receipts.into_iter().filter_map(|(name, at)| Some((name, at?.as_ms()))).collect()
}

fn problem(problem: &beadle_model::event::Problem) -> Problem {
    let details = problem.details.as_ref().filter(|details| **details != problem.title);
    let message = details.map_or_else(|| problem.title.clone(), |details| format!("{}: {details}", problem.title));
    Problem { code: problem.code.clone(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::effect::SendOptions;
    use beadle_model::event::Problem;
    use beadle_model::{ConversationId, MessageId, Outgoing, PluginNo, Timestamp};
    use beadle_store::step::OutboxRow;

    fn attempts_of(state: SendState, earlier: u32, problem: Option<(&str, &str)>) -> u32 {
        let row = OutboxRow {
            message: MessageId(1),
            event: None,
            plugin: PluginNo::HOST,
            conversation: ConversationId(1),
            body: Outgoing::Text { body: "hi".into(), preview_url: false, quote: None },
            reply: false,
            options: SendOptions::default(),
            state,
            due_at: Timestamp(0),
            attempts: earlier,
            created_at: Timestamp(0),
            possibly_duplicate: false,
        };
        let problem =
            problem.map(|(code, by)| Problem { code: code.into(), title: String::new(), details: None, by: by.into() });
        attempts(&OutboxDetails {
            row,
            platform: None,
            held_at: None,
            sent_at: None,
            delivered_at: None,
            read_at: None,
            played_at: None,
            failed_at: None,
            problem,
            gate: None,
        })
    }

    #[test]
    fn attempts_are_the_requests_made() {
        use SendState::{Accepted, Dead, Failed, Queued, Sending};
        for (state, earlier, problem, attempts) in [
            (Queued, 0, None, 0),
            (Queued, 2, None, 2),
            (Sending, 0, None, 1),
            (Accepted, 0, None, 1),
            (Accepted, 1, None, 2),
            (Failed, 0, Some(("131026", "platform")), 1),
            // The gate refused it before a request.
            (Failed, 0, Some(("window-closed", "host")), 0),
            (Failed, 1, Some(("window-closed", "host")), 1),
            (Dead, 3, Some(("131000", "platform")), 4),
            (Dead, 0, Some(("outcome-unknown", "host")), 1),
        ] {
            assert_eq!(attempts_of(state, earlier, problem), attempts, "{state:?} {earlier} {problem:?}");
        }
    }
}
