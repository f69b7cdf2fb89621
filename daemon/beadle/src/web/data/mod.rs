//! Handlers of `/api/v1`, which answer in the shapes of [`crate::api`].
//!
//! The store blocks, so it is read on tokio's blocking threads. Every list has a limit. Numbers of plugins become names.

mod clock;
mod dead;
mod events;
mod outbox;
mod people;
mod plugins;
mod schedules;
mod state;
mod status;
mod tasks;
mod windows;

pub use clock::clock;
pub use dead::{dead, dead_one, drop_dead_letter, retry_dead_letter};
pub use events::{ending, event, event_row, events, tail};
pub use outbox::{message_row, outbox, receipts};
pub use people::{contact, contacts, duplicates, edit_contact, mark_distinct, merge, would_merge};
pub use plugins::{disable, documents, enable, grant, plugin, plugins, purge, revoke, rollback, rollback_losing_state};
pub use schedules::{history, next, run, schedule, schedules, would_run};
pub use state::state;
pub use status::{config, snapshot, status, status_line, warnings};
#[cfg(debug_assertions)]
pub use tasks::inject;
pub use windows::{windows, windows_by_hour};

use super::Admin;
use super::failure::ApiError;
use axum::Json;
use beadle_model::PluginNo;
use beadle_store::{Reader, StoreError};
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// The answer of a handler.
pub type Answer<T> = Result<Json<T>, ApiError>;

/// The default and the maximum length of a list; the maximum is the store's.
const USUAL: usize = 50;
const MOST: usize = 1000;

/// The names of plugins, by number.
pub struct Names(HashMap<PluginNo, String>);

impl Names {
    /// Reads them from the store.
    pub fn read(reader: &Reader) -> Result<Self, StoreError> {
        let mut names: HashMap<_, _> = reader.plugin_names()?.into_iter().collect();
        names.insert(PluginNo::HOST, "beadle".into());
        Ok(Self(names))
    }

    /// The name, or the number if there is none.
    pub fn of(&self, no: PluginNo) -> String {
        self.0.get(&no).cloned().unwrap_or_else(|| format!("plugin {}", no.0))
    }

    /// The number of a plugin.
    pub fn number(&self, name: &str) -> Result<PluginNo, ApiError> {
        let found = self.0.iter().find(|(_, known)| *known == name).map(|(no, _)| *no);
        found.ok_or_else(|| ApiError::not_found("plugin", name))
    }
}

/// Reads from the store on a blocking thread.
pub async fn ask<T: Send + 'static>(
    admin: &Admin,
    question: impl FnOnce(&Reader, &Names) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = admin.store.reader();
    let asked = tokio::task::spawn_blocking(move || {
        let names = Names::read(&reader)?;
        question(&reader, &names)
    });
    asked.await.map_err(ApiError::internal)?
}

/// Parses an id.
fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(ApiError::bad_request)
}

/// Parses an optional id.
fn maybe_id<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    text.map(id).transpose()
}

/// Parses the name of a variant.
fn word<T: serde::de::DeserializeOwned>(what: &str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    let read = |text: &str| {
        serde_json::from_value(text.into())
            .map_err(|why| ApiError::bad_request(format!("`{text}` is not a valid {what}: {why}")))
    };
    text.map(read).transpose()
}

/// `1 event`, `2 events`
fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn most(limit: Option<usize>) -> usize {
    limit.unwrap_or(USUAL).clamp(1, MOST)
}
