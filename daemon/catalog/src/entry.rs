//! A plugin as the CLI, the API and metrics show it.

use crate::config::PluginConfig;
use crate::record::Record;
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{PluginSlot, Suspension};
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
    /// Its state.
    pub state: PluginState,
    /// The revision in the folder, if it could not replace the active one.
    pub blocked: Option<BlockedRevision>,
    /// What is remembered across restarts.
    pub record: Record,
    /// The steps of the last activation with their times.
    pub steps: Vec<StepTime>,
}

/// A step of a load and its time.
pub type StepTime = (&'static str, Duration);

/// The state of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// It gets events.
    Active,
    /// It gets events; the previous revision is kept as a fallback.
    Probation {
        /// Successful tries.
        well: u32,
        /// Tries that failed and succeeded with the previous revision.
        failed: u32,
    },
    /// It failed repeatedly and gets no events for a while; then it is tried with one.
    Resting {
        /// The code of the last failure.
        code: String,
        /// The last failure.
        error: String,
    },
    /// It gets no events until a person enables it or its file changes; its own events wait.
    Suspended(Suspension),
    /// A person disabled it.
    Disabled {
        /// When (civil time).
        since: Timestamp,
    },
    /// It is being loaded for the first time.
    Loading,
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

impl PluginState {
    /// The name in tables and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            PluginState::Active => "active",
            PluginState::Probation { .. } => "probation",
            PluginState::Resting { .. } => "resting",
            PluginState::Suspended(_) => "suspended",
            PluginState::Disabled { .. } => "disabled",
            PluginState::Loading => "loading",
            PluginState::Pending { .. } => "pending",
            PluginState::Broken { .. } => "broken",
            PluginState::Removed => "removed",
        }
    }

    /// Whether it gets events, now or after a rest.
    pub fn serves(&self) -> bool {
        matches!(self, PluginState::Active | PluginState::Probation { .. } | PluginState::Resting { .. })
    }

    /// The code of the problem, if the plugin should get events and does not.
    pub fn code(&self) -> Option<&str> {
        match self {
            PluginState::Pending { .. } => Some("plugin-pending"),
            PluginState::Resting { .. } => Some("plugin-resting"),
            PluginState::Suspended(suspension) => Some(&suspension.code),
            PluginState::Broken { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The problem and what to do, without a full stop, if the plugin should get events and does not.
    pub fn reason(&self, name: &str) -> Option<String> {
        match self {
            PluginState::Pending { missing } => Some(describe_missing(name, missing)),
            PluginState::Resting { code, error } => Some(format!(
                "`{name}` failed repeatedly and rests before it is tried with one event; the last failure: {error} ({code})"
            )),
            PluginState::Suspended(Suspension { why, .. }) => Some(format!(
                "`{name}` is suspended: {why}; its events wait until you run `beadle plugins enable {name}` or replace its file"
            )),
            PluginState::Broken { error, .. } => Some(error.clone()),
            _ => None,
        }
    }
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
