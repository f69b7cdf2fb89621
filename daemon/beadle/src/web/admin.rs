//! The admin router: health, readiness, metrics, and `/api/v1`.

use super::failure::No;
use super::{Admin, Phase, data, guard, metrics, story};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// Everything that this machine may ask.
pub fn router(admin: Arc<Admin>) -> Router {
    let api = Router::new()
        .route("/status", get(data::status))
        .route("/clock", get(data::clock))
        .route("/config", get(data::config))
        .route("/plugins", get(data::plugins))
        .route("/plugins/{name}", get(data::plugin))
        .route("/plugins/{name}/documents", get(data::documents))
        .route("/plugins/{name}/state", get(data::state))
        .route("/plugins/{name}/rollback", post(data::rollback))
        .route("/plugins/{name}/rollback/discard-state", post(data::rollback_losing_state))
        .route("/plugins/{name}/enable", post(data::enable))
        .route("/plugins/{name}/disable", post(data::disable))
        .route("/plugins/{name}/purge", post(data::purge))
        .route("/plugins/{name}/grant/{capabilities}", post(data::grant))
        .route("/plugins/{name}/revoke/{capabilities}", post(data::revoke))
        .route("/events", get(data::events))
        .route("/events/tail", get(data::tail))
        .route("/events/{id}", get(data::event))
        .route("/dead-letters", get(data::dead))
        .route("/dead-letters/{id}", get(data::dead_one))
        .route("/dead-letters/{id}/retry", post(data::retry_dead_letter))
        .route("/dead-letters/{id}/drop", post(data::drop_dead_letter))
        .route("/outbox", get(data::outbox))
        .route("/schedules", get(data::schedules))
        .route("/schedules/{name}", get(data::schedule))
        .route("/schedules/{name}/next", get(data::next))
        .route("/schedules/{name}/history", get(data::history))
        .route("/schedules/{name}/run", get(data::would_run).post(data::run))
        .route("/contacts", get(data::contacts))
        .route("/contacts/duplicates", get(data::duplicates))
        .route("/contacts/{id}", get(data::contact).patch(data::edit_contact))
        .route("/contacts/{keep}/merge/{gone}", get(data::would_merge).post(data::merge))
        .route("/contacts/{one}/mark-distinct/{other}", post(data::mark_distinct))
        .route("/windows", get(data::windows))
        .route("/windows/by-hour", get(data::windows_by_hour))
        .route("/why/{id}", get(story::why))
        .fallback(async || No::not_found("question", "of this name below /api/v1"));
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .nest("/api/v1", api)
        .layer(middleware::from_fn(guard::guard))
        .with_state(admin)
}

/// 200 where the pipeline makes progress, else 503 and what keeps it from that.
async fn health(State(admin): State<Arc<Admin>>) -> Response {
    match admin.problems().as_slice() {
        [] => "ok\n".into_response(),
        problems => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", problems.join("\n"))).into_response(),
    }
}

/// 200 where plugins are loaded and webhooks are taken; then with what does not run as it should, a line each.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.phase() {
        Phase::Running => {
            let doubts = data::doubts(&admin).into_iter().map(|doubt| format!("{}\n", doubt.message));
            format!("ready\n{}", doubts.collect::<String>()).into_response()
        }
        phase => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", phase.name())).into_response(),
    }
}

async fn scrape(State(admin): State<Arc<Admin>>) -> Result<Response, No> {
    let text = metrics::text(data::snapshot(&admin).await?).map_err(No::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
