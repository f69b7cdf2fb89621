//! A plugin as it is shown: whether it serves, what it is, and what became of the last file that was put there.

use crate::config::PluginConfig;
use crate::record::Record;
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{PluginSlot, Suspension};
use beadle_sandbox::Plugin;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A plugin that is there, should be, or was.
#[derive(Clone)]
pub struct Entry {
    /// Its file's stem.
    pub name: String,
    /// Its number in the store; of one that was never seen, nobody's.
    pub no: PluginNo,
    /// Its file; none where no folder has it.
    pub path: Option<PathBuf>,
    /// What it is configured to be.
    pub config: PluginConfig,
    /// Where it sits, once it has served.
    pub slot: Option<Arc<PluginSlot>>,
    /// What serves; where nothing does, what would.
    pub plugin: Option<Arc<Plugin>>,
    /// Whether it serves, and why not.
    pub state: PluginState,
    /// What lies in the folder and does not serve, beside a revision that does.
    pub blocked: Option<BlockedRevision>,
    /// What is remembered of it across starts.
    pub record: Record,
    /// The steps of its last change, and how long each took.
    pub steps: Vec<StepTime>,
}

/// A step of a change, and how long it took.
pub type StepTime = (&'static str, Duration);

/// Whether a plugin serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// It does.
    Active,
    /// It does, and the revision before it is kept warm beside it.
    Probation {
        /// Tries that went well.
        well: u32,
        /// Tries that it failed and the one before it did not.
        failed: u32,
    },
    /// It does, and rests after it failed whatever it got; then it is tried with one event.
    Resting {
        /// For `beadle explain`: of what it failed last.
        code: String,
        /// What happened.
        error: String,
    },
    /// It is loaded and not asked: what is for it alone is kept.
    Suspended(Suspension),
    /// A person switched it off.
    Disabled {
        /// When (civil time).
        since: Timestamp,
    },
    /// It is being loaded for the first time.
    Loading,
    /// It asks for capabilities that it was not given.
    Pending {
        /// Which.
        missing: Vec<String>,
    },
    /// It cannot.
    Broken {
        /// For `beadle explain`.
        code: &'static str,
        /// What is wrong and what to do.
        error: String,
    },
    /// Its file was removed; its state and timers are kept for a while.
    Removed,
}

/// A revision that could not take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedRevision {
    /// Its content hash, where it could be read.
    pub revision: Option<String>,
    /// The step at which it was refused.
    pub step: &'static str,
    /// For `beadle explain`.
    pub code: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl PluginState {
    /// For people and JSON.
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

    /// Whether events go to it.
    pub fn serves(&self) -> bool {
        matches!(self, PluginState::Active | PluginState::Probation { .. } | PluginState::Resting { .. })
    }

    /// For `beadle explain`, where it does not serve and should.
    pub fn code(&self) -> Option<&str> {
        match self {
            PluginState::Pending { .. } => Some("plugin-pending"),
            PluginState::Resting { .. } => Some("plugin-resting"),
            PluginState::Suspended(suspension) => Some(&suspension.code),
            PluginState::Broken { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Why it does not serve as it should, in a sentence; `None` where it does, or nobody expects it to.
    pub fn reason(&self, name: &str) -> Option<String> {
        match self {
            PluginState::Pending { missing } => Some(pending(name, missing)),
            PluginState::Resting { code, error } => Some(format!(
                "`{name}` fails whatever it gets and rests, then it is tried with one event; last it failed so: {error} ({code})"
            )),
            PluginState::Suspended(Suspension { why, .. }) => Some(format!(
                "`{name}` is suspended: {why}. What is for it alone is kept; `beadle plugins enable {name}` has it asked again, another file takes its place"
            )),
            PluginState::Broken { error, .. } => Some(error.clone()),
            _ => None,
        }
    }
}

/// What to do about capabilities that are missing.
pub(crate) fn pending(name: &str, missing: &[String]) -> String {
    let quoted: Vec<_> = missing.iter().map(|capability| format!("\"{capability}\"")).collect();
    format!(
        "`{name}` asks for {missing}, which it was not given. If it may, say `beadle plugins grant {name} {first}` or write [plugins.{name}] grant = [{quoted}]",
        missing = missing.join(", "),
        first = missing.join(" "),
        quoted = quoted.join(", "),
    )
}
