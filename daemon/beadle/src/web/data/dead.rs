//! Dead letters: list, show, retry, drop.

use super::{Admin, Answer, Names, ask, counted, id, most};
use crate::api::{DeadRow, Done, List};
use crate::web::failure::ApiError;
use crate::web::summary;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::Ending;
use beadle_pipeline::{Delivery, HandlingRetry};
use beadle_store::step::RejectedWebhook;
use beadle_store::views::{DeadLetter, DeadLetterFilter};
use beadle_store::{DeadLetterRef, Reader, RetriedDeadLetter, StoreError};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct Which {
    plugin: Option<String>,
    limit: Option<usize>,
}

/// `GET /dead-letters`: newest first.
pub async fn dead(State(admin): State<Arc<Admin>>, Query(which): Query<Which>) -> Answer<List<DeadRow>> {
    let now = admin.clock.now().as_ms();
    let most = most(which.limit);
    let list = ask(&admin, move |reader, names| {
        let plugin = which.plugin.as_deref().map(|name| names.number(name)).transpose()?;
        let found = reader.dead_letters(&DeadLetterFilter { plugin, limit: most })?;
        let items: Result<Vec<_>, StoreError> = found.iter().map(|shown| dead_row(reader, names, shown)).collect();
        Ok(List { now, items: items?, next: None })
    });
    Ok(Json(list.await?))
}

/// `GET /dead-letters/{id}`
pub async fn dead_one(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<DeadRow> {
    let letter: DeadLetterRef = id(&text)?;
    let row = ask(&admin, move |reader, names| {
        let shown = reader.dead_letter(letter)?.ok_or_else(|| ApiError::not_found("dead letter", &text))?;
        let row = dead_row(reader, names, &shown)?;
        let DeadLetterRef::Webhook(id) = letter else { return Ok(row) };
        let text = reader.rejected_webhook(id)?.map(|letter| String::from_utf8_lossy(&letter.body).into_owned());
        Ok(DeadRow { text, ..row })
    });
    Ok(Json(row.await?))
}

fn dead_row(reader: &Reader, names: &Names, shown: &DeadLetter) -> Result<DeadRow, StoreError> {
    let about = match shown.of {
        DeadLetterRef::Message(message) => {
            readable(reader.message_details(message))?.map(|it| summary::outgoing(&it.row.body))
        }
        DeadLetterRef::Handling(handling) => readable(reader.event(handling.event))?
            .map(|it| format!("{}: {}", it.kind().name(), summary::event(&it.body))),
        DeadLetterRef::Webhook(_) => {
            shown.webhook.as_ref().map(|it| format!("for {}, {} bytes: {}", it.app, it.bytes, it.beginning))
        }
    };
    Ok(DeadRow {
        id: shown.of.to_string(),
        plugin: names.of(shown.plugin),
        event: shown.event.map(|event| event.to_string()),
        at: shown.at.as_ms(),
        attempts: shown.attempts,
        code: shown.code.clone(),
        error: shown.error.clone(),
        retried_at: shown.retried_at.map(|at| at.as_ms()),
        answered: matches!(shown.of, DeadLetterRef::Handling(_)) && is_answered(shown.ending),
        summary: about.unwrap_or_default(),
        text: None,
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
    if let DeadLetterRef::Handling(handling) = letter
        && !admin.pipeline.subscriptions().iter().any(|member| member.slot.no() == handling.plugin)
    {
        return Err(ApiError::not_running("the plugin of this dead letter"));
    }
    let done = match admin.store.retry_dead_letter(letter, admin.clock.now()).await? {
        RetriedDeadLetter::Send(_) => {
            admin.pipeline.outbox().rescan();
            Done { message: format!("{letter} will be sent again."), warning: None }
        }
        RetriedDeadLetter::Handling { event, plugin, ending } => {
            match admin.pipeline.retry_handling(event.id, plugin).await? {
                HandlingRetry::Started => {}
                HandlingRetry::AlreadyRunning => {
                    let message = format!("a retry of {letter} is running; wait for its outcome");
                    return Err(ApiError::conflict("retry-running", message));
                }
                HandlingRetry::Unavailable => return Err(ApiError::not_running("the plugin of this dead letter")),
            }
            let warning = "the event was answered meanwhile, so the person may get two answers";
            Done {
                message: format!("{letter} will be handled again, out of order and marked late."),
                warning: is_answered(ending).then(|| warning.into()),
            }
        }
        RetriedDeadLetter::Webhook(letter) => read_again(&admin, letter).await?,
    };
    Ok(Json(done))
}

/// Reads a rejected webhook again: a newer version may understand it.
async fn read_again(admin: &Admin, letter: RejectedWebhook) -> Result<Done, ApiError> {
    let Some(app) = admin.webhooks.apps.get(&letter.app) else {
        let why = format!("{} belongs to the app `{}`, which is not configured", letter.id, letter.app);
        return Err(ApiError::conflict("unknown-app", why));
    };
    let parsed = app.parse(&letter.body, letter.received_at);
    let receipts = parsed.receipts.len();
    if let (Some(still), 0) = (parsed.rejected.first(), parsed.events.len() + receipts) {
        return Err(ApiError::conflict(&still.code, format!("{} is still not understood: {}", letter.id, still.error)));
    }
    let read_from = Some(letter.id);
    let delivery = Delivery { events: parsed.events, receipts: parsed.receipts, rejected: parsed.rejected, read_from };
    let appended = admin.pipeline.inbox().receive(delivery).await?;
    let rest = appended.rejected.first().map(|rest| format!("a part of it is still not understood and is now {rest}"));
    let events = counted(appended.events as u64, "new event", "new events");
    let message =
        format!("{} was read again: {events}, {}.", letter.id, counted(receipts as u64, "receipt", "receipts"));
    Ok(Done { message, warning: rest })
}

/// `POST /dead-letters/{id}/drop`
pub async fn drop_dead_letter(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let letter: DeadLetterRef = id(&text)?;
    admin.store.drop_dead_letter(letter).await?;
    Ok(Json(Done { message: format!("Dropped {letter}."), warning: None }))
}
