//! The data of one person, and erasures.

use super::person::{PageError, page};
use super::query::{Answer, Names, id, page_size, read};
use crate::api::{ErasurePlugin, ErasureRow, ErasureView, List, PersonData, RetentionKind, RetentionPlanView};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::{ContactId, HandlingId, Timestamp};
use beadle_store::{AskedBy, ErasingPlugin, ErasingState, Erasure, Reader, StoreError};
use serde::Deserialize;
use std::sync::Arc;

/// Where to go on.
#[derive(Debug, Deserialize)]
pub struct DataQuery {
    after: Option<String>,
}

/// `GET /contacts/{id}/data`
pub async fn person_data(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    Query(query): Query<DataQuery>,
) -> Answer<PersonData> {
    let contact: ContactId = id(&text)?;
    match page(&admin, contact, query.after.as_deref()).await {
        Ok(data) => {
            if query.after.is_none() {
                tracing::info!(%contact, "data of a person exported by the operator");
            }
            Ok(Json(data))
        }
        Err(PageError::NotFound) => Err(ApiError::not_found("contact", &text)),
        Err(PageError::BadCursor) => Err(ApiError::bad_request("`after` must be `next` of the page before")),
        Err(PageError::Store(error)) => Err(error.into()),
    }
}

/// `POST /contacts/{id}/erase`: begins the erasure of a person, which cannot be undone.
pub async fn erase(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<ErasureView> {
    let contact: ContactId = id(&text)?;
    let erasure = admin.store.begin_erasure(contact, AskedBy::Operator, admin.clock.now()).await?;
    tracing::info!(%contact, erasure, "erasure begun by the operator");
    view(&admin, erasure).await
}

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    before: Option<i64>,
    limit: Option<usize>,
}

/// `GET /erasures`: newest first.
pub async fn erasures(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<ErasureRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let found = reader.erasures(query.before, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|erasure| erasure.id.to_string());
        Ok(List { now, items: found.iter().map(row).collect(), next })
    });
    Ok(Json(list.await?))
}

/// `GET /erasures/{id}`
pub async fn erasure(State(admin): State<Arc<Admin>>, Path(number): Path<i64>) -> Answer<ErasureView> {
    view(&admin, number).await
}

fn row(erasure: &Erasure) -> ErasureRow {
    ErasureRow {
        id: erasure.id,
        contact: if erasure.contact.0 == 0 { "-".into() } else { erasure.contact.to_string() },
        asked_by: erasure.asked_by.name().into(),
        begun_at: erasure.begun_at.as_ms(),
        phase: erasure.phase.name().into(),
        completed_at: erasure.completed_at.map(Timestamp::as_ms),
    }
}

async fn view(admin: &Admin, number: i64) -> Answer<ErasureView> {
    let now = admin.clock.now().as_ms();
    let view = read(admin, move |reader, names| {
        let erasure = reader.erasure(number)?.ok_or_else(|| ApiError::not_found("erasure", &number.to_string()))?;
        let plugins = plugins(reader, names, &erasure)?;
        Ok(ErasureView { now, row: row(&erasure), erased: erasure.report.erased.clone(), plugins })
    });
    Ok(Json(view.await?))
}

/// The plugins as they are; once the rows are being erased, as they were then.
fn plugins(reader: &Reader, names: &Names, erasure: &Erasure) -> Result<Vec<ErasurePlugin>, StoreError> {
    let report = &erasure.report;
    if !report.plugins.is_empty() || !report.plugins_failed.is_empty() || erasure.completed_at.is_some() {
        let plugin = |name: &String, state: &str| ErasurePlugin {
            plugin: name.clone(),
            state: state.into(),
            attempts: None,
            error: None,
            dead_letter: None,
        };
        let done = report.plugins.iter().map(|name| plugin(name, "done"));
        return Ok(done.chain(report.plugins_failed.iter().map(|name| plugin(name, "given-up"))).collect());
    }
    let Some(event) = erasure.event else { return Ok(Vec::new()) };
    let (plugins, _) = reader.erasing_plugins(event)?;
    let plugin = |row: ErasingPlugin| ErasurePlugin {
        plugin: names.name(row.plugin),
        state: match row.state {
            ErasingState::Pending => "pending",
            ErasingState::Waiting => "waiting",
            ErasingState::Failed { .. } => "failed",
            ErasingState::GivenUp => "given-up",
            ErasingState::Done => "done",
        }
        .into(),
        attempts: Some(row.attempts),
        error: row.error,
        dead_letter: matches!(row.state, ErasingState::Failed { .. })
            .then(|| HandlingId { event, plugin: row.plugin }.to_string()),
    };
    Ok(plugins.into_iter().map(plugin).collect())
}

/// `GET /retention/plan`: what retention would delete now.
pub async fn retention_plan(State(admin): State<Arc<Admin>>) -> Answer<RetentionPlanView> {
    let (now, policy) = (admin.clock.now(), *admin.retention.borrow());
    let plan = read(&admin, move |reader, _| Ok(reader.retention_plan(&policy, now)?)).await?;
    let keep_ms = |kind: &str| match kind {
        "events" | "schedule_history" => Some(policy.events_ms),
        "messages" | "broadcasts" => Some(policy.outbox_ms),
        "dead_letters" => Some(policy.dead_ms),
        "media" => Some(policy.media_ms),
        "requests" => Some(policy.requests_ms),
        "erased_identities" => Some(policy.erased_identities_ms),
        "unanswered_people" => Some(policy.unanswered_ms),
        _ => None,
    };
    let kind = |(kind, count, at_least): (&str, u64, bool)| RetentionKind {
        kind: kind.into(),
        keep_ms: keep_ms(kind),
        count,
        at_least,
    };
    Ok(Json(RetentionPlanView {
        now: now.as_ms(),
        measured_at: plan.measured_at.as_ms(),
        kinds: plan.kinds.into_iter().map(kind).collect(),
    }))
}
