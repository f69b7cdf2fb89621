//! The admin router: health, readiness, metrics, and `/api/v1`.

use super::failure::ApiError;
use super::{Admin, Phase, data, guard, metrics, story};
use crate::api::Problem;
use crate::config::ApiAccess;
use crate::token;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// All routes of the admin side. `access` decides who may use `/api/v1`.
pub fn router(admin: Arc<Admin>, access: ApiAccess) -> Router {
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
        .route("/contacts/{keep}/merge/{removed}", get(data::would_merge).post(data::merge))
        .route("/contacts/{one}/mark-distinct/{other}", post(data::mark_distinct))
        .route("/windows", get(data::windows))
        .route("/windows/by-hour", get(data::windows_by_hour))
        .route("/why/{id}", get(story::why))
        .fallback(async || ApiError::not_found("resource", "with this path below /api/v1"));
    #[cfg(debug_assertions)]
    let api = api.route("/tasks/{kind}/fault/{fault}", post(data::inject));
    let api = api.layer(middleware::from_fn_with_state((Arc::clone(&admin), access), authorize));
    Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .nest("/api/v1", api)
        .layer(middleware::from_fn(guard::guard))
        .with_state(admin)
}

/// Refuses requests to `/api/v1` that `access` does not allow. A simulator that drives the clock may ask for it anyway.
async fn authorize(State((admin, access)): State<(Arc<Admin>, ApiAccess)>, request: Request, next: Next) -> Response {
    let is_clock = admin.followed.is_some() && request.uri().path() == "/clock";
    let allowed = match access {
        ApiAccess::Open => true,
        ApiAccess::Closed => is_clock,
        ApiAccess::Token(hash) => is_clock || bearer(&request).is_some_and(|token| token::hash(token) == hash),
    };
    if allowed { next.run(request).await } else { ApiError::unauthorized().into_response() }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 200 if every task works and the store takes writes; otherwise 503 with a line for each problem.
async fn health(State(admin): State<Arc<Admin>>) -> Response {
    match admin.health_problems().as_slice() {
        [] => "ok\n".into_response(),
        problems => unavailable("", problems),
    }
}

/// 503 with a line for each problem.
fn unavailable(first_line: &str, problems: &[Problem]) -> Response {
    let lines: String = problems.iter().map(|problem| format!("{}: {}\n", problem.code, problem.message)).collect();
    (StatusCode::SERVICE_UNAVAILABLE, format!("{first_line}{lines}")).into_response()
}

/// 200 if plugins are loaded and webhooks are taken, with a line for each lesser problem; otherwise 503.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.phase() {
        Phase::Running => match admin.readiness_problems().as_slice() {
            [] => {
                let warnings = data::warnings(&admin).into_iter().map(|warning| format!("{}\n", warning.message));
                format!("ready\n{}", warnings.collect::<String>()).into_response()
            }
            problems => unavailable("not ready\n", problems),
        },
        phase => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", phase.name())).into_response(),
    }
}

async fn scrape(State(admin): State<Arc<Admin>>) -> Result<Response, ApiError> {
    let text = metrics::text(data::snapshot(&admin).await?).map_err(ApiError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
