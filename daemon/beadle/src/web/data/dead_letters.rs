//! Dead letters: list, show, retry, drop.

use super::query::{Answer, Names, id, optional_id, page_size, read};
use crate::api::{DeadLetterRow, Done, List};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use crate::web::summary;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::text::counted;
use beadle_model::{Ending, HandlingId, PluginNo};
use beadle_pipeline::Delivery;
use beadle_store::step::RejectedWebhook;
use beadle_store::views::{DeadLetter, DeadLetterFilter};
use beadle_store::{DeadLetterRef, Reader, RetriedDeadLetter, StoreError};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    plugin: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

/// `GET /dead-letters`: newest first.
pub async fn dead_letters(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ListQuery>,
) -> Answer<List<DeadLetterRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, names| {
        let plugin = query.plugin.as_deref().map(|name| names.number(name)).transpose()?;
        let before = optional_id(query.before.as_deref())?;
        let found = reader.dead_letters(&DeadLetterFilter { plugin, before, limit })?;
        let next = found.last().filter(|_| found.len() == limit).map(|letter| letter.reference.to_string());
        let items: Result<Vec<_>, StoreError> =
            found.iter().map(|details| dead_letter_row(reader, names, details)).collect();
        Ok(List { now, items: items?, next })
    });
    Ok(Json(list.await?))
}

/// `GET /dead-letters/{id}`
pub async fn dead_letter(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<DeadLetterRow> {
    let letter: DeadLetterRef = id(&text)?;
    let row = read(&admin, move |reader, names| {
        let details = reader.dead_letter(letter)?.ok_or_else(|| ApiError::not_found("dead letter", &text))?;
        let row = dead_letter_row(reader, names, &details)?;
        let DeadLetterRef::Webhook(id) = letter else { return Ok(row) };
        let body = reader.rejected_webhook(id)?.map(|webhook| String::from_utf8_lossy(&webhook.body).into_owned());
        Ok(DeadLetterRow { body, ..row })
    });
    Ok(Json(row.await?))
}

fn dead_letter_row(reader: &Reader, names: &Names, details: &DeadLetter) -> Result<DeadLetterRow, StoreError> {
    let summary = match details.reference {
        DeadLetterRef::Message(message) => {
            readable(reader.message_details(message))?.map(|row| summary::outgoing(&row.row.body))
        }
        DeadLetterRef::Handling(handling) => reader
            .readable_event(handling.event)?
            .map(|event| format!("{}: {}", event.kind().name(), summary::event(&event.body))),
        DeadLetterRef::Request(request) => reader.durable_request(request)?.map(|row| {
            let url = super::durable_requests::url_without_query(&row.request.url);
            format!("{} {url}", row.request.method)
        }),
        DeadLetterRef::Webhook(_) => details
            .webhook
            .as_ref()
            .map(|webhook| format!("for {}, {} bytes: {}", webhook.app, webhook.bytes, webhook.beginning)),
    };
    Ok(DeadLetterRow {
        id: details.reference.to_string(),
        plugin: names.name(details.plugin),
        event: details.event.map(|event| event.to_string()),
        given_up_at: details.at.as_ms(),
        attempts: details.attempts,
        code: details.code.clone(),
        error: details.error.clone(),
        retried_at: details.retried_at.map(|at| at.as_ms()),
        answered: matches!(details.reference, DeadLetterRef::Handling(_)) && is_answered(details.ending),
        summary: summary.unwrap_or_default(),
        body: None,
    })
}

/// A dead letter of an unreadable row is listed without a summary.
fn readable<T>(row: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match row {
        Err(StoreError::Unreadable { .. }) => Ok(None),
        row => row,
    }
}

fn is_answered(ending: Option<Ending>) -> bool {
    matches!(ending, Some(Ending::Claimed(_) | Ending::Asked(_) | Ending::Host))
}

/// `POST /dead-letters/{id}/retry`
pub async fn retry_dead_letter(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let letter: DeadLetterRef = id(&text)?;
    if let DeadLetterRef::Handling(HandlingId { plugin: PluginNo::HOST, .. }) = letter {
        let message = format!("{letter} is an event that this version cannot read, so that no plugin can handle it");
        return Err(ApiError::conflict("store-row-unreadable", message));
    }
    if let DeadLetterRef::Handling(handling) = letter
        && !admin.pipeline.subscriptions().iter().any(|subscription| subscription.slot.no() == handling.plugin)
    {
        let known = move |reader: &Reader, _: &Names| {
            reader.dead_letter(letter)?.map(drop).ok_or_else(|| ApiError::not_found("dead letter", &text))
        };
        read(&admin, known).await?;
        return Err(ApiError::not_running("the plugin of this dead letter"));
    }
    // Before the dead letter is looked for: a retry that ends meanwhile removes it.
    let retry = match letter {
        DeadLetterRef::Handling(handling) => Some(admin.pipeline.begin_retry(handling).ok_or_else(|| {
            ApiError::conflict("retry-running", format!("a retry of {letter} is running; wait for its outcome"))
        })?),
        _ => None,
    };
    let done = match admin.store.retry_dead_letter(letter, admin.clock.now()).await? {
        RetriedDeadLetter::Send(_) => {
            admin.pipeline.outbox().rescan();
            Done { message: format!("{letter} will be sent again."), warning: None }
        }
        RetriedDeadLetter::Handling { ending, .. } => {
            let is_started = match retry {
                Some(retry) => admin.pipeline.retry_handling(retry).await?,
                None => false,
            };
            if !is_started {
                return Err(ApiError::not_running("the plugin of this dead letter"));
            }
            let warning = "the event was answered meanwhile, so the person may get two answers";
            Done {
                message: format!("{letter} will be handled again, out of order and marked late."),
                warning: is_answered(ending).then(|| warning.into()),
            }
        }
        RetriedDeadLetter::Request => {
            admin.requests.wake();
            Done { message: format!("{letter} will be sent again."), warning: None }
        }
        RetriedDeadLetter::Webhook(webhook) => parse_again(&admin, webhook).await?,
    };
    Ok(Json(done))
}

/// Parses a rejected webhook again: a newer version may understand it.
async fn parse_again(admin: &Admin, webhook: RejectedWebhook) -> Result<Done, ApiError> {
    let Some(app) = admin.webhooks.apps.get(&webhook.app) else {
        let message = format!("{} belongs to the app `{}`, which is not configured", webhook.id, webhook.app);
        return Err(ApiError::conflict("unknown-app", message));
    };
    let parsed = app.parse(&webhook.body, webhook.received_at);
    let receipts = parsed.receipts.len();
    if let (Some(still), 0) = (parsed.rejected.first(), parsed.events.len() + receipts) {
        let message = format!("{} still cannot be parsed: {}", webhook.id, still.error);
        return Err(ApiError::conflict(&still.code, message));
    }
    let read_from = Some(webhook.id);
    let delivery = Delivery {
        events: parsed.events,
        receipts: parsed.receipts,
        rejected: parsed.rejected,
        templates: parsed.templates,
        read_from,
        source: None,
    };
    let appended = admin.pipeline.inbox().receive(delivery).await?;
    let warning =
        appended.rejected.first().map(|rest| format!("a part of it still cannot be parsed and is now {rest}"));
    let events = counted(appended.events as u64, "new event", "new events");
    let receipts = counted(receipts as u64, "receipt", "receipts");
    Ok(Done { message: format!("{} was parsed again: {events}, {receipts}.", webhook.id), warning })
}

/// `POST /dead-letters/{id}/drop`
pub async fn drop_dead_letter(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let letter: DeadLetterRef = id(&text)?;
    admin.store.drop_dead_letter(letter).await?;
    Ok(Json(Done { message: format!("Dropped {letter}."), warning: None }))
}
