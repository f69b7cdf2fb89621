//! From a revision that could serve to one that does: its state, the trial, and the swap.
//!
//! Where the form of the state is the same nothing is paused: tries that run are ended by the revision that began them.
//! Where the state is brought over, or the one of before comes back, state and code change together with the slot paused:
//! what runs is waited for, what comes waits, and one transaction decides.

use super::{ENOUGH, No, Source, Transaction, beside};
use crate::dry_run;
use crate::migrate::{self, Draft, Form};
use crate::record::{Record, Suspended};
use beadle_model::{Coded as _, StateNo};
use beadle_pipeline::{ActiveRevision, PluginSlot, Probation};
use beadle_sandbox::Plugin;
use beadle_store::StateInfo;
use std::sync::Arc;
use std::time::Instant;

/// What becomes of the plugin's state when this revision takes over.
pub(super) enum StateChange {
    /// It stays: the revision reads it as it is.
    None,
    /// This one is brought over to the revision's form.
    Over(StateInfo),
    /// A person gave up the state of now: this one of before comes back, or an empty one.
    Back(Option<StateNo>),
}

impl Transaction {
    /// Whether the revision can read the state that is there, and what is to be done where it cannot.
    pub(super) async fn state_change(&self, plugin: &Plugin) -> Result<StateChange, No> {
        let (reader, no) = (self.tools.store.reader(), self.job.no);
        let (has, left) = beside(move || {
            reader.plugin_states(no).map_err(|error| No::passing("state", error.code(), error.to_string()))
        })
        .await?;
        let (name, reads) = (&self.job.name, plugin.state_version());
        match migrate::form(has.version, reads) {
            Form::Same => Ok(StateChange::None),
            Form::Older => Ok(StateChange::Over(has)),
            // Nothing is kept, so nothing is lost.
            Form::Newer if has.values == 0 && left.is_none() => Ok(StateChange::Back(None)),
            Form::Newer if !matches!(self.job.source, Source::Kept(_)) => {
                let why = format!(
                    "it reads its state as version {reads}, and a later revision keeps it as version {}; put that one back, or go back with `beadle plugins rollback {name} --discard-state`",
                    has.version
                );
                Err(No::new("state", "state-newer", why))
            }
            Form::Newer if self.job.discard_state => {
                Ok(StateChange::Back(left.filter(|left| left.version == reads).map(|left| left.no)))
            }
            Form::Newer => {
                let why = migrate::would_be_lost(name, reads, &has, left.as_ref());
                Err(No::new("state", "state-would-be-lost", why))
            }
        }
    }

    /// Tries the new revision on what happened here lately, and before that on a copy of the state, where it brings that
    /// over. Nothing of it remains.
    pub(super) async fn try_out(
        &mut self,
        before: &Arc<Plugin>,
        after: &Arc<Plugin>,
        change: &StateChange,
    ) -> Result<(), No> {
        let StateChange::Over(from) = change else { return self.dry_run(before, after).await };
        let (has, began) = (after.state(), Instant::now());
        let tools = self.tools.clone();
        let draft = migrate::bring_over(&tools.store, &tools.clock, after, from, "trial migration").await;
        self.steps.push(("trial migration", began.elapsed()));
        let Draft { state, .. } = draft?;
        let tried = self.dry_run(before, after).await;
        after.set_state(has);
        migrate::forget(&tools.store, state).await;
        tried
    }

    async fn dry_run(&mut self, before: &Arc<Plugin>, after: &Arc<Plugin>) -> Result<(), No> {
        let began = Instant::now();
        let compared = dry_run::compare(before, after, &self.tools.store.reader(), &self.tools.clock).await;
        self.steps.push(("dry run", began.elapsed()));
        let compared = compared.map_err(|error| No::passing("dry run", error.code(), error.to_string()))?;
        for difference in &compared.differences {
            tracing::info!(plugin = self.job.name, "Dry run: {difference}.");
        }
        match compared.failure {
            None => Ok(()),
            Some(failure) => Err(No::new("dry run", "dry-run-failed", failure)),
        }
    }

    pub(super) async fn keep(&mut self, hash: String, bytes: Vec<u8>) -> Result<(), No> {
        let began = Instant::now();
        let revisions = self.tools.revisions.clone();
        let kept = beside(move || {
            let failed = |error| format!("the revision could not be kept in the data folder: {error}");
            revisions.keep(&hash, &bytes).map_err(|error| No::passing("keep", "revision-not-saved", failed(error)))
        });
        let kept = kept.await;
        self.steps.push(("keep", began.elapsed()));
        kept
    }

    /// From here on the new revision has every try that begins.
    pub(super) async fn swap(
        &mut self,
        plugin: Arc<Plugin>,
        hash: &str,
        before: Option<ActiveRevision>,
    ) -> Result<(), No> {
        let began = Instant::now();
        let (record, suspended) = self.next_record(&plugin, hash);
        if record != self.job.record {
            let written = self.tools.store.set_plugin_record(self.job.no, record.text()).await;
            written.map_err(|error| No::passing("swap", error.code(), error.to_string()))?;
        }
        self.job.record = record;
        // Who stands in is the last that proved itself, not one that is on probation too.
        let trusted = before.map(|before| match before.probation {
            Some(probation) if probation.well() < ENOUGH => probation.before().map_or(before.plugin, Arc::clone),
            _ => before.plugin,
        });
        let bell = &self.tools.bell;
        let probation = trusted.map(|before| Arc::new(Probation::new(Some(before), ENOUGH, Arc::clone(bell))));
        self.take_seat(plugin, probation, suspended);
        self.steps.push(("swap", began.elapsed()));
        Ok(())
    }

    /// Brings the state over and swaps, in one. From here on there is no way back that costs nothing: nobody stands in for the
    /// new revision.
    pub(super) async fn migrate(&mut self, plugin: Arc<Plugin>, hash: &str, from: &StateInfo) -> Result<(), No> {
        let began = Instant::now();
        let migrated = self.migrate_paused(plugin, hash, from).await;
        self.steps.push(("migration", began.elapsed()));
        migrated
    }

    async fn migrate_paused(&mut self, plugin: Arc<Plugin>, hash: &str, from: &StateInfo) -> Result<(), No> {
        let tools = self.tools.clone();
        let serving = self.job.slot.clone().filter(|_| self.serving().is_some());
        let _paused = match &serving {
            Some(slot) => Some(slot.pause().await),
            None => None,
        };
        let Draft { state, values } =
            migrate::bring_over(&tools.store, &tools.clock, &plugin, from, "migration").await?;
        self.take_state(&plugin, hash, state, true, "migration").await?;
        if from.values > 0 {
            tracing::info!(
                plugin = self.job.name,
                from = from.version,
                to = plugin.state_version(),
                values,
                "A plugin's state was brought over; the one of before is kept for a while."
            );
        }
        let probation = serving.map(|_| Arc::new(Probation::new(None, ENOUGH, Arc::clone(&tools.bell))));
        self.take_seat(plugin, probation, None);
        Ok(())
    }

    /// The state of before comes back with the revision that reads it, or an empty one; what was written since is gone.
    pub(super) async fn go_back(&mut self, plugin: Arc<Plugin>, hash: &str, to: Option<StateNo>) -> Result<(), No> {
        let (began, store) = (Instant::now(), self.tools.store.clone());
        let _paused = match &self.job.slot {
            Some(slot) => Some(slot.pause().await),
            None => None,
        };
        let state = match to {
            Some(state) => state,
            None => {
                let fresh = store.begin_state(self.job.no, plugin.state_version()).await;
                fresh.map_err(|error| No::passing("swap", error.code(), error.to_string()))?
            }
        };
        plugin.set_state(state);
        self.take_state(&plugin, hash, state, false, "swap").await?;
        self.take_seat(plugin, None, None);
        self.steps.push(("swap", began.elapsed()));
        Ok(())
    }

    async fn take_state(
        &mut self,
        plugin: &Plugin,
        hash: &str,
        state: StateNo,
        keep: bool,
        step: &'static str,
    ) -> Result<(), No> {
        let (mut record, _) = self.next_record(plugin, hash);
        // It is another plugin than the one that failed.
        record.suspended = None;
        let now = self.tools.clock.now();
        let taken = self.tools.store.take_state(self.job.no, state, keep, record.text(), now).await;
        if let Err(error) = taken {
            migrate::forget(&self.tools.store, state).await;
            return Err(No::passing(step, error.code(), error.to_string()));
        }
        self.job.record = record;
        Ok(())
    }

    /// What is to be remembered once it serves; and its suspension, where it is the very one that was suspended before a
    /// start.
    fn next_record(&self, plugin: &Plugin, hash: &str) -> (Record, Option<Suspended>) {
        let mut record = self.job.record.clone();
        match self.job.source {
            Source::Kept(_) => record.goes_back(),
            // What was gone back to, loaded with other settings, stays what was gone back to.
            Source::File(..) if record.serving() == Some(hash) => record.gone_since = None,
            Source::File(..) => record.serves(hash),
        }
        let has_active_revision = self.serving().is_some();
        let suspended = record.suspended.take().filter(|suspended| suspended.revision == hash && !has_active_revision);
        record.suspended.clone_from(&suspended);
        record.events = plugin.subscriptions().iter().filter_map(|kind| kind.interface()).map(str::to_owned).collect();
        (record, suspended)
    }

    /// Every try that begins is this one's from now on, unless it is suspended still.
    pub(super) fn take_seat(
        &mut self,
        plugin: Arc<Plugin>,
        probation: Option<Arc<Probation>>,
        suspended: Option<Suspended>,
    ) {
        let bell = &self.tools.bell;
        let slot =
            self.job.slot.get_or_insert_with(|| Arc::new(PluginSlot::new(Arc::clone(&plugin), Arc::clone(bell))));
        slot.activate(ActiveRevision { plugin, probation });
        if let Some(suspended) = suspended {
            slot.suspend(suspended.suspension);
        }
    }
}
