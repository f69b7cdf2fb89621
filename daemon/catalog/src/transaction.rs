//! Loads one revision of a plugin and makes it active, or rejects it and changes nothing.
//!
//! The steps in order: read, compile (in a child process), parse, exports and imports, load code,
//! link, `about`, settings, capabilities, state, trial migration, dry run, save, and activate (or
//! migration and activation in one commit). Waiting until the file is complete comes before, in
//! `plan`; probation comes after, in `managed`. Compiling to `about` is the sandbox's work.
//!
//! Without a change of the state's version nothing pauses: running attempts finish on the revision
//! that they began with. With one, the plugin slot is paused, and code and state change in one
//! commit (`docs/design.md#reload`).
//!
//! It runs as a separate task, at most one per plugin at a time, and touches nothing that the
//! reconciler owns: it is given a [`LoadRequest`] and returns a [`LoadResult`].

use crate::compile::Compiler;
use crate::config::PluginConfig;
use crate::dry_run;
use crate::entry::{BlockedRevision, StepTime};
use crate::folder::{Stamp, open_file};
use crate::grants;
use crate::migration::{self, MigratedCopy, VersionChange};
use crate::record::{CRASH, Record, SuspendedRevision};
use crate::revisions::Revisions;
use crate::settings;
use crate::startup::{CrashMarker, CrashMarkers, Loading, ServiceMarkers};
use crate::step::{StepError, blocking};
use beadle_clock::Clock;
use beadle_model::{PluginNo, StateNo};
use beadle_pipeline::{ActiveRevision, PluginSlot, Probation, Suspension};
use beadle_sandbox::limits::FILE_BYTES;
use beadle_sandbox::{FirstCalls, Plugin, Sandbox, Spec, revision};
use beadle_store::{StateInfo, Store};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Successful attempts that end a probation.
pub(crate) const PROBATION_SUCCESSES: u32 = 100;
/// Failures on probation, not shared by the earlier revision, after which a revision is rolled
/// back. One may be a coincidence.
pub(crate) const PROBATION_FAILURES: u32 = 3;
/// A revision that gets few events passes its probation after this time. Real time: the virtual
/// clock proves nothing.
pub(crate) const PROBATION_TIME: Duration = Duration::from_secs(60 * 60);

/// The code of a revision whose loading killed the daemon.
pub(crate) const LOAD_CRASH: &str = "plugin-load-crash";

/// What all transactions share.
#[derive(Clone)]
pub(crate) struct Context {
    pub sandbox: Sandbox,
    pub store: Store,
    pub clock: Clock,
    pub revisions: Revisions,
    pub compiler: Compiler,
    pub crash_markers: CrashMarkers,
    pub service_markers: ServiceMarkers,
    /// Notified by slots and probations when their state changes.
    pub changed: Arc<Notify>,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file in a plugin folder, with the stamp that it had when it was complete.
    File(PathBuf, Stamp),
    /// An earlier revision that a person goes back to. It was active before: no dry run, no
    /// probation.
    Rollback(String),
    /// The last active revision, because its folder is missing at a start.
    Resume(String),
}

/// What to load, and the state that it starts from.
#[derive(Clone)]
pub(crate) struct LoadRequest {
    pub name: String,
    pub no: PluginNo,
    pub source: Source,
    pub config: PluginConfig,
    pub granted: BTreeSet<String>,
    /// The record as it is; the result has the new one.
    pub record: Record,
    /// The plugin's slot, if it has one.
    pub slot: Option<Arc<PluginSlot>>,
    /// How long the file took to settle.
    pub settled: Option<StepTime>,
    /// No other plugin is being loaded.
    pub alone: bool,
    /// A rollback may discard the state that was written since.
    pub discard_state: bool,
}

/// What became of a request.
pub(crate) struct LoadResult {
    pub outcome: LoadOutcome,
    /// The slot, if the plugin has one now.
    pub slot: Option<Arc<PluginSlot>>,
    /// What to remember now.
    pub record: Record,
    /// The steps taken, with their times.
    pub steps: Vec<StepTime>,
}

/// How a load ended.
pub(crate) enum LoadOutcome {
    /// The file changed while it was read.
    FileChanged,
    /// The revision is active already, with the same inputs.
    Unchanged,
    /// The revision is active now.
    Activated,
    /// The revision is not loaded because loading it killed the daemon, and no other is active.
    Isolated(Suspension),
    /// The revision requests capabilities that are not granted. `revoked`: it is the active
    /// revision.
    Pending { plugin: Arc<Plugin>, missing: Vec<String>, revoked: bool },
    /// A step rejected the revision. `transient`: a repetition may succeed without a change.
    Rejected { blocked: BlockedRevision, transient: bool },
}

/// What happens to the plugin's state when the revision becomes active.
enum StateChange {
    /// The revision reads it as it is.
    None,
    /// The revision migrates it from this one.
    Migrate(StateInfo),
    /// An earlier state returns, or an empty one; the current one is discarded.
    Restore(Option<StateNo>),
}

/// Carries out a request.
pub(crate) async fn load(context: Context, request: LoadRequest) -> LoadResult {
    let steps = request.settled.into_iter().collect();
    let mut transaction = Transaction { steps, revision: None, marker: None, context, request };
    let outcome = transaction.run().await.unwrap_or_else(|error| {
        let StepError { step, code, reason, transient } = error;
        let blocked = BlockedRevision { revision: transaction.revision.take(), step, code, reason };
        LoadOutcome::Rejected { blocked, transient }
    });
    let Transaction { request: LoadRequest { slot, record, .. }, steps, .. } = transaction;
    LoadResult { outcome, slot, record, steps }
}

struct Transaction {
    context: Context,
    request: LoadRequest,
    /// The content hash of the bytes in hand.
    revision: Option<String>,
    /// Exists from the first load of its code until the dry run has ended.
    marker: Option<CrashMarker>,
    steps: Vec<StepTime>,
}

impl Transaction {
    async fn run(&mut self) -> Result<LoadOutcome, StepError> {
        let bytes = match self.read().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(LoadOutcome::FileChanged),
            Err(error) => {
                // After a start: a file that cannot be read does not end what was active.
                if self.active().is_none() {
                    self.resume_last_active("").await;
                }
                return Err(error);
            }
        };
        let hash = revision(&bytes);
        self.revision = Some(hash.clone());
        if self.active().is_none() {
            self.resume_last_active(&hash).await;
        }
        let before = self.active();
        if self.request.record.is_isolated(&hash) {
            return self.isolate(before.is_some());
        }
        let is_rollback = matches!(self.request.source, Source::Rollback(_));
        let is_active = before.as_ref().is_some_and(|before| before.plugin.revision() == hash);
        if let Some(before) = before.as_ref().filter(|_| is_active && self.has_same_configuration()) {
            return Ok(match self.missing_capabilities(&before.plugin) {
                missing if missing.is_empty() => LoadOutcome::Unchanged,
                missing => LoadOutcome::Pending { plugin: Arc::clone(&before.plugin), missing, revoked: true },
            });
        }
        let plugin = self.compile(&hash, bytes.clone()).await?;
        self.check_settings(&plugin).await?;
        let missing = self.missing_capabilities(&plugin);
        if !missing.is_empty() {
            return Ok(LoadOutcome::Pending { plugin, missing, revoked: is_active });
        }
        let change = self.state_change(&plugin).await?;
        // A revision that was active before, or is the only one, has nothing to be compared with;
        // and one that kills the daemon is not called again.
        let before = before.filter(|_| !is_rollback && !self.is_suspended_for_a_crash());
        if let Some(before) = &before {
            self.try_out(&before.plugin, &plugin, &change).await?;
        }
        // From here on its code is no more dangerous than in service.
        self.marker = None;
        self.save(hash.clone(), bytes).await?;
        match change {
            StateChange::None => self.activate(plugin, &hash, before).await?,
            StateChange::Migrate(from) => self.migrate(plugin, &hash, &from).await?,
            StateChange::Restore(to) => self.restore_state(plugin, &hash, to).await?,
        }
        Ok(LoadOutcome::Activated)
    }

    fn is_suspended_for_a_crash(&self) -> bool {
        self.request.record.suspended.as_ref().is_some_and(|suspended| suspended.suspension.code == CRASH)
    }

    fn active(&self) -> Option<ActiveRevision> {
        self.request.slot.as_ref().and_then(|slot| slot.active())
    }

    /// Reads the bytes. `None`: the file is no longer the one that was observed.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, StepError> {
        let began = Instant::now();
        let (revisions, record) = (self.context.revisions.clone(), self.request.record.clone());
        let bytes = match self.request.source.clone() {
            Source::Rollback(hash) | Source::Resume(hash) => {
                Some(blocking(move || read_saved(&revisions, &hash)).await?)
            }
            Source::File(path, stamp) => blocking(move || read_file(&path, stamp, &record, &revisions)).await?,
        };
        self.steps.push(("read", began.elapsed()));
        Ok(bytes)
    }

    /// After a start, activates the last active revision until the file in the folder has passed.
    async fn resume_last_active(&mut self, found: &str) {
        let record = &self.request.record;
        let is_wanted = |last: &&str| *last != found && record.gone_since.is_none() && !record.is_isolated(last);
        let Some(last) = record.active().filter(is_wanted).map(str::to_owned) else { return };
        let (revisions, hash) = (self.context.revisions.clone(), last.clone());
        let Ok(bytes) = blocking(move || read_saved(&revisions, &hash)).await else { return };
        let Ok(plugin) = self.compile(&last, bytes).await else { return };
        let reads_state = matches!(self.state_change(&plugin).await, Ok(StateChange::None));
        if reads_state
            && self.missing_capabilities(&plugin).is_empty()
            && settings_errors(&plugin, &self.request).await.is_ok_and(|errors| errors.is_empty())
        {
            let suspended = self.request.record.suspended.clone().filter(|suspended| suspended.revision == last);
            self.put_into_slot(plugin, None, suspended);
        }
        self.steps.clear();
    }

    /// A revision whose loading killed the daemon: the active one stays; if none is active, events
    /// wait.
    fn isolate(&mut self, has_active: bool) -> Result<LoadOutcome, StepError> {
        let LoadRequest { name, no, record, .. } = &self.request;
        let reason = format!(
            "the daemon died twice while it loaded this file, the second time while it loaded nothing else; it is not loaded again until the file changes or you run `beadle plugins enable {name}`"
        );
        if has_active {
            return Err(StepError::permanent("load", LOAD_CRASH, reason));
        }
        let at = record.isolated.as_ref().map_or(self.context.clock.now(), |isolated| isolated.at);
        let suspension = Suspension { code: LOAD_CRASH.into(), reason, at };
        let (events, changed) = (record.exported_events(), Arc::clone(&self.context.changed));
        self.request.slot = Some(Arc::new(PluginSlot::vacant(name, *no, events, suspension.clone(), changed)));
        Ok(LoadOutcome::Isolated(suspension))
    }

    /// Whether the active revision was loaded with the current configuration.
    fn has_same_configuration(&self) -> bool {
        let load = self.request.config.load();
        let settings = load.settings.to_string();
        self.active().is_some_and(|ActiveRevision { plugin, .. }| {
            *plugin.limits() == load.limits
                && plugin.channels() == load.channels.as_deref()
                && plugin.isolation() == load.isolation
                && plugin.settings() == settings
        })
    }

    fn missing_capabilities(&self, plugin: &Plugin) -> Vec<String> {
        grants::missing(plugin.requested_capabilities().iter().map(AsRef::as_ref), &self.request.granted)
    }

    /// Has the sandbox parse, compile and link the bytes, and call `about`.
    async fn compile(&mut self, revision: &str, bytes: Vec<u8>) -> Result<Arc<Plugin>, StepError> {
        let loading = Loading { revision: revision.to_owned(), alone: self.request.alone };
        // Both markers are the same file: the previous one is removed first.
        self.marker = None;
        self.marker = Some(self.context.crash_markers.set(&self.request.name, &loading));
        if let Some(cache) = self.context.sandbox.code_cache() {
            let began = Instant::now();
            let compiled = self.context.compiler.compile(cache, revision, &bytes).await;
            self.steps.push(("compile", began.elapsed()));
            compiled?;
        }
        let load = self.request.config.load();
        let state = self.context.store.reader().state_of(self.request.no);
        let spec = Spec {
            name: self.request.name.clone(),
            no: self.request.no,
            state: state.map_err(|error| StepError::store("state", &error))?,
            bytes,
            settings: load.settings,
            limits: load.limits,
            channels: load.channels,
            isolation: load.isolation,
            first_calls: self
                .context
                .service_markers
                .report(&self.request.name, revision)
                .map(|report| FirstCalls { report, one_at_a_time: !self.request.record.crashes.is_empty() }),
        };
        let plugin = self.context.sandbox.load(spec).await?;
        self.steps.extend_from_slice(plugin.load_times());
        Ok(plugin)
    }

    async fn check_settings(&mut self, plugin: &Plugin) -> Result<(), StepError> {
        let began = Instant::now();
        let errors = settings_errors(plugin, &self.request).await?;
        self.steps.push(("settings", began.elapsed()));
        if errors.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "`[plugins.{name}]` has invalid settings: {}; `beadle plugins show {name}` shows their schema",
            errors.join("; "),
            name = self.request.name,
        );
        Err(StepError::permanent("settings", "settings-invalid", reason))
    }

    /// Compares the state's version with the one that the revision reads.
    async fn state_change(&self, plugin: &Plugin) -> Result<StateChange, StepError> {
        let (reader, no) = (self.context.store.reader(), self.request.no);
        let read = blocking(move || reader.plugin_states(no).map_err(|error| StepError::store("state", &error)));
        let (current, previous) = read.await?;
        let (name, reads) = (&self.request.name, plugin.state_version());
        match migration::version_change(current.version, reads) {
            VersionChange::None => Ok(StateChange::None),
            VersionChange::Upgrade => Ok(StateChange::Migrate(current)),
            // There is no state, so none is lost.
            VersionChange::Downgrade if current.values == 0 && previous.is_none() => Ok(StateChange::Restore(None)),
            VersionChange::Downgrade if !matches!(self.request.source, Source::Rollback(_)) => {
                let reason = format!(
                    "it reads version {reads} of its state, which is stored as version {}; put the newer revision back, or run `beadle plugins rollback {name} --discard-state`",
                    current.version
                );
                Err(StepError::permanent("state", "state-newer", reason))
            }
            VersionChange::Downgrade if self.request.discard_state => {
                let to = previous.filter(|previous| previous.version == reads).map(|previous| previous.no);
                Ok(StateChange::Restore(to))
            }
            VersionChange::Downgrade => {
                let reason = migration::describe_loss(name, reads, &current, previous.as_ref());
                Err(StepError::permanent("state", "state-would-be-lost", reason))
            }
        }
    }

    /// Runs the new revision on recent events; if it migrates state, on a trial copy of that. The
    /// effects are discarded.
    async fn try_out(
        &mut self,
        before: &Arc<Plugin>,
        after: &Arc<Plugin>,
        change: &StateChange,
    ) -> Result<(), StepError> {
        let StateChange::Migrate(from) = change else { return self.dry_run(before, after).await };
        let (state, began) = (after.state(), Instant::now());
        let Context { store, clock, .. } = self.context.clone();
        let migrated = migration::migrate(&store, &clock, after, from, "trial migration").await;
        self.steps.push(("trial migration", began.elapsed()));
        let copy = migrated?;
        let tried = self.dry_run(before, after).await;
        after.set_state(state);
        migration::discard(&store, copy.state).await;
        tried
    }

    async fn dry_run(&mut self, before: &Arc<Plugin>, after: &Arc<Plugin>) -> Result<(), StepError> {
        let began = Instant::now();
        let compared = dry_run::compare(before, after, &self.context.store.reader(), &self.context.clock).await;
        self.steps.push(("dry run", began.elapsed()));
        let compared = compared.map_err(|error| StepError::store("dry run", &error))?;
        for difference in &compared.differences {
            tracing::info!(plugin = self.request.name, difference, "dry run differs");
        }
        match compared.failure {
            None => Ok(()),
            Some(failure) => Err(StepError::permanent("dry run", "dry-run-failed", failure)),
        }
    }

    /// Saves the bytes, for rollback and for the next start.
    async fn save(&mut self, hash: String, bytes: Vec<u8>) -> Result<(), StepError> {
        let began = Instant::now();
        let revisions = self.context.revisions.clone();
        let saved = blocking(move || {
            let reason = |error| format!("the revision could not be saved in the data directory: {error}");
            revisions
                .save(&hash, &bytes)
                .map_err(|error| StepError::transient("save", "revision-not-saved", reason(error)))
        });
        let saved = saved.await;
        self.steps.push(("save", began.elapsed()));
        saved
    }

    /// Gives every new try to the revision. `before` stays warm for its probation.
    async fn activate(
        &mut self,
        plugin: Arc<Plugin>,
        hash: &str,
        before: Option<ActiveRevision>,
    ) -> Result<(), StepError> {
        let began = Instant::now();
        let (record, suspended) = self.next_record(&plugin, hash);
        if record != self.request.record {
            let written = self.context.store.set_plugin_record(self.request.no, record.to_json()).await;
            written.map_err(|error| StepError::store("activate", &error))?;
        }
        self.request.record = record;
        // The fallback is the last revision that passed its probation.
        let fallback = before.map(|before| match before.probation {
            Some(probation) if probation.successes() < PROBATION_SUCCESSES => {
                probation.earlier().map_or(before.plugin, Arc::clone)
            }
            _ => before.plugin,
        });
        let probation = fallback.map(|fallback| self.probation(Some(fallback)));
        self.put_into_slot(plugin, probation, suspended);
        self.steps.push(("activate", began.elapsed()));
        Ok(())
    }

    /// Migrates the state with the slot paused, and makes state and revision active in one commit.
    /// There is no fallback from here on: going back would lose state.
    async fn migrate(&mut self, plugin: Arc<Plugin>, hash: &str, from: &StateInfo) -> Result<(), StepError> {
        let began = Instant::now();
        let migrated = self.migrate_paused(plugin, hash, from).await;
        self.steps.push(("migration", began.elapsed()));
        migrated
    }

    async fn migrate_paused(&mut self, plugin: Arc<Plugin>, hash: &str, from: &StateInfo) -> Result<(), StepError> {
        let Context { store, clock, .. } = self.context.clone();
        let slot = self.request.slot.clone().filter(|_| self.active().is_some());
        let _paused = match &slot {
            Some(slot) => Some(slot.pause().await),
            None => None,
        };
        let MigratedCopy { state, values } = migration::migrate(&store, &clock, &plugin, from, "migration").await?;
        self.take_state(&plugin, hash, state, true, "migration").await?;
        if from.values > 0 {
            tracing::info!(
                plugin = self.request.name,
                from = from.version,
                to = plugin.state_version(),
                values,
                "plugin state migrated"
            );
        }
        let probation = slot.map(|_| self.probation(None));
        self.put_into_slot(plugin, probation, None);
        Ok(())
    }

    /// Goes back to an earlier state, or to an empty one, together with the revision that reads it.
    async fn restore_state(&mut self, plugin: Arc<Plugin>, hash: &str, to: Option<StateNo>) -> Result<(), StepError> {
        let began = Instant::now();
        let _paused = match &self.request.slot {
            Some(slot) => Some(slot.pause().await),
            None => None,
        };
        let state = match to {
            Some(state) => state,
            None => {
                let empty = self.context.store.begin_state(self.request.no, plugin.state_version()).await;
                empty.map_err(|error| StepError::store("activate", &error))?
            }
        };
        plugin.set_state(state);
        self.take_state(&plugin, hash, state, false, "activate").await?;
        self.put_into_slot(plugin, None, None);
        self.steps.push(("activate", began.elapsed()));
        Ok(())
    }

    /// Commits which state and which revision are active.
    async fn take_state(
        &mut self,
        plugin: &Plugin,
        hash: &str,
        state: StateNo,
        keep_previous: bool,
        step: &'static str,
    ) -> Result<(), StepError> {
        let (mut record, _) = self.next_record(plugin, hash);
        // A suspension was for failures on the other state.
        record.suspended = None;
        let Context { store, clock, .. } = &self.context;
        let taken = store.take_state(self.request.no, state, keep_previous, record.to_json(), clock.now()).await;
        if let Err(error) = taken {
            migration::discard(store, state).await;
            return Err(StepError::store(step, &error));
        }
        self.request.record = record;
        Ok(())
    }

    /// The record once the revision is active, and its suspension if it was suspended before a
    /// restart.
    fn next_record(&self, plugin: &Plugin, hash: &str) -> (Record, Option<SuspendedRevision>) {
        let mut record = self.request.record.clone();
        match self.request.source {
            Source::Rollback(_) => record.roll_back(),
            Source::Resume(_) => {}
            // A revision that a person went back to, loaded with other settings: the rollback stays
            // in effect.
            Source::File(..) if record.active() == Some(hash) => record.gone_since = None,
            Source::File(..) => record.activate(hash),
        }
        if let Source::File(path, _) = &self.request.source {
            record.folder = path.parent().and_then(Path::to_str).map(str::to_owned);
        }
        let is_resumed = self.active().is_some();
        let suspended = record.suspended.take().filter(|suspended| suspended.revision == hash && !is_resumed);
        record.suspended.clone_from(&suspended);
        record.events = plugin.subscriptions().iter().filter_map(|kind| kind.interface()).map(str::to_owned).collect();
        (record, suspended)
    }

    fn probation(&self, fallback: Option<Arc<Plugin>>) -> Arc<Probation> {
        Arc::new(Probation::new(fallback, PROBATION_SUCCESSES, Arc::clone(&self.context.changed)))
    }

    /// Every new attempt uses this revision, unless it is suspended.
    fn put_into_slot(
        &mut self,
        plugin: Arc<Plugin>,
        probation: Option<Arc<Probation>>,
        suspended: Option<SuspendedRevision>,
    ) {
        let changed = &self.context.changed;
        let new = || Arc::new(PluginSlot::new(Arc::clone(&plugin), Arc::clone(changed)));
        let slot = self.request.slot.get_or_insert_with(new);
        slot.activate(ActiveRevision { plugin, probation });
        if let Some(suspended) = suspended {
            slot.suspend(suspended.suspension);
        }
    }
}

/// Reads a file that must still have this stamp. After a rollback, the same file stands for the
/// revision that was gone back to, until its content changes.
fn read_file(path: &Path, stamp: Stamp, record: &Record, revisions: &Revisions) -> Result<Option<Vec<u8>>, StepError> {
    let is_unchanged = || Stamp::of(path).ok() == Some(stamp);
    if !is_unchanged() {
        return Ok(None);
    }
    let size = usize::try_from(stamp.bytes()).unwrap_or(usize::MAX);
    if size > FILE_BYTES {
        let reason = format!("{} has {size} bytes, the maximum is {FILE_BYTES}", path.display());
        return Err(StepError::permanent("read", "plugin-too-large", reason));
    }
    let bytes = read_bytes(path, size).map_err(|error| {
        let reason = format!("{} could not be read: {error}; check that the daemon's user may read it", path.display());
        StepError::transient("read", "plugin-unreadable", reason)
    })?;
    if !is_unchanged() {
        return Ok(None);
    }
    let was_rolled_back = record.rolled_back.as_deref() == Some(&*revision(&bytes));
    match record.active().filter(|_| was_rolled_back) {
        Some(hash) => read_saved(revisions, hash).map(Some),
        None => Ok(Some(bytes)),
    }
}

/// Reads a file of this size. A pipe or device that replaced it is refused.
fn read_bytes(path: &Path, size: usize) -> std::io::Result<Vec<u8>> {
    let (file, _) = open_file(path)?;
    let mut bytes = Vec::with_capacity(size);
    // One byte more, so that a file of size 0 is read too and an error is noticed.
    file.take((size as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    bytes.truncate(size);
    Ok(bytes)
}

fn read_saved(revisions: &Revisions, hash: &str) -> Result<Vec<u8>, StepError> {
    let reason = |error| format!("the saved revision {hash} could not be read: {error}");
    revisions.read(hash).map_err(|error| StepError::permanent("read", "plugin-unreadable", reason(error)))
}

async fn settings_errors(plugin: &Plugin, request: &LoadRequest) -> Result<Vec<String>, StepError> {
    settings::check(plugin.about().cloned(), request.config.load().settings).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipe_in_place_of_a_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe.wasm");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for path in [path.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert!(read_bytes(path, 10).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn size_of_a_file_is_checked_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.wasm");
        // No memory holds it, and it takes no space on the disk.
        std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
        let revisions = Revisions::new(folder.path().join("revisions"));
        let stamp = Stamp::of(&path).unwrap();
        let error = read_file(&path, stamp, &Record::default(), &revisions).unwrap_err();
        assert_eq!((error.step, error.code, error.transient), ("read", "plugin-too-large", false));
    }
}
