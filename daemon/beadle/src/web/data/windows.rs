//! Open reply windows.

use super::query::{Answer, page_size, read};
use crate::api::{List, WindowHourRow, WindowRow};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Query, State};
use beadle_store::views::{OpenWindow, WindowFilter};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    channel: Option<String>,
    within_ms: Option<i64>,
    limit: Option<usize>,
}

/// `GET /windows`: the ones that close first come first.
pub async fn windows(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<WindowRow>> {
    let now = admin.clock.now();
    let closes_before = match query.within_ms {
        Some(within_ms) if within_ms <= 0 => return Err(ApiError::bad_request("`within_ms` is a number above 0")),
        within_ms => within_ms.map(|within_ms| now.plus_ms(within_ms)),
    };
    let filter = WindowFilter { channel: query.channel, closes_before };
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let found = reader.windows(&filter, now, limit)?;
        Ok(List { now: now.as_ms(), items: found.into_iter().map(window_row).collect(), next: None })
    });
    Ok(Json(list.await?))
}

/// `GET /windows/by-hour`
pub async fn windows_by_hour(State(admin): State<Arc<Admin>>) -> Answer<List<WindowHourRow>> {
    let now = admin.clock.now();
    let list = read(&admin, move |reader, _| {
        let row = |hour: beadle_store::views::WindowHour| WindowHourRow {
            channel: hour.channel,
            within_hours: hour.hour,
            windows: hour.windows,
        };
        Ok(List { now: now.as_ms(), items: reader.windows_by_hour(now)?.into_iter().map(row).collect(), next: None })
    });
    Ok(Json(list.await?))
}

fn window_row(window: OpenWindow) -> WindowRow {
    WindowRow {
        conversation: window.conversation.to_string(),
        channel: window.channel,
        contact: window.contact.map(|contact| contact.to_string()),
        name: window.name,
        group: window.group,
        last_inbound_at: window.last_inbound_at.as_ms(),
        closes_at: window.until.as_ms(),
        free_entry_until: window.free_entry_until.map(|at| at.as_ms()),
    }
}
