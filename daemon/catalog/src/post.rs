//! One plugin as the keeper knows it.

use crate::config::{Config, PluginConfig};
use crate::entry::{BlockedRevision, Entry, PluginState, StepTime, pending};
use crate::folder::Stamp;
use crate::plan::Judged;
use crate::record::Record;
use crate::transaction::{Outcome, Verdict};
use beadle_model::{PluginNo, Timestamp};
use beadle_pipeline::{ActiveRevision, Availability, PluginSlot, Subscription};
use beadle_sandbox::Plugin;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was refused for a reason that may pass is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A plugin: its file, its slot, and how far it is.
pub(crate) struct Post {
    pub no: PluginNo,
    pub record: Record,
    /// Its place and what it is to be loaded with.
    pub config: PluginConfig,
    pub path: Option<PathBuf>,
    /// Where it sits, while it takes part.
    pub slot: Option<Arc<PluginSlot>>,
    /// What waits for capabilities, where nothing serves.
    pub candidate: Option<Arc<Plugin>>,
    pub state: PluginState,
    pub blocked: Option<BlockedRevision>,
    pub steps: Vec<StepTime>,
    /// With what it was judged last.
    pub judged: Option<Judged>,
    /// It is being judged.
    pub busy: bool,
    /// Since when, or when it was last.
    pub judged_since: Option<Instant>,
    /// Its file as seen last, and since when it is so.
    pub seen: Option<(Stamp, Instant)>,
    /// Since when its file is gone.
    pub gone_since: Option<Instant>,
    /// When to judge it again although nothing changed.
    pub again_at: Option<Instant>,
    /// Since when it is on probation.
    pub probation_since: Option<Instant>,
}

impl Post {
    pub fn new(no: PluginNo, record: Record, config: PluginConfig) -> Self {
        let state = match (record.gone_since, record.disabled_since) {
            (Some(_), _) => PluginState::Removed,
            (None, Some(since)) => PluginState::Disabled { since },
            (None, None) => PluginState::Loading,
        };
        Self {
            no,
            record,
            config,
            path: None,
            slot: None,
            candidate: None,
            state,
            blocked: None,
            steps: Vec::new(),
            judged: None,
            busy: false,
            judged_since: None,
            seen: None,
            gone_since: None,
            again_at: None,
            probation_since: None,
        }
    }

    /// Capabilities that it was given, in TOML and by command.
    pub fn granted(&self) -> BTreeSet<String> {
        self.config.grant.iter().chain(&self.record.granted).cloned().collect()
    }

    /// Its file is so now.
    pub fn is_seen(&mut self, stamp: Option<Stamp>, now: Instant) {
        match stamp {
            Some(stamp) => {
                self.gone_since = None;
                if self.seen.is_none_or(|(seen, _)| seen != stamp) {
                    self.seen = Some((stamp, now));
                }
            }
            None => {
                self.seen = None;
                self.gone_since.get_or_insert(now);
            }
        }
        if self.again_at.is_some_and(|at| at <= now) {
            (self.again_at, self.judged) = (None, None);
        }
    }

    /// It takes no part any more. Calls that run are ended by what runs them.
    pub fn leaves(&mut self, state: PluginState) {
        if let (Some(slot), PluginState::Disabled { .. }) = (&self.slot, &state) {
            // What is on its way to it is not: it was switched off.
            slot.disable();
        }
        (self.slot, self.candidate, self.blocked, self.judged) = (None, None, None, None);
        (self.probation_since, self.again_at) = (None, None);
        self.state = state;
    }

    /// Takes over what came of a transaction; says it in a line of the log.
    pub fn settle(&mut self, name: &str, outcome: Outcome, judged: Judged, now: Instant) {
        let Outcome { verdict, slot, record, steps } = outcome;
        (self.busy, self.record) = (false, record);
        if let Some(slot) = slot {
            self.slot = Some(slot);
            if self.has_active_revision() && !self.state.serves() {
                self.state = PluginState::Active;
            }
        }
        self.judged = Some(judged);
        match verdict {
            Verdict::Moved => self.judged = None,
            Verdict::Same => self.blocked = None,
            Verdict::Serves => {
                (self.blocked, self.candidate) = (None, None);
                self.probation_since = Some(now);
                self.tell(name, &steps);
                self.steps = steps;
            }
            Verdict::Isolated(suspension) => {
                let code = &suspension.code;
                tracing::error!(plugin = name, code, "A plugin is not loaded: {}.", suspension.why);
                (self.blocked, self.candidate) = (None, None);
                self.state = PluginState::Suspended(suspension);
            }
            Verdict::Pending { plugin, missing, withdrawn } => {
                let why = pending(name, &missing);
                if withdrawn {
                    self.leaves(PluginState::Pending { missing: missing.clone() });
                }
                tracing::warn!(plugin = name, code = "plugin-pending", "A plugin waits: {why}.");
                if self.has_active_revision() {
                    let revision = Some(plugin.revision().to_owned());
                    self.blocked =
                        Some(BlockedRevision { revision, step: "capabilities", code: "plugin-pending", reason: why });
                } else {
                    (self.state, self.candidate) = (PluginState::Pending { missing }, Some(plugin));
                }
            }
            Verdict::Refused { why, passing } => {
                if passing {
                    self.again_at = Some(now + TRY_AGAIN);
                }
                self.refuse(name, why, &steps);
            }
        }
    }

    /// Somebody sits in its slot.
    pub fn has_active_revision(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.active().is_some())
    }

    fn refuse(&mut self, name: &str, why: BlockedRevision, steps: &[StepTime]) {
        let (code, step, steps_ms) = (why.code, why.step, in_ms(steps));
        // Some reasons are sentences with an end of their own.
        let text = why.reason.trim_end_matches('.');
        if self.has_active_revision() {
            tracing::error!(
                plugin = name,
                code,
                step,
                steps_ms,
                "A new revision was refused, and the one before it goes on: {text}."
            );
            self.blocked = Some(why);
        } else {
            tracing::error!(plugin = name, code, step, steps_ms, "A plugin does not run: {text}.");
            (self.candidate, self.slot) = (None, None);
            self.state = PluginState::Broken { code, error: why.reason };
        }
    }

    fn tell(&self, name: &str, steps: &[StepTime]) {
        let Some(ActiveRevision { plugin, .. }) = self.slot.as_ref().and_then(|slot| slot.active()) else { return };
        let revision = plugin.revision().get(..12).unwrap_or_default();
        tracing::info!(plugin = name, revision, steps_ms = in_ms(steps), "A plugin runs.");
    }

    /// Its place in the roster, while it takes part.
    pub fn member(&self) -> Option<Arc<Subscription>> {
        let is_kept_for = |state: &PluginState| state.serves() || matches!(state, PluginState::Suspended(_));
        let slot = self.slot.as_ref().filter(|_| is_kept_for(&self.state))?;
        let PluginConfig { stage, order, on_failure, max_age_ms, .. } = self.config;
        Some(Arc::new(Subscription::new(Arc::clone(slot), stage, order, on_failure, max_age_ms)))
    }

    /// As it stands.
    pub fn stands(&self, now: Timestamp) -> PluginState {
        let Some(slot) = self.slot.as_ref().filter(|_| self.state.serves()) else { return self.state.clone() };
        match (slot.availability(now), slot.active().and_then(|serving| serving.probation)) {
            (Availability::Suspended(suspension), _) => PluginState::Suspended(suspension),
            (Availability::Resting { code, error, .. }, _) => PluginState::Resting { code, error },
            (_, Some(probation)) => PluginState::Probation { well: probation.well(), failed: probation.failed() },
            _ => self.state.clone(),
        }
    }

    /// As it is shown.
    pub fn entry(&self, name: &str, now: Timestamp) -> Entry {
        let serving = self.slot.as_ref().and_then(|slot| slot.active());
        let state = self.stands(now);
        Entry {
            name: name.to_owned(),
            no: self.no,
            path: self.path.clone(),
            config: self.config.clone(),
            slot: self.slot.clone(),
            plugin: serving.map(|serving| serving.plugin).or_else(|| self.candidate.clone()),
            state,
            blocked: self.blocked.clone(),
            record: self.record.clone(),
            steps: self.steps.clone(),
        }
    }
}

/// The steps of a transaction and how long each took, for a line of the log.
fn in_ms(steps: &[StepTime]) -> String {
    let took: Vec<_> = steps.iter().map(|(step, took)| format!("{step} {:.1}", took.as_secs_f64() * 1e3)).collect();
    took.join(", ")
}

/// One that the configuration names and no folder has.
pub(crate) fn missing(name: &str, config: &Config) -> Entry {
    let error = format!(
        "the configuration names `{name}`, and no plugin folder has a {name}.wasm; put it there or remove [plugins.{name}]"
    );
    Entry {
        name: name.to_owned(),
        no: PluginNo::HOST,
        path: None,
        config: config.plugins.get(name).cloned().unwrap_or_default(),
        slot: None,
        plugin: None,
        state: PluginState::Broken { code: "plugin-missing", error },
        blocked: None,
        record: Record::default(),
        steps: Vec::new(),
    }
}
