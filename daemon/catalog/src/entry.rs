//! A plugin as the CLI, the API and metrics show it.

use crate::config::PluginConfig;
use crate::record::Record;
use beadle_model::PluginNo;
use beadle_pipeline::{Availability, PluginSlot, Suspension};
use beadle_sandbox::Plugin;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A plugin that is installed, configured, or remembered.
#[derive(Clone)]
pub struct Entry {
    /// Its name: the file's stem.
    pub name: String,
    /// Its number in the store; that of the host if it was never loaded.
    pub no: PluginNo,
    /// Its file, if a folder has it.
    pub path: Option<PathBuf>,
    /// Its configuration.
    pub config: PluginConfig,
    /// Its slot, if it has one.
    pub slot: Option<Arc<PluginSlot>>,
    /// The active revision, or one that waits for capabilities if none is active.
    pub plugin: Option<Arc<Plugin>>,
    /// How far it was loaded.
    pub load: LoadState,
    /// The revision in the folder, if it could not replace the active one.
    pub blocked: Option<BlockedRevision>,
    /// What is remembered across restarts.
    pub record: Record,
    /// The steps of the last activation with their times.
    pub steps: Vec<StepTime>,
}

/// A step of a load and its time.
pub type StepTime = (&'static str, Duration);

/// How far a plugin was loaded. Whether a loaded one is called, only its slot knows
/// ([`Availability`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// It is being loaded for the first time.
    Loading,
    /// Nothing is left to load: its slot has a revision or keeps its events for one, or a person
    /// disabled it.
    Loaded,
    /// It requests capabilities that are not granted.
    Pending {
        /// The missing capabilities.
        missing: Vec<String>,
    },
    /// It cannot be loaded.
    Broken {
        /// The code, see `beadle explain`.
        code: &'static str,
        /// The reason and what to do.
        error: String,
    },
    /// Its file was removed; its state, timers and events are kept for `retention.removed_plugins`.
    Removed,
}

/// A revision that could not become active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedRevision {
    /// Its content hash, if it could be read.
    pub revision: Option<String>,
    /// The step that rejected it.
    pub step: &'static str,
    /// The code, see `beadle explain`.
    pub code: &'static str,
    /// The reason and what to do.
    pub reason: String,
}

impl Entry {
    /// Whether it is called; `None` unless it is loaded. A disabled plugin has no slot.
    pub fn availability(&self) -> Option<Availability> {
        match (&self.load, &self.slot) {
            (LoadState::Loaded, _) if self.record.disabled_since.is_some() => Some(Availability::Disabled),
            (LoadState::Loaded, Some(slot)) => Some(slot.availability()),
            _ => None,
        }
    }

    /// The name of its state in tables and JSON.
    pub fn state(&self) -> &'static str {
        match &self.load {
            LoadState::Loading => "loading",
            LoadState::Pending { .. } => "pending",
            LoadState::Broken { .. } => "broken",
            LoadState::Removed => "removed",
            LoadState::Loaded => match self.availability().unwrap_or_default() {
                Availability::Suspended(_) => "suspended",
                Availability::Resting { .. } | Availability::OnTrial { .. } => "resting",
                Availability::Disabled => "disabled",
                Availability::Available if self.is_on_probation() => "probation",
                Availability::Available => "active",
            },
        }
    }

    fn is_on_probation(&self) -> bool {
        let active = self.slot.as_ref().and_then(|slot| slot.active());
        active.is_some_and(|active| active.probation.is_some())
    }

    /// Whether it gets events, now or after a rest.
    pub fn is_in_service(&self) -> bool {
        self.availability().is_some_and(|availability| !availability.is_out_of_service())
    }

    /// Why it is suspended, if it is.
    pub fn suspension(&self) -> Option<Suspension> {
        match self.availability() {
            Some(Availability::Suspended(suspension)) => Some(suspension),
            _ => None,
        }
    }

    /// The code of the problem, and the problem and what to do without a full stop, if the plugin
    /// should get events and does not.
    pub fn problem(&self) -> Option<(String, String)> {
        let name = &self.name;
        match (&self.load, self.availability()) {
            (LoadState::Pending { missing }, _) => Some(("plugin-pending".into(), describe_missing(name, missing))),
            (LoadState::Broken { code, error }, _) => Some(((*code).into(), error.clone())),
            (_, Some(Availability::Resting { cause, .. } | Availability::OnTrial { cause })) => Some((
                "plugin-resting".into(),
                format!(
                    "`{name}` failed repeatedly and rests before it is tried with one event; the last failure: {} ({})",
                    cause.error, cause.code
                ),
            )),
            (_, Some(Availability::Suspended(Suspension { code, reason, .. }))) => Some((
                code,
                format!(
                    "`{name}` is suspended: {reason}; its events wait until you run `beadle plugins enable {name}` or replace its file"
                ),
            )),
            _ => None,
        }
    }

    /// The code and text of the problem with the revision in the folder, if an earlier one is
    /// active instead.
    pub fn blocked_problem(&self) -> Option<(String, String)> {
        let BlockedRevision { code, reason, .. } = self.blocked.as_ref()?;
        let active = self.slot.as_ref().and_then(|slot| slot.active());
        let text = match active {
            Some(active) if *code != "rolled-back" => {
                format!("{}; {}", reason.trim_end_matches('.'), still_active(active.plugin.revision()))
            }
            // Its reason names the active revision.
            _ => reason.clone(),
        };
        Some(((*code).to_owned(), text))
    }
}

/// Says which revision handles events instead of a rejected one.
fn still_active(revision: &str) -> String {
    format!("the earlier revision {} stays active and handles events", revision.get(..12).unwrap_or(revision))
}

/// Describes missing capabilities and how to grant them.
pub(crate) fn describe_missing(name: &str, missing: &[String]) -> String {
    let quoted: Vec<_> = missing.iter().map(|capability| format!("\"{capability}\"")).collect();
    format!(
        "`{name}` requests {missing}, which is not granted; to grant it, run `beadle plugins grant {name} {first}` or set `grant = [{quoted}]` in `[plugins.{name}]`",
        missing = missing.join(", "),
        first = missing.join(" "),
        quoted = quoted.join(", "),
    )
}
