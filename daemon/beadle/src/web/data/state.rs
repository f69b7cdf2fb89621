//! The state of a plugin.

use super::query::{Answer, id, page_size, read};
use crate::api::{List, StateRow};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_model::Scope;
use serde::Deserialize;
use std::sync::Arc;

/// Longer values are cut; a value may have 256 KiB.
const SHOWN_BYTES: usize = 2048;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    /// `con_…` or `cnv_…`; without it, the state of the plugin itself.
    scope: Option<String>,
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /plugins/{name}/state`: ordered by key.
pub async fn state(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Answer<List<StateRow>> {
    let now = admin.clock.now();
    let ListQuery { scope, prefix, after, limit } = query;
    let (scope, limit) = (scope.as_deref().map_or(Ok(Scope::Plugin), parse_scope)?, page_size(limit));
    let list = read(&admin, move |reader, names| {
        let (current, _) = reader.plugin_states(names.number(&name)?)?;
        let found = reader.state_scan(current.no, scope, &prefix, after.as_deref(), limit, now)?;
        let next = found.last().filter(|_| found.len() == limit).map(|(key, ..)| key.clone());
        let items =
            found.into_iter().map(|(key, value, _)| StateRow { key, bytes: value.len(), value: text_of(&value) });
        Ok(List { now: now.as_ms(), items: items.collect(), next })
    });
    Ok(Json(list.await?))
}

fn parse_scope(text: &str) -> Result<Scope, ApiError> {
    if text.starts_with("cnv_") { id(text).map(Scope::Conversation) } else { id(text).map(Scope::Contact) }
}

/// The value as text, cut if it is long.
fn text_of(value: &[u8]) -> String {
    match value.get(..SHOWN_BYTES) {
        Some(beginning) if value.len() > SHOWN_BYTES => String::from_utf8_lossy(beginning).into_owned() + "…",
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}
