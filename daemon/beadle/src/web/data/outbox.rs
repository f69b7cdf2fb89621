//! Messages in the outbox.

use super::query::{Answer, Names, optional_id, page_size, read, variant};
use crate::api::{List, MessageRow, Problem};
use crate::web::context::Admin;
use crate::web::summary;
use axum::Json;
use axum::extract::{Query, State};
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
    let states: Vec<SendState> = match variant("state of a message", query.state.as_deref())? {
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
pub fn message_row(names: &Names, shown: &OutboxDetails) -> MessageRow {
    let row = &shown.row;
    MessageRow {
        id: row.message.to_string(),
        event: row.event.map(|event| event.to_string()),
        plugin: names.name(row.plugin),
        conversation: row.conversation.to_string(),
        state: state_name(row.state).into(),
        receipt: receipts(shown).last().map(|(name, _)| (*name).into()),
        // Without a rule that defers it, it is due when it was created.
        due_at: row.due_at.max(row.created_at).as_ms(),
        created_at: row.created_at.as_ms(),
        attempts: row.attempts,
        possibly_duplicate: row.possibly_duplicate,
        platform_id: shown.platform.clone(),
        problem: shown.problem.as_ref().map(problem),
        summary: summary::outgoing(&row.body),
    }
}

/// The receipts of a message, in order.
pub fn receipts(shown: &OutboxDetails) -> Vec<(&'static str, i64)> {
    let receipts = [
        ("sent", shown.sent_at),
        ("delivered", shown.delivered_at),
        ("read", shown.read_at),
        ("played", shown.played_at),
        ("failed", shown.failed_at),
    ];
    receipts.into_iter().filter_map(|(name, at)| Some((name, at?.as_ms()))).collect()
}

/// Its name in the API.
pub fn state_name(state: SendState) -> &'static str {
    match state {
        SendState::Queued => "queued",
        SendState::Sending => "sending",
        SendState::Accepted => "accepted",
        SendState::Failed => "failed",
        SendState::Dead => "dead",
        SendState::Dropped => "dropped",
    }
}

fn problem(problem: &beadle_model::event::Problem) -> Problem {
    let details = problem.details.as_ref().filter(|details| **details != problem.title);
    let message = details.map_or_else(|| problem.title.clone(), |details| format!("{}: {details}", problem.title));
    Problem { code: problem.code.clone(), message }
}
