//! `/api/v1`: what the store knows, in the shapes of [`crate::api`].
//!
//! Reading blocks, so it is done where that is allowed, on tokio's own threads for it. Every listing has a limit. What
//! the store says in numbers (plugins) is said in names here.

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
use super::failure::No;
use axum::Json;
use beadle_model::PluginNo;
use beadle_store::{Reader, StoreError};
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// What a handler answers.
pub type Answer<T> = Result<Json<T>, No>;

/// A listing's length where nobody says one, and the most there is: the store's own limit.
const USUAL: usize = 50;
const MOST: usize = 1000;

/// The names of plugins, by number.
pub struct Names(HashMap<PluginNo, String>);

impl Names {
    /// As the store has them.
    pub fn read(reader: &Reader) -> Result<Self, StoreError> {
        let mut names: HashMap<_, _> = reader.plugin_names()?.into_iter().collect();
        names.insert(PluginNo::HOST, "beadle".into());
        Ok(Self(names))
    }

    /// The name; the number where it has none.
    pub fn of(&self, no: PluginNo) -> String {
        self.0.get(&no).cloned().unwrap_or_else(|| format!("plugin {}", no.0))
    }

    /// The way back.
    pub fn number(&self, name: &str) -> Result<PluginNo, No> {
        let found = self.0.iter().find(|(_, known)| *known == name).map(|(no, _)| *no);
        found.ok_or_else(|| No::not_found("plugin", name))
    }
}

/// Asks the store something that takes a while.
pub async fn ask<T: Send + 'static>(
    admin: &Admin,
    question: impl FnOnce(&Reader, &Names) -> Result<T, No> + Send + 'static,
) -> Result<T, No> {
    let reader = admin.store.reader();
    let asked = tokio::task::spawn_blocking(move || {
        let names = Names::read(&reader)?;
        question(&reader, &names)
    });
    asked.await.map_err(No::internal)?
}

/// An id, or a "no" that says what was wrong with it.
fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, No> {
    text.parse().map_err(No::bad_request)
}

/// The same for one that may be missing.
fn maybe_id<T: FromStr<Err: Display>>(text: Option<&str>) -> Result<Option<T>, No> {
    text.map(id).transpose()
}

/// One of some words, as serde has them.
fn word<T: serde::de::DeserializeOwned>(what: &str, text: Option<&str>) -> Result<Option<T>, No> {
    let read = |text: &str| {
        serde_json::from_value(text.into()).map_err(|why| No::bad_request(format!("`{text}` is no {what}: {why}")))
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
