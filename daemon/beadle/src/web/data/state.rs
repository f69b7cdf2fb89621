//! The state of a plugin.

use super::{Admin, Answer, ask, id, most};
use crate::api::{List, StateRow};
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
pub struct Which {
    /// `con_…` or `cnv_…`; without it, the state of the plugin itself.
    of: Option<String>,
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /plugins/{name}/state`: ordered by key.
pub async fn state(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Answer<List<StateRow>> {
    let now = admin.clock.now();
    let Which { of, prefix, after, limit } = which;
    let (scope, most) = (of.as_deref().map_or(Ok(Scope::Plugin), scope)?, most(limit));
    let list = ask(&admin, move |reader, names| {
        let (has, _) = reader.plugin_states(names.number(&name)?)?;
        let found = reader.state_scan(has.no, scope, &prefix, after.as_deref(), most, now)?;
        let next = found.last().filter(|_| found.len() == most).map(|(key, ..)| key.clone());
        let items =
            found.into_iter().map(|(key, value, _)| StateRow { key, bytes: value.len(), value: text_of(&value) });
        Ok(List { now: now.as_ms(), items: items.collect(), next })
    });
    Ok(Json(list.await?))
}

fn scope(of: &str) -> Result<Scope, ApiError> {
    if of.starts_with("cnv_") { id(of).map(Scope::Conversation) } else { id(of).map(Scope::Contact) }
}

/// The value as text, cut if it is long.
fn text_of(value: &[u8]) -> String {
    match value.get(..SHOWN_BYTES) {
        Some(beginning) if value.len() > SHOWN_BYTES => String::from_utf8_lossy(beginning).into_owned() + "…",
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}
