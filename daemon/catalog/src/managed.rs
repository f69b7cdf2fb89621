//! One plugin as the reconciler manages it: its file, its slot, its record, and the result of the
//! last load.
//!
//! It holds the transitions between states. It reads no files, writes no store and starts no loads;
//! what must be written is returned or left in `record`.

use crate::config::{Config, PluginConfig};
use crate::entry::{BlockedRevision, Entry, LoadState, StepTime, describe_missing};
use crate::folder::Stamp;
use crate::plan::Attempt;
use crate::record::{Record, SuspendedRevision};
use crate::transaction::{LoadOutcome, LoadResult, PROBATION_FAILURES, PROBATION_SUCCESSES, PROBATION_TIME};
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{ActiveRevision, Availability, PluginSlot, Probation, Subscription, Suspension};
use beadle_sandbox::Plugin;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A load that failed for a transient reason is repeated after this time.
const RETRY: Duration = Duration::from_secs(5);

/// A plugin that is installed or remembered.
pub(crate) struct ManagedPlugin {
    pub no: PluginNo,
    pub record: Record,
    pub config: PluginConfig,
    /// Its file, from the first load on.
    pub path: Option<PathBuf>,
    /// Its slot, while it is active or its events wait.
    pub slot: Option<Arc<PluginSlot>>,
    /// A revision that waits for capabilities while none is active.
    pub candidate: Option<Arc<Plugin>>,
    pub load: LoadState,
    pub blocked: Option<BlockedRevision>,
    /// The steps of the last activation.
    pub steps: Vec<StepTime>,
    /// The inputs of the last load; `None` if it is to be repeated.
    pub attempt: Option<Attempt>,
    /// When the running load began.
    pub loading_since: Option<Instant>,
    /// The file as last observed, and since when it is unchanged.
    pub observed: Option<(Stamp, Instant)>,
    /// When its file changed, until a load begins because of that, or none is needed.
    pub changed_at: Option<Instant>,
    /// Since when the file is missing.
    pub missing_since: Option<Instant>,
    /// When to repeat a load that failed for a transient reason.
    pub retry_at: Option<Instant>,
    pub probation_since: Option<Instant>,
}

/// What a review of the probation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbationChange {
    None,
    /// The earlier revision is active again; the record must be written.
    RolledBack,
}

impl ManagedPlugin {
    pub fn new(no: PluginNo, record: Record, config: PluginConfig) -> Self {
        let load = match (record.gone_since, record.disabled_since) {
            (Some(_), _) => LoadState::Removed,
            (None, Some(_)) => LoadState::Loaded,
            (None, None) => LoadState::Loading,
        };
        Self {
            no,
            record,
            config,
            path: None,
            slot: None,
            candidate: None,
            load,
            blocked: None,
            steps: Vec::new(),
            attempt: None,
            loading_since: None,
            observed: None,
            changed_at: None,
            missing_since: None,
            retry_at: None,
            probation_since: None,
        }
    }

    /// The capabilities granted in TOML and by command.
    pub fn granted(&self) -> BTreeSet<String> {
        self.config.grant.iter().chain(&self.record.granted).cloned().collect()
    }

    /// The capabilities that its active revision, or the one that waits for capabilities, requests;
    /// `None` if neither exists.
    pub fn requested(&self) -> Option<BTreeSet<&'static str>> {
        let active = self.slot.as_ref().and_then(|slot| slot.active()).map(|active| active.plugin);
        let plugin = self.candidate.clone().or(active)?;
        Some(plugin.requested_capabilities().iter().copied().collect())
    }

    pub fn is_loading(&self) -> bool {
        self.loading_since.is_some()
    }

    /// Whether its slot has a revision.
    pub fn has_active_revision(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.active().is_some())
    }

    /// Whether it was active before a restart and nothing was loaded since.
    pub fn is_resumable(&self) -> bool {
        let Record { gone_since, disabled_since, .. } = &self.record;
        let is_wanted = gone_since.is_none() && disabled_since.is_none() && self.record.active().is_some();
        is_wanted && self.slot.is_none() && self.path.is_none() && self.attempt.is_none()
    }

    /// The folder of its file, now or before a restart.
    pub fn folder(&self) -> Option<&Path> {
        let loaded = self.path.as_deref().and_then(Path::parent);
        loaded.or_else(|| self.record.folder.as_deref().map(Path::new))
    }

    /// Notes its file as it is now, or that it is missing.
    pub fn observe(&mut self, stamp: Option<Stamp>, now: Instant) {
        match stamp {
            Some(stamp) => {
                self.missing_since = None;
                if self.observed.is_none_or(|(observed, _)| observed != stamp) {
                    (self.observed, self.changed_at) = (Some((stamp, now)), Some(now));
                }
            }
            None => {
                self.observed = None;
                self.missing_since.get_or_insert(now);
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            (self.retry_at, self.attempt) = (None, None);
        }
    }

    /// Ends its subscription. Running calls finish.
    pub fn deactivate(&mut self, load: LoadState) {
        (self.slot, self.candidate, self.blocked, self.attempt) = (None, None, None, None);
        (self.probation_since, self.retry_at) = (None, None);
        self.load = load;
    }

    /// Ends its subscription because a person disabled it, which `record` says, or removed it.
    /// Running calls finish.
    pub fn disable(&mut self, load: LoadState) {
        if let Some(slot) = &self.slot {
            // Events dispatched already are not handled either: one that rests would go on with
            // them, trial after trial.
            slot.disable();
        }
        self.deactivate(load);
    }

    /// Suspends it without loading it. Its events wait in a vacant slot, as far as it is known
    /// which events it exports.
    pub fn suspend_unloaded(&mut self, name: &str, suspension: Suspension, changed: &Arc<Notify>) {
        let events = self.record.exported_events();
        self.slot = Some(Arc::new(PluginSlot::vacant(name, self.no, events, suspension, Arc::clone(changed))));
        self.load = LoadState::Loaded;
    }

    /// Takes over the result of a load and logs it.
    pub fn finish_load(
        &mut self,
        name: &str,
        result: LoadResult,
        attempt: Attempt,
        now: Instant,
        changed: &Arc<Notify>,
    ) {
        let LoadResult { outcome, slot, record, steps } = result;
        (self.loading_since, self.record) = (None, record);
        if let Some(slot) = slot {
            self.slot = Some(slot);
            if self.has_active_revision() {
                self.load = LoadState::Loaded;
            }
        }
        self.attempt = Some(attempt);
        match outcome {
            LoadOutcome::FileChanged => self.attempt = None,
            LoadOutcome::Unchanged => self.blocked = None,
            LoadOutcome::Activated => {
                (self.blocked, self.candidate) = (None, None);
                self.probation_since = Some(now);
                let active = self.slot.as_ref().and_then(|slot| slot.active());
                let revision = active.as_ref().and_then(|active| active.plugin.revision().get(..12));
                tracing::info!(plugin = name, revision, steps_ms = in_ms(&steps), "plugin activated");
                self.steps = steps;
            }
            LoadOutcome::Isolated(suspension) => {
                let Suspension { code, reason, .. } = suspension;
                tracing::error!(plugin = name, code, reason, "plugin not loaded");
                (self.blocked, self.candidate) = (None, None);
                self.load = LoadState::Loaded;
            }
            LoadOutcome::Pending { plugin, missing, revoked } => {
                let reason = describe_missing(name, &missing);
                tracing::warn!(plugin = name, code = "plugin-pending", reason, "plugin waits for capabilities");
                if revoked {
                    self.deactivate(LoadState::Pending { missing: missing.clone() });
                }
                if self.has_active_revision() {
                    let revision = Some(plugin.revision().to_owned());
                    let (step, code) = ("capabilities", "plugin-pending");
                    self.blocked = Some(BlockedRevision { revision, step, code, reason });
                } else {
                    (self.load, self.candidate) = (LoadState::Pending { missing }, Some(plugin));
                }
            }
            LoadOutcome::Rejected { blocked, transient } => {
                self.retry_at = transient.then(|| now + RETRY);
                self.reject(name, blocked, &steps, changed);
            }
        }
    }

    /// Ends a load without a result; it is repeated.
    pub fn abandon_load(&mut self, now: Instant) {
        self.loading_since = None;
        self.retry_at = Some(now + RETRY);
        self.attempt =
            self.observed.map(|(stamp, _)| Attempt { stamp, load: self.config.load(), granted: self.granted() });
    }

    /// Notes a rejected revision. If none is active, but one was before a restart, its events wait.
    fn reject(&mut self, name: &str, blocked: BlockedRevision, steps: &[StepTime], changed: &Arc<Notify>) {
        let BlockedRevision { step, code, reason, .. } = &blocked;
        let (reason, steps_ms) = (reason.trim_end_matches('.'), in_ms(steps));
        if let Some(active) = self.slot.as_ref().and_then(|slot| slot.active()) {
            let still_active = active.plugin.revision().get(..12);
            tracing::error!(plugin = name, code, step, reason, still_active, steps_ms, "new revision rejected");
            self.blocked = Some(blocked);
        } else {
            tracing::error!(plugin = name, code, step, reason, steps_ms, "plugin load failed");
            (self.candidate, self.slot) = (None, None);
            if self.record.active().is_some() && self.record.gone_since.is_none() {
                let (code, reason, at) = (blocked.code.into(), blocked.reason.clone(), Timestamp(0));
                self.suspend_unloaded(name, Suspension { code, reason, at }, changed);
            }
            self.load = LoadState::Broken { code: blocked.code, error: blocked.reason };
        }
    }

    /// Ends the probation of the active revision: it passed, it is rolled back, or, after a
    /// migration, suspended.
    pub fn review_probation(&mut self, name: &str, now: Timestamp) -> ProbationChange {
        if self.is_loading() {
            // The running load replaces the revision.
            return ProbationChange::None;
        }
        let Some(slot) = self.slot.clone() else { return ProbationChange::None };
        let Some(ActiveRevision { plugin, probation: Some(probation) }) = slot.active() else {
            return ProbationChange::None;
        };
        if probation.failures() < PROBATION_FAILURES {
            let is_over = self.probation_since.is_some_and(|since| since.elapsed() > PROBATION_TIME);
            if probation.successes() >= PROBATION_SUCCESSES || is_over {
                slot.end_probation();
                self.probation_since = None;
                tracing::info!(plugin = name, successes = probation.successes(), "probation passed");
            }
            return ProbationChange::None;
        }
        match probation.earlier() {
            Some(fallback) => {
                self.roll_back(name, &slot, &plugin, Arc::clone(fallback), probation.failures());
                ProbationChange::RolledBack
            }
            None => {
                suspend_migrated(name, &slot, &plugin, &probation, now);
                ProbationChange::None
            }
        }
    }

    fn roll_back(&mut self, name: &str, slot: &PluginSlot, from: &Plugin, to: Arc<Plugin>, failures: u32) {
        let (from, active) = (from.revision().to_owned(), to.revision().to_owned());
        slot.activate(ActiveRevision { plugin: to, probation: None });
        while active != from && self.record.active().is_some_and(|last| last != active) {
            self.record.roll_back();
        }
        let reason = format!(
            "it failed {failures} events that the earlier revision handled; the earlier revision is active again until the file or its settings change"
        );
        let (code, step) = ("rolled-back", "probation");
        tracing::error!(plugin = name, code, revision = from.get(..12), failures, "revision rolled back");
        self.blocked = Some(BlockedRevision { revision: Some(from), step, code, reason });
        self.probation_since = None;
    }

    /// Copies a suspension by the pipeline into the record, so that it survives a restart. Returns
    /// whether it changed.
    pub fn record_suspension(&mut self) -> bool {
        if self.is_loading() {
            return false;
        }
        let Some(slot) = self.slot.as_ref().filter(|_| self.load == LoadState::Loaded) else { return false };
        let (Some(active), Availability::Suspended(suspension)) = (slot.active(), slot.availability()) else {
            return false;
        };
        let suspended = Some(SuspendedRevision { revision: active.plugin.revision().to_owned(), suspension });
        let differs = self.record.suspended != suspended;
        self.record.suspended = suspended;
        differs
    }

    /// Its place among the subscriptions, while it is active or its events wait.
    pub fn subscription(&self) -> Option<Arc<Subscription>> {
        let is_subscribed = matches!(self.load, LoadState::Loaded | LoadState::Broken { .. });
        let slot = self.slot.as_ref().filter(|_| is_subscribed)?;
        let PluginConfig { stage, order, on_failure, max_age_ms, .. } = self.config;
        Some(Arc::new(Subscription::new(Arc::clone(slot), stage, order, on_failure, max_age_ms)))
    }

    /// Whether it waits for a person or for the end of a rest.
    pub fn is_unavailable(&self) -> bool {
        let slot = self.slot.as_ref().filter(|_| self.load == LoadState::Loaded);
        slot.is_some_and(|slot| slot.availability() != Availability::Available)
    }

    /// Its entry in lists.
    pub fn entry(&self, name: &str) -> Entry {
        let active = self.slot.as_ref().and_then(|slot| slot.active());
        Entry {
            name: name.to_owned(),
            no: self.no,
            path: self.path.clone(),
            config: self.config.clone(),
            slot: self.slot.clone(),
            plugin: active.map(|active| active.plugin).or_else(|| self.candidate.clone()),
            load: self.load.clone(),
            blocked: self.blocked.clone(),
            record: self.record.clone(),
            steps: self.steps.clone(),
        }
    }
}

/// A revision that migrated state is not rolled back automatically, because that would lose state.
/// Its probation ends, so that a person can enable it again.
fn suspend_migrated(name: &str, slot: &PluginSlot, plugin: &Plugin, probation: &Probation, at: Timestamp) {
    let reason = format!(
        "it migrated its state to version {} and failed {} events since; a rollback would lose state, so it is not automatic: `beadle plugins rollback {name}` shows what would be lost",
        plugin.state_version(),
        probation.failures()
    );
    let code = "plugin-suspended";
    tracing::error!(plugin = name, code, failures = probation.failures(), "migrated revision suspended");
    slot.end_probation();
    slot.suspend(Suspension { code: code.into(), reason, at });
}

/// Formats the steps and their times for the log.
fn in_ms(steps: &[StepTime]) -> String {
    let steps: Vec<_> = steps.iter().map(|(step, time)| format!("{step} {:.1}", time.as_secs_f64() * 1e3)).collect();
    steps.join(", ")
}

/// The entry of a plugin that the configuration names and no folder has.
pub(crate) fn missing_entry(name: &str, config: &Config) -> Entry {
    let error = format!(
        "the configuration names `{name}`, but no plugin folder has {name}.wasm; add the file or remove `[plugins.{name}]`"
    );
    Entry {
        name: name.to_owned(),
        no: PluginNo::HOST,
        path: None,
        config: config.plugins.get(name).cloned().unwrap_or_default(),
        slot: None,
        plugin: None,
        load: LoadState::Broken { code: "plugin-missing", error },
        blocked: None,
        record: Record::default(),
        steps: Vec::new(),
    }
}
