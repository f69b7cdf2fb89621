//! The admin router: health, readiness, metrics, and `/api/v1`.

use super::context::{Admin, Phase};
use super::failure::ApiError;
use super::{data, guard, metrics, why};
use crate::api::Problem;
use crate::config::ApiAccess;
use crate::token;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// The maximum size of an import: about 200,000 people.
const IMPORT_BYTES: usize = 64 << 20;

/// The maximum size of a broadcast's definition: a list of 200,000 contacts.
const LIST_BYTES: usize = 8 << 20;

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
        .route("/plugins/{name}/rollback/discard-state", post(data::rollback_discarding_state))
        .route("/plugins/{name}/enable", post(data::enable))
        .route("/plugins/{name}/disable", post(data::disable))
        .route("/plugins/{name}/purge", post(data::purge))
        .route("/plugins/{name}/grant/{capabilities}", post(data::grant))
        .route("/plugins/{name}/revoke/{capabilities}", post(data::revoke))
        .route("/events", get(data::events))
        .route("/events/tail", get(data::tail))
        .route("/events/{id}", get(data::event))
        .route("/dead-letters", get(data::dead_letters))
        .route("/dead-letters/{id}", get(data::dead_letter))
        .route("/dead-letters/{id}/retry", post(data::retry_dead_letter))
        .route("/dead-letters/{id}/drop", post(data::drop_dead_letter))
        .route("/outbox", get(data::outbox))
        .route("/schedules", get(data::schedules))
        .route("/schedules/{name}", get(data::schedule))
        .route("/schedules/{name}/next", get(data::next))
        .route("/schedules/{name}/history", get(data::history))
        .route("/schedules/{name}/run", get(data::dry_run).post(data::run))
        .route("/contacts", get(data::contacts))
        .route("/contacts/duplicates", get(data::duplicates))
        .route("/contacts/requests", get(data::requests))
        .route("/contacts/requests/{id}/close", post(data::close_request))
        .route("/contacts/import", post(data::import).layer(DefaultBodyLimit::max(IMPORT_BYTES)))
        .route("/contacts/export", get(data::export))
        .route("/contacts/{id}/consents", get(data::contact_consents).post(data::record_consent))
        .route("/consents", get(data::consents))
        .route("/consents/verify", get(data::verify_consents))
        .route("/consents/links/{wording}", get(data::consent_links))
        .route("/contacts/{id}", get(data::contact).patch(data::edit_contact))
        .route("/contacts/{id}/merge/{other}", get(data::merge_dry_run).post(data::merge))
        .route("/contacts/{id}/mark-distinct/{other}", post(data::mark_distinct))
        .route("/segments", get(data::segments))
        .route("/segments/{name}/count", get(data::count_segment))
        .route("/segments/{name}/members", get(data::segment_members))
        .route("/segments/{name}/explain/{contact}", get(data::explain_segment))
        .route("/lists", get(data::lists).post(data::create_list))
        .route("/lists/{name}", get(data::list).patch(data::edit_list))
        .route("/lists/{name}/members", get(data::list_members))
        .route("/lists/{name}/delete", post(data::delete_list))
        .route("/contacts/{id}/data", get(data::person_data))
        .route("/contacts/{id}/erase", post(data::erase))
        .route("/erasures", get(data::erasures))
        .route("/erasures/{id}", get(data::erasure))
        .route("/retention/plan", get(data::retention_plan))
        .route("/templates", get(data::templates))
        .route("/templates/sync", post(data::sync_templates))
        .route("/templates/lint", get(data::lint))
        .route("/templates/named/{name}", get(data::template))
        .route("/templates/named/{name}/preview", get(data::preview))
        .route("/gate/explain/{recipient}", get(data::explain))
        .route(
            "/broadcasts",
            get(data::broadcasts).post(data::create_broadcast).layer(DefaultBodyLimit::max(LIST_BYTES)),
        )
        .route("/broadcasts/{id}", get(data::broadcast))
        .route("/broadcasts/{id}/recipients", get(data::recipients))
        .route("/broadcasts/{id}/plan", post(data::plan_broadcast))
        .route("/broadcasts/{id}/test", post(data::test_broadcast))
        .route("/broadcasts/{id}/approve", post(data::approve_broadcast))
        .route("/broadcasts/{id}/start", post(data::start_broadcast))
        .route("/broadcasts/{id}/pause", post(data::pause_broadcast))
        .route("/broadcasts/{id}/resume", post(data::resume_broadcast))
        .route("/broadcasts/{id}/stop", post(data::stop_broadcast))
        .route("/costs", get(data::costs))
        .route("/requests", get(data::durable_requests))
        .route("/requests/{id}", get(data::durable_request))
        .route("/windows", get(data::windows))
        .route("/windows/by-hour", get(data::windows_by_hour))
        .route("/why/{id}", get(why::why))
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

/// Refuses requests to `/api/v1` that `access` does not allow. A simulator that drives the clock
/// may ask for it anyway.
async fn authorize(State((admin, access)): State<(Arc<Admin>, ApiAccess)>, request: Request, next: Next) -> Response {
    let is_clock = admin.followed.is_some() && request.uri().path() == "/clock";
    match objection(access, bearer(&request)) {
        Some(reason) if !is_clock => ApiError::unauthorized(reason).into_response(),
        _ => next.run(request).await,
    }
}

/// Why a request with this token, or without one, is refused. Tokens do not expire.
fn objection(access: ApiAccess, token: Option<&str>) -> Option<&'static str> {
    match (access, token) {
        (ApiAccess::Open, _) => None,
        (ApiAccess::Closed, _) => Some(
            "the API on this address is closed: set `token_sha256` (`beadle token`) or `open_api = true` in `[admin]`, \
             or use the socket, which needs no token",
        ),
        (ApiAccess::Token(_), None) => Some(
            "the API on this address needs a token: send `Authorization: Bearer TOKEN`, or use the socket, which needs none",
        ),
        (ApiAccess::Token(hash), Some(token)) if token::hash(token) == hash => None,
        (ApiAccess::Token(_), Some(token)) if !token::is_well_formed(token) => {
            Some("the token is malformed: it must be `beadle_` and 64 hexadecimal digits, as `beadle token` prints it")
        }
        (ApiAccess::Token(_), Some(_)) => Some(
            "the token is unknown: its hash is not `token_sha256` in `[admin]`; create a new one with `beadle token`",
        ),
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// 200 if every task works and the store accepts writes; otherwise 503 with a line for each
/// problem.
async fn health(State(admin): State<Arc<Admin>>) -> Response {
    match admin.health_problems().as_slice() {
        [] => "ok\n".into_response(),
        problems => unavailable("", problems),
    }
}

/// 503 with a line for each problem.
fn unavailable(first_line: &str, problems: &[Problem]) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{first_line}{}", lines(problems))).into_response()
}

/// A line for each problem; its excerpt of a file is left out.
fn lines(problems: &[Problem]) -> String {
    let first = |problem: &Problem| problem.message.lines().next().unwrap_or_default().to_owned();
    problems.iter().map(|problem| format!("{}: {}\n", problem.code, first(problem))).collect()
}

/// 200 if plugins are loaded and webhooks are accepted, with a line for each lesser problem;
/// otherwise 503.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.phase() {
        Phase::Running => match admin.readiness_problems().as_slice() {
            [] => format!("ready\n{}", lines(&data::problems(&admin))).into_response(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_malformed_and_unknown_tokens_get_different_texts() {
        let (right, wrong) = (format!("beadle_{}", "a".repeat(64)), format!("beadle_{}", "b".repeat(64)));
        let access = || ApiAccess::Token(token::hash(&right));
        assert_eq!(objection(access(), Some(&right)), None);
        assert_eq!(objection(ApiAccess::Open, None), None);
        let text = |token: Option<&str>| objection(access(), token).unwrap_or_default();
        assert!(text(None).contains("needs a token"));
        assert!(text(Some("beadle_1")).contains("malformed"));
        assert!(text(Some(&wrong)).contains("unknown"));
        assert!(objection(ApiAccess::Closed, Some(&right)).is_some_and(|text| text.contains("closed")));
    }
}
