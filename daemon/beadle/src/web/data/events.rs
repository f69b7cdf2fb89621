//! Events: list, show, follow.

use super::outbox::message_row;
use super::query::{Answer, Names, id, optional_id, page_size, read, variant};
use crate::api::{EventRow, EventView, HandlingRow, List};
use crate::web::context::{Admin, Phase};
use crate::web::failure::ApiError;
use crate::web::{summary, thin};
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::{Ending, EventId, EventKind};
use beadle_store::views::{self, EventFilter, EventState};
use beadle_store::{Reader, StoreError};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Filters of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct ListQuery {
    kind: Option<String>,
    contact: Option<String>,
    conversation: Option<String>,
    state: Option<String>,
    before: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    wait_ms: Option<u64>,
}

impl ListQuery {
    fn filter(&self) -> Result<EventFilter, ApiError> {
        Ok(EventFilter {
            kind: variant("kind of event", self.kind.as_deref(), &EventKind::ALL, EventKind::name)?,
            contact: optional_id(self.contact.as_deref())?,
            conversation: optional_id(self.conversation.as_deref())?,
            state: variant("state of an event", self.state.as_deref(), &EventState::ALL, EventState::name)?,
            before: optional_id(self.before.as_deref())?,
            limit: page_size(self.limit),
        })
    }
}

/// `GET /events`: newest first.
pub async fn events(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<EventRow>> {
    let filter = query.filter()?;
    let now = admin.clock.now().as_ms();
    let list = read(&admin, move |reader, names| {
        let rows = reader.events(&filter)?;
        let next = rows.last().filter(|_| rows.len() == filter.limit).map(|row| row.id.to_string());
        let items: Result<Vec<_>, StoreError> = rows.iter().map(|row| event_row(reader, names, row)).collect();
        Ok(List { now, items: items?, next })
    });
    Ok(Json(list.await?))
}

/// A row of a list.
pub fn event_row(reader: &Reader, names: &Names, row: &views::EventRow) -> Result<EventRow, StoreError> {
    // The row alone lacks the body and the conversation.
    let (event, unreadable) = match reader.event(row.id) {
        Err(error @ StoreError::Unreadable { .. }) => (None, Some(thin::cut(&error.to_string()))),
        event => (event?, None),
    };
    let conversation = event.as_ref().and_then(|event| event.conversation.as_deref());
    Ok(EventRow {
        id: row.id.to_string(),
        kind: row.kind.name().into(),
        happened_at: row.happened_at.as_ms(),
        received_at: row.received_at.as_ms(),
        channel: conversation.map(|conversation| conversation.channel.to_string()),
        contact: row.contact.map(|contact| contact.to_string()),
        name: conversation.and_then(|conversation| conversation.contact.name.clone()),
        ending: ending(names, row.ending, row.state),
        summary: event.map(|event| summary::event(&event.body)).or(unreadable).unwrap_or_default(),
    })
}

/// The ending of an event in the words of docs/glossary.md, or `open`.
pub fn ending(names: &Names, ending: Option<Ending>, state: EventState) -> String {
    match (ending, state) {
        (Some(Ending::Claimed(by)), _) => format!("claimed by {}", names.name(by)),
        (Some(Ending::Asked(by)), _) => format!("asked by {}", names.name(by)),
        (Some(Ending::Stopped(by)), _) => format!("stopped by {}", names.name(by)),
        (Some(Ending::Host), _) => "host".into(),
        // Without a plugin that could decide, nothing was.
        (Some(Ending::Passed), _) | (None, EventState::Finished) => "passed".into(),
        (None, _) => "open".into(),
    }
}

/// `GET /events/{id}`
pub async fn event(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<EventView> {
    let event: EventId = id(&text)?;
    let now = admin.clock.now().as_ms();
    let view = read(&admin, move |reader, names| {
        let details = reader.event_details(event)?.ok_or_else(|| ApiError::not_found("event", &text))?;
        Ok(EventView {
            now,
            row: event_row(reader, names, &details.row)?,
            conversation: details.row.conversation.map(|conversation| conversation.to_string()),
            body: serde_json::to_value(&details.body).map_err(ApiError::internal)?,
            handlings: details.handlings.iter().map(|row| handling_row(names, row)).collect(),
            messages: details.sends.iter().map(|send| message_row(names, send)).collect(),
        })
    });
    Ok(Json(view.await?))
}

fn handling_row(names: &Names, row: &views::HandlingRow) -> HandlingRow {
    HandlingRow {
        id: row.id.to_string(),
        plugin: names.name(row.id.plugin),
        state: row.state.into(),
        attempts: row.attempts,
        code: row.code.clone(),
        error: row.error.clone(),
        next_at: row.next_at.map(|at| at.as_ms()),
    }
}

/// Between polls while a request waits for events. Real time.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The longest wait of one request.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// `GET /events/tail?after=ID&wait_ms=N`: the events after one, oldest first; waits for the next if
/// there are none. Without `after` it returns the id of the newest.
pub async fn tail(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<EventRow>> {
    let filter = query.filter()?;
    let until = Instant::now() + Duration::from_millis(query.wait_ms.unwrap_or(0)).min(LONGEST_WAIT);
    let now = admin.clock.now().as_ms();
    let Some(mut after) = query.after.as_deref().map(place).transpose()? else {
        let newest = EventFilter { limit: 1, ..EventFilter::default() };
        let last = read(&admin, move |reader, _| Ok(reader.events(&newest)?.first().map_or(EventId(0), |row| row.id)));
        return Ok(Json(List { now, items: Vec::new(), next: Some(last.await?.to_string()) }));
    };
    loop {
        let filter = filter.clone();
        let (items, last) = read(&admin, move |reader, names| {
            let rows = reader.events_after(after, filter.limit)?;
            let last = rows.last().map_or(after, |row| row.id);
            let wanted = rows.iter().filter(|row| is_wanted(&filter, row));
            let items: Result<Vec<_>, StoreError> = wanted.map(|row| event_row(reader, names, row)).collect();
            Ok((items?, last))
        })
        .await?;
        let is_more = last != after;
        after = last;
        if !items.is_empty() || Instant::now() >= until || admin.phase() == Phase::Draining {
            return Ok(Json(List { now, items, next: Some(after.to_string()) }));
        }
        if !is_more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// An event's id, or `evt_0` for the position before the first.
fn place(text: &str) -> Result<EventId, ApiError> {
    if text == "evt_0" { Ok(EventId(0)) } else { id(text) }
}

fn is_wanted(filter: &EventFilter, row: &views::EventRow) -> bool {
    filter.kind.is_none_or(|kind| kind == row.kind)
        && (filter.contact.is_none() || filter.contact == row.contact)
        && (filter.conversation.is_none() || filter.conversation == row.conversation)
        && filter.state.is_none_or(|state| state == row.state)
}
