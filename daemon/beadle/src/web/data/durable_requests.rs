//! Durable requests of plugins. Those that were given up are dead letters too, by which they are
//! sent again or dropped.

use super::query::{Answer, Names, id, optional_id, page_size, read};
use crate::api::{DurableRequestRow, List, Problem};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::RequestId;
use beadle_model::effect::Traffic;
use beadle_store::{RequestRow, RequestState};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    plugin: Option<String>,
    #[serde(default)]
    given_up: bool,
    before: Option<String>,
    limit: Option<usize>,
}

/// `GET /requests`: newest first.
pub async fn durable_requests(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ListQuery>,
) -> Answer<List<DurableRequestRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, names| {
        let plugin = query.plugin.as_deref().map(|name| names.number(name)).transpose()?;
        let before = optional_id(query.before.as_deref())?;
        let found = reader.durable_requests(plugin, query.given_up, before, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|row| row.id.to_string());
        Ok(List { now, items: found.iter().map(|row| request_row(row, names)).collect(), next })
    });
    Ok(Json(list.await?))
}

/// `GET /requests/{id}`
pub async fn durable_request(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<DurableRequestRow> {
    let request: RequestId = id(&text)?;
    let row = read(&admin, move |reader, names| {
        let found = reader.durable_request(request)?.ok_or_else(|| ApiError::not_found("request", &text))?;
        Ok(request_row(&found, names))
    });
    Ok(Json(row.await?))
}

fn request_row(row: &RequestRow, names: &Names) -> DurableRequestRow {
    let request = &row.request;
    DurableRequestRow {
        id: row.id.to_string(),
        plugin: names.name(row.plugin),
        event: row.event.to_string(),
        state: match row.state {
            RequestState::Queued => "queued",
            RequestState::BeingSent => "being-sent",
            RequestState::Behind => "behind",
            RequestState::GivenUp => "given-up",
        }
        .into(),
        method: request.method.clone(),
        url: url_without_query(&request.url).to_owned(),
        bytes: row.body_bytes,
        key: request.key.clone(),
        traffic: match request.traffic {
            Traffic::Live => "live",
            Traffic::Backfill => "backfill",
        }
        .into(),
        attempts: row.attempts,
        created_at: row.created_at.as_ms(),
        due_at: (row.state == RequestState::Queued).then_some(row.due_at.as_ms()),
        expires_at: request.expires_at.as_ms(),
        given_up_at: row.ended_at.map(|at| at.as_ms()),
        problem: row.problem.clone().map(|(code, message)| Problem { code, message }),
    }
}

/// A URL without query and fragment.
pub fn url_without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
