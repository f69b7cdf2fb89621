//! Keeps the running plugins in line with the plugin folders and the configuration.
//!
//! One loop owns all plugins. Whatever wakes it (a file change, the configuration, a command, the
//! end of a load, a slot's health, the poll interval), it does the same: observe the folders,
//! decide for each plugin (`plan`), and start what is to be done. A load (`transaction`) runs as a
//! separate task, one per plugin at a time; its end wakes the loop again. So no two changes of one
//! plugin overlap, and a change that was missed is found by the next observation.
//!
//! Dispatch begins when everything that can be loaded is, so that no event misses a plugin because
//! of a restart (`startup`).

use crate::command::{Answer, Command, CommandError, PendingCommand};
use crate::config::Config;
use crate::entry::{Entry, LoadState, StepTime, describe_missing};
use crate::folder::{self, FolderIdentity, Listing};
use crate::managed::{ManagedPlugin, ProbationChange, missing_entry};
use crate::plan::{self, Action, Attempt, FileState, Known};
use crate::published::{Counts, FolderWarning, Published};
use crate::record::{self, CRASH, IsolatedRevision, Record};
use crate::startup::Startup;
use crate::transaction::{self, Context, LOAD_CRASH, LoadOutcome, LoadRequest, LoadResult, Source};
use crate::watch::{Hint, Watch};
use crate::{grants, watch};
use beadle_model::Timestamp;
use beadle_pipeline::{Pipeline, Subscriptions, Suspension};
use beadle_store::{PurgeReport, StoreError};
use beadle_tasks::Heartbeat;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::task::{JoinError, JoinSet};

/// After a file change, others are waited for: several are often changed together.
const GATHER: Duration = Duration::from_millis(3);
/// Pause while the store cannot be read or written.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The code of a plugin that is still being loaded when dispatch begins.
pub(crate) const STILL_LOADING: &str = "plugin-loading";

/// A load that ended.
struct FinishedLoad {
    name: String,
    result: LoadResult,
    attempt: Attempt,
    rollback: Option<Rollback>,
}

/// A folder or file that cannot be read, and whose plugins stay active for a while.
struct Lost {
    since: Instant,
    /// Such as "cannot be read (No such file or directory)".
    reason: String,
}

/// A rollback command that waits for its load.
struct Rollback {
    answer: oneshot::Sender<Answer>,
    discard_state: bool,
}

/// Why the loop continues.
enum Wake {
    FilesChanged(Vec<(PathBuf, Hint)>),
    LoadEnded(Box<Result<(tokio::task::Id, FinishedLoad), JoinError>>),
    Command(PendingCommand),
    Configured,
    /// A slot's health changed, or it is time for the next check.
    Review,
    CatalogDropped,
}

/// The channels between the reconciler and [`crate::Catalog`].
pub(crate) struct Channels {
    pub configs: channel::Receiver<Config>,
    pub commands: mpsc::Receiver<PendingCommand>,
    pub publish: channel::Sender<Published>,
    pub counts: Arc<Counts>,
}

/// The loop and its state.
pub(crate) struct Reconciler {
    context: Context,
    pipeline: Pipeline,
    channels: Channels,
    config: Config,
    watcher: watch::Watcher,
    watch: Watch,
    hints: HashMap<PathBuf, Hint>,
    plugins: BTreeMap<String, ManagedPlugin>,
    listing: Listing,
    loads: JoinSet<FinishedLoad>,
    load_names: HashMap<tokio::task::Id, String>,
    /// Folders that are missing, unreadable or unmounted.
    lost_folders: BTreeMap<PathBuf, Lost>,
    /// Plugins whose entry in the folder cannot be read as a file, by name.
    lost_files: BTreeMap<String, Lost>,
    /// The identity of each folder when it was last not lost.
    identities: BTreeMap<PathBuf, FolderIdentity>,
    startup: Startup,
    /// The records of earlier processes were read.
    has_records: bool,
}

impl Reconciler {
    pub fn new(context: Context, pipeline: Pipeline, watcher: watch::Watcher, channels: Channels) -> Self {
        let config = channels.configs.borrow().clone();
        Self {
            context,
            pipeline,
            channels,
            config,
            watch: watcher.watch(),
            watcher,
            hints: HashMap::new(),
            plugins: BTreeMap::new(),
            listing: Listing::default(),
            loads: JoinSet::new(),
            load_names: HashMap::new(),
            lost_folders: BTreeMap::new(),
            lost_files: BTreeMap::new(),
            identities: BTreeMap::new(),
            startup: Startup::new(),
            has_records: false,
        }
    }

    /// Runs until the catalog is dropped. After a panic it can be run again: it then observes
    /// everything again.
    pub async fn run(&mut self, heartbeat: &Heartbeat) {
        if !self.has_records {
            self.read_records().await;
            self.examine_last_start().await;
            self.has_records = true;
        }
        loop {
            heartbeat.beat();
            let check_after = self.reconcile().await;
            let (all_loaded, timeout) = (self.loads.is_empty(), self.startup_timeout());
            if self.startup.finish(all_loaded, timeout, Instant::now()) {
                self.suspend_unloaded();
                self.publish_subscriptions();
            }
            self.publish();
            let wake = heartbeat.idle(self.wait(check_after)).await;
            if !self.handle(wake).await {
                return;
            }
        }
    }

    // Start

    async fn read_records(&mut self) {
        loop {
            let reader = self.context.store.reader();
            let read = tokio::task::spawn_blocking(move || record::read_all(&reader)).await;
            match read {
                Ok(Ok(records)) => {
                    for (name, (no, record)) in
                        records.into_iter().filter(|(_, (_, record))| *record != Record::default())
                    {
                        let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
                        self.plugins.insert(name, ManagedPlugin::new(no, record, config));
                    }
                    return;
                }
                Ok(Err(error)) => tracing::error!(%error, "plugin records not read, will retry"),
                // The blocking pool is gone only while the daemon shuts down.
                Err(_) => return,
            }
            tokio::time::sleep(STORE_RETRY).await;
        }
    }

    /// Isolates the plugin that was being loaded alone when the previous process died; others
    /// become suspects. Suspends a plugin that was running too often when a process died.
    async fn examine_last_start(&mut self) {
        for (name, loading) in self.context.crash_markers.take() {
            if !loading.alone {
                tracing::warn!(plugin = name, "daemon died while plugin was loaded, loading it last and alone");
                self.startup.suspect(name);
                continue;
            }
            tracing::error!(
                plugin = name,
                code = LOAD_CRASH,
                "daemon died again while plugin was loaded, isolating it"
            );
            let at = self.context.clock.now();
            let Ok(no) = self.context.store.plugin_no(&name).await else { continue };
            let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
            let new = || ManagedPlugin::new(no, Record::default(), config);
            let plugin = self.plugins.entry(name.clone()).or_insert_with(new);
            plugin.record.isolated = Some(IsolatedRevision { revision: loading.revision, at });
            self.write_record(&name).await;
        }
        for (name, revision) in self.context.service_markers.take() {
            let at = self.context.clock.now();
            let Some(plugin) = self.plugins.get_mut(&name) else { continue };
            if plugin.record.active() != Some(&*revision) {
                continue;
            }
            if plugin.record.note_crash(&name, at) {
                tracing::error!(plugin = name, code = CRASH, "daemon died again while plugin ran, suspending it");
            } else {
                tracing::warn!(plugin = name, "daemon died while plugin ran its first event in a fresh instance");
            }
            self.write_record(&name).await;
        }
    }

    /// When dispatch begins, plugins that are still being loaded are suspended, so that their
    /// events wait.
    fn suspend_unloaded(&mut self) {
        let at = self.context.clock.now();
        let is_unloaded = |plugin: &ManagedPlugin| plugin.load == LoadState::Loading && plugin.slot.is_none();
        for (name, plugin) in self.plugins.iter_mut().filter(|(_, plugin)| is_unloaded(plugin)) {
            tracing::warn!(plugin = name, code = STILL_LOADING, "startup timeout, continuing without plugin");
            let reason = "it is still being loaded";
            let suspension = Suspension { code: STILL_LOADING.into(), reason: reason.into(), at };
            plugin.suspend_unloaded(name, suspension, &self.context.changed);
        }
    }

    fn startup_timeout(&self) -> Duration {
        Duration::from_millis(self.config.startup_timeout_ms.try_into().unwrap_or(0))
    }

    // The loop

    /// Waits for a reason to reconcile, at most this long.
    async fn wait(&mut self, check_after: Duration) -> Wake {
        tokio::select! {
            hints = self.watch.changed() => Wake::FilesChanged(hints),
            Some(ended) = self.loads.join_next_with_id() => Wake::LoadEnded(Box::new(ended)),
            command = self.channels.commands.recv() => command.map_or(Wake::CatalogDropped, Wake::Command),
            changed = self.channels.configs.changed() => match changed {
                Ok(()) => Wake::Configured,
                Err(_) => Wake::CatalogDropped,
            },
            () = self.context.changed.notified() => Wake::Review,
            () = tokio::time::sleep(check_after) => Wake::Review,
        }
    }

    /// Handles what woke the loop. Returns false when the catalog was dropped.
    async fn handle(&mut self, wake: Wake) -> bool {
        match wake {
            Wake::FilesChanged(hints) => {
                self.hints.extend(hints);
                tokio::time::sleep(GATHER).await;
            }
            Wake::LoadEnded(ended) => match *ended {
                Ok((id, finished)) => {
                    self.load_names.remove(&id);
                    self.finish_load(finished).await;
                }
                Err(error) => self.note_panic(&error),
            },
            Wake::Command(command) => self.apply(command).await,
            Wake::Configured => self.apply_configuration().await,
            Wake::Review => self.review_health().await,
            Wake::CatalogDropped => return false,
        }
        true
    }

    /// Observes the folders, decides for each plugin, and starts what is to be done. Returns when
    /// to check again.
    async fn reconcile(&mut self) -> Duration {
        let dirs = self.config.dirs.clone();
        self.watch.set(&dirs);
        let named: Vec<String> = self.config.plugins.keys().cloned().collect();
        let listed =
            tokio::task::spawn_blocking(move || folder::list(&dirs, &named.iter().map(String::as_str).collect()));
        // The blocking pool is gone only while the daemon shuts down.
        let Ok(listing) = listed.await else { return STORE_RETRY };
        self.listing = listing;
        let now = Instant::now();
        self.note_folders(now);
        self.note_files(now);
        let mut check_after = Duration::from_millis(self.config.poll_interval_ms.try_into().unwrap_or(1));
        check_after = check_after.min(self.startup.time_left(self.startup_timeout(), now).unwrap_or(check_after));
        if let Err(error) = self.add_new_plugins().await {
            tracing::warn!(%error, "new plugin not recorded, will retry");
            check_after = STORE_RETRY;
        }
        let mut names: Vec<String> = self.plugins.keys().cloned().collect();
        // Suspects come last.
        names.sort_by_key(|name| self.startup.is_suspect(name));
        for name in names {
            if let Some(retry_at) = self.plugins.get(&name).and_then(|plugin| plugin.retry_at) {
                check_after = check_after.min(retry_at.saturating_duration_since(now).max(GATHER));
            }
            match self.decide(&name, now) {
                Action::None => {}
                Action::CheckAfter(time) => check_after = check_after.min(time.max(GATHER)),
                // The end of a running load is the next chance.
                Action::Load if self.startup.may_load(self.running_loads(now)) => self.load_file(&name, now),
                Action::Resume if self.startup.may_load(self.running_loads(now)) => self.resume(&name),
                Action::Load | Action::Resume => {}
                Action::Unload => self.unload(&name).await,
            }
        }
        self.purge_old().await;
        check_after
    }

    /// Records plugins that are seen for the first time, so that they have a number.
    async fn add_new_plugins(&mut self) -> Result<(), StoreError> {
        let new: Vec<String> =
            self.listing.plugins.keys().filter(|name| !self.plugins.contains_key(*name)).cloned().collect();
        for name in new {
            let no = self.context.store.plugin_no(&name).await?;
            let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
            self.plugins.insert(name, ManagedPlugin::new(no, Record::default(), config));
        }
        Ok(())
    }

    fn decide(&mut self, name: &str, now: Instant) -> Action {
        let Some(plugin) = self.plugins.get_mut(name) else { return Action::None };
        let found = self.listing.plugins.get(name);
        plugin.observe(found.map(|found| found.stamp), now);
        if plugin.record.disabled_since.is_some() && found.is_some() && !plugin.is_loading() {
            (plugin.load, plugin.changed_at) = (LoadState::Loaded, None);
            return Action::None;
        }
        let grace = Duration::from_millis(self.config.folder_grace_ms.try_into().unwrap_or(0));
        let lost_file = self.lost_files.get(name);
        let lost_since = match plugin.folder() {
            _ if lost_file.is_some() => lost_file.map(|lost| lost.since),
            Some(folder) => self.lost_folders.get(folder).map(|lost| lost.since),
            // It is not known from where it was loaded.
            None => self.lost_folders.values().map(|lost| lost.since).min(),
        };
        let resumable = plugin.is_resumable();
        if found.is_none() && plugin.slot.is_none() && !plugin.is_loading() && !resumable {
            if lost_since.is_some() {
                let (code, error) = match lost_file {
                    Some(lost) => ("plugin-unreadable", lost.reason.clone()),
                    None => ("plugin-folder-missing", lost_folders_text(&self.lost_folders)),
                };
                plugin.load = LoadState::Broken { code, error };
                return Action::None;
            }
            if plugin.load == LoadState::Removed {
                return Action::None;
            }
        }
        let file = found.zip(plugin.observed).map(|(found, (stamp, since))| FileState {
            stamp,
            unchanged_for: now.saturating_duration_since(since),
            // At the start files are taken as they are.
            hint: if self.startup.is_finished() { self.hints.get(&found.path).copied() } else { Some(Hint::Whole) },
        });
        let missing_for = match plugin.missing_since {
            Some(since) if self.startup.is_finished() => now.saturating_duration_since(since),
            Some(_) => Duration::MAX,
            None => Duration::ZERO,
        };
        let grace_left = lost_since
            .filter(|_| plugin.slot.is_some() || resumable)
            .map(|since| grace.saturating_sub(now.saturating_duration_since(since)));
        let known = Known {
            attempt: plugin.attempt.as_ref(),
            loading: plugin.is_loading(),
            missing_for,
            grace: grace_left,
            resumable,
            load: &plugin.config.load(),
            granted: &plugin.granted(),
        };
        let action = plan::decide(file.as_ref(), &known);
        if action == Action::None && !plugin.is_loading() {
            plugin.changed_at = None;
        }
        action
    }

    // Loads

    /// Loads that count against the limit. A load that takes longer than the startup timeout no
    /// longer does.
    fn running_loads(&self, now: Instant) -> usize {
        let timeout = self.startup_timeout();
        let began = self.plugins.values().filter_map(|plugin| plugin.loading_since);
        began.filter(|since| now.saturating_duration_since(*since) < timeout).count()
    }

    fn load_file(&mut self, name: &str, now: Instant) {
        let Some((plugin, found)) = self.plugins.get_mut(name).zip(self.listing.plugins.get(name)) else { return };
        // A load because of a command or the configuration waited for no file.
        let settled = plugin.changed_at.take().map(|at| ("settle", now.saturating_duration_since(at)));
        self.hints.remove(&found.path);
        plugin.path = Some(found.path.clone());
        let source = Source::File(found.path.clone(), found.stamp);
        self.start_load(name, source, settled, None);
    }

    /// Loads the saved revision of a plugin whose folder or file cannot be read since the start.
    fn resume(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get(name) else { return };
        let Some(hash) = plugin.record.active().map(str::to_owned) else { return };
        let code = if self.lost_files.contains_key(name) { "plugin-unreadable" } else { "plugin-folder-missing" };
        tracing::warn!(plugin = name, code, "plugin file missing, loading saved revision");
        self.start_load(name, Source::Resume(hash), None, None);
    }

    fn start_load(&mut self, name: &str, source: Source, settled: Option<StepTime>, rollback: Option<Rollback>) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        plugin.loading_since = Some(Instant::now());
        let stamp = match &source {
            Source::File(_, stamp) => *stamp,
            Source::Rollback(_) | Source::Resume(_) => plugin.observed.map(|(stamp, _)| stamp).unwrap_or_default(),
        };
        let attempt = Attempt { stamp, load: plugin.config.load(), granted: plugin.granted() };
        let request = LoadRequest {
            name: name.to_owned(),
            no: plugin.no,
            source,
            config: plugin.config.clone(),
            granted: attempt.granted.clone(),
            record: plugin.record.clone(),
            slot: plugin.slot.clone(),
            settled,
            alone: self.startup.is_suspect(name),
            discard_state: rollback.as_ref().is_some_and(|rollback| rollback.discard_state),
        };
        let (context, name) = (self.context.clone(), name.to_owned());
        let load_name = name.clone();
        let load = self.loads.spawn(async move {
            let result = transaction::load(context, request).await;
            FinishedLoad { name, result, attempt, rollback }
        });
        self.load_names.insert(load.id(), load_name);
    }

    /// A load that panicked is a bug of ours. It is repeated after a while, like other transient
    /// failures.
    fn note_panic(&mut self, error: &JoinError) {
        let Some(name) = self.load_names.remove(&error.id()) else { return };
        tracing::error!(plugin = name, %error, "plugin load panicked, will retry");
        if let Some(plugin) = self.plugins.get_mut(&name) {
            plugin.abandon_load(Instant::now());
        }
    }

    async fn finish_load(&mut self, FinishedLoad { name, result, attempt, rollback }: FinishedLoad) {
        self.startup.clear(&name);
        let Some(plugin) = self.plugins.get_mut(&name) else { return };
        let is_rollback = rollback.is_some();
        let Counts { activated, rejected, rolled_back } = &*self.channels.counts;
        match &result.outcome {
            LoadOutcome::Activated if is_rollback => increment(rolled_back),
            LoadOutcome::Activated => increment(activated),
            LoadOutcome::Rejected { .. } if !is_rollback => increment(rejected),
            _ => {}
        }
        if let Some(rollback) = rollback {
            // The client may have disconnected.
            let _ = rollback.answer.send(rollback_answer(&name, &result));
        }
        if is_rollback && !matches!(result.outcome, LoadOutcome::Activated | LoadOutcome::Unchanged) {
            // The answer says why; nothing has changed.
            plugin.loading_since = None;
        } else {
            plugin.finish_load(&name, result, attempt, Instant::now(), &self.context.changed);
        }
        self.publish_subscriptions();
        if self.loads.is_empty() {
            let wanted = self.plugins.values().flat_map(|plugin| &plugin.record.revisions).map(String::as_str);
            self.context.revisions.retain(&wanted.collect());
        }
    }

    /// Unloads a plugin whose file was removed. Its state, timers and events are kept for a while.
    async fn unload(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        if plugin.record == Record::default() {
            self.plugins.remove(name);
            return;
        }
        tracing::warn!(plugin = name, "plugin file removed, plugin unloaded");
        plugin.disable(LoadState::Removed);
        plugin.path = None;
        if plugin.record.gone_since.is_none() {
            plugin.record.gone_since = Some(self.context.clock.now());
            self.write_record(name).await;
        }
        self.publish_subscriptions();
    }

    async fn write_record(&self, name: &str) {
        let Some(plugin) = self.plugins.get(name) else { return };
        if let Err(error) = self.context.store.set_plugin_record(plugin.no, plugin.record.to_json()).await {
            tracing::warn!(plugin = name, %error, "plugin record not written");
        }
    }

    /// Deletes what is kept of plugins that were removed long ago.
    async fn purge_old(&mut self) {
        let keep_ms = self.config.keep_removed_ms;
        let is_over = |since: Timestamp, now: Timestamp| now.since_ms(since) > keep_ms;
        let gone_since = |plugin: &ManagedPlugin| plugin.record.gone_since;
        let by_clock = self.context.clock.now();
        // The clock alone decides nothing: it may be wrong for a moment.
        if !self.plugins.values().filter_map(gone_since).any(|since| is_over(since, by_clock)) {
            return;
        }
        let reader = self.context.store.reader();
        let trusted = tokio::task::spawn_blocking(move || reader.retention_time()).await;
        let Ok(Ok(Some(now))) = trusted else { return };
        let is_old = |plugin: &ManagedPlugin| gone_since(plugin).is_some_and(|since| is_over(since, now));
        let is_removed =
            |plugin: &ManagedPlugin| plugin.slot.is_none() && !plugin.is_loading() && plugin.load == LoadState::Removed;
        let old = self.plugins.iter().filter(|(_, plugin)| is_removed(plugin) && is_old(plugin));
        for name in old.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            match self.purge(&name).await {
                Ok(_) => tracing::info!(plugin = name, "removed plugin purged"),
                Err(error) => tracing::warn!(plugin = name, %error, "removed plugin not purged, will retry"),
            }
        }
    }

    // Configuration and subscriptions

    async fn apply_configuration(&mut self) {
        self.config = self.channels.configs.borrow_and_update().clone();
        for (name, plugin) in &mut self.plugins {
            plugin.config = self.config.plugins.get(name).cloned().unwrap_or_default();
        }
        self.publish_subscriptions();
    }

    /// Publishes which plugins subscribe to what: the one value that pipeline, schedules, windows
    /// and downloads follow.
    fn publish_subscriptions(&self) {
        if self.startup.is_finished() {
            let subscriptions = self.plugins.values().filter_map(ManagedPlugin::subscription).collect();
            self.pipeline.publish(Subscriptions::new(subscriptions));
        }
    }

    /// Ends probations, and records suspensions by the pipeline.
    async fn review_health(&mut self) {
        let now = self.context.clock.now();
        for name in self.plugins.keys().cloned().collect::<Vec<_>>() {
            let Some(plugin) = self.plugins.get_mut(&name) else { continue };
            let change = plugin.review_probation(&name, now);
            if change == ProbationChange::RolledBack {
                increment(&self.channels.counts.rolled_back);
            }
            if plugin.record_suspension() || change == ProbationChange::RolledBack {
                self.write_record(&name).await;
            }
        }
        // Timers of suspended plugins wait, those of plugins that recovered fire.
        self.publish_subscriptions();
    }

    // Commands

    async fn apply(&mut self, PendingCommand { command, answer }: PendingCommand) {
        let name = command.plugin().to_owned();
        let done = match command {
            Command::Rollback { discard_state, .. } => match self.rollback_source(&name) {
                // The end of the load answers.
                Ok(source) => return self.start_load(&name, source, None, Some(Rollback { answer, discard_state })),
                Err(error) => Err(error),
            },
            Command::Grant(_, capabilities) => self.grant(&name, &capabilities, true).await,
            Command::Revoke(_, capabilities) => self.grant(&name, &capabilities, false).await,
            Command::Purge(_) => self.purge(&name).await,
            Command::Enable(_) => self.enable(&name).await,
            Command::Disable(_) => self.disable(&name).await,
        };
        // The client may have disconnected.
        let _ = answer.send(done);
    }

    fn rollback_source(&self, name: &str) -> Result<Source, CommandError> {
        let plugin = self.plugins.get(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if plugin.is_loading() {
            return Err(CommandError::Busy(name.into()));
        }
        if plugin.record.disabled_since.is_some() {
            return Err(CommandError::Disabled(name.into()));
        }
        let earlier = plugin.record.earlier().ok_or_else(|| CommandError::NoEarlierRevision(name.into()))?;
        Ok(Source::Rollback(earlier.to_owned()))
    }

    async fn grant(&mut self, name: &str, capabilities: &[String], grant: bool) -> Answer {
        if let Some(other) = capabilities.iter().find(|capability| !grants::is_grantable(capability)) {
            return Err(match grants::is_default(other) {
                true => CommandError::DefaultCapability(other.clone()),
                false => CommandError::UnknownCapability(other.clone()),
            });
        }
        let before = self.plugins.get(name).map(|plugin| plugin.record.granted.clone()).unwrap_or_default();
        let changed = self.change_record(name, |record| {
            for capability in capabilities {
                if grant {
                    record.granted.insert(capability.clone());
                } else {
                    record.granted.remove(capability);
                }
            }
        });
        let plugin = changed.await?;
        let requested = plugin.requested();
        let results = capabilities.iter().map(|capability| {
            let is_requested = requested.as_ref().map(|requested| requested.contains(capability.as_str()));
            let (was_granted, in_toml) = (before.contains(capability), plugin.config.grant.contains(capability));
            match grant {
                true => grants::granted_text(name, capability, is_requested),
                false => grants::revoked_text(name, capability, was_granted, in_toml),
            }
        });
        Ok(results.collect::<Vec<_>>().join("; "))
    }

    async fn purge(&mut self, name: &str) -> Answer {
        let plugin = self.plugins.get(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if plugin.is_loading() {
            return Err(CommandError::Busy(name.into()));
        }
        let has_entry = self.listing.plugins.contains_key(name) || self.listing.unreadable.contains_key(name);
        if plugin.slot.is_some() || has_entry {
            return Err(CommandError::NotRemoved(name.into()));
        }
        let PurgeReport { values, timers, requests, events } = self.context.store.purge_plugin(plugin.no).await?;
        self.pipeline.discard_backlog(plugin.no);
        self.plugins.remove(name);
        Ok(format!(
            "purged `{name}`: {values} values, {timers} timers, {requests} requests and {events} waiting events deleted"
        ))
    }

    /// Ends a disabling, a suspension, a rest or an isolation.
    async fn enable(&mut self, name: &str) -> Answer {
        let before = self.plugins.get(name).map(|plugin| plugin.record.clone());
        let changed = self.change_record(name, |record| {
            (record.disabled_since, record.suspended, record.isolated) = (None, None, None);
        });
        let plugin = changed.await?;
        if before.as_ref() == Some(&plugin.record) && !plugin.is_unavailable() {
            return Ok(format!("`{name}` was neither disabled nor suspended"));
        }
        let no = plugin.no;
        match &plugin.slot {
            Some(slot) if plugin.has_active_revision() => slot.resume(),
            // The next reconciliation loads it.
            _ => (plugin.attempt, plugin.load) = (None, LoadState::Loading),
        }
        self.publish_subscriptions();
        let waiting =
            self.pipeline.backlog_sizes().into_iter().find(|(plugin, _)| *plugin == no).map_or(0, |(_, size)| size);
        Ok(match waiting {
            0 => format!("`{name}` is enabled"),
            waiting => format!("`{name}` is enabled; {waiting} waiting events are handled first"),
        })
    }

    /// Gives the plugin no events until it is enabled, also after a restart.
    async fn disable(&mut self, name: &str) -> Answer {
        let now = self.context.clock.now();
        let plugin = self.change_record(name, |record| _ = record.disabled_since.get_or_insert(now)).await?;
        plugin.disable(LoadState::Loaded);
        self.publish_subscriptions();
        Ok(format!(
            "`{name}` is disabled: it gets no events and its timers wait until you run `beadle plugins enable {name}`"
        ))
    }

    /// Changes the record of a plugin. If it cannot be written, nothing changes.
    async fn change_record(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Record),
    ) -> Result<&mut ManagedPlugin, CommandError> {
        let plugin = self.plugins.get_mut(name).ok_or_else(|| CommandError::Unknown(name.into()))?;
        if plugin.is_loading() {
            return Err(CommandError::Busy(name.into()));
        }
        let mut record = plugin.record.clone();
        change(&mut record);
        if record != plugin.record {
            self.context.store.set_plugin_record(plugin.no, record.to_json()).await?;
            plugin.record = record;
        }
        Ok(plugin)
    }

    // Reports

    /// Notes and logs folders that were lost or returned.
    fn note_folders(&mut self, now: Instant) {
        let unreadable =
            self.listing.missing.iter().map(|(folder, error)| (folder, format!("cannot be read ({error})")));
        let unmounted = self.listing.empty.iter().filter(|folder| self.is_unmounted(folder));
        let unmounted = unmounted.map(|folder| (folder, "is empty, as if it were not mounted".to_owned()));
        let lost: BTreeMap<PathBuf, String> =
            unreadable.chain(unmounted).map(|(folder, reason)| (folder.clone(), reason)).collect();
        for (folder, reason) in &lost {
            if !self.lost_folders.contains_key(folder) {
                let (code, grace_ms) = ("plugin-folder-missing", self.config.folder_grace_ms);
                tracing::warn!(code, folder = %folder.display(), reason, grace_ms, "plugin folder lost");
                self.lost_folders.insert(folder.clone(), Lost { since: now, reason: reason.clone() });
            }
        }
        self.lost_folders.retain(|folder, _| {
            let is_lost = lost.contains_key(folder);
            if !is_lost {
                tracing::info!(folder = %folder.display(), "plugin folder returned");
            }
            is_lost
        });
        let identities = self.listing.identities.iter().filter(|(folder, _)| !lost.contains_key(*folder));
        self.identities.extend(identities.map(|(folder, identity)| (folder.clone(), *identity)));
        let known: BTreeSet<String> =
            self.channels.publish.borrow().warnings.iter().map(|warning| warning.text.clone()).collect();
        for warning in self.listing.warnings.iter().filter(|warning| !known.contains(*warning)) {
            tracing::warn!(code = "plugin-name-invalid", reason = warning, "plugin file ignored");
        }
    }

    /// Notes and logs plugins whose file was lost or returned: there is an entry of their name, but
    /// it is no file.
    fn note_files(&mut self, now: Instant) {
        for (name, found) in &self.listing.unreadable {
            if !self.lost_files.contains_key(name) {
                let (code, grace_ms) = ("plugin-unreadable", self.config.folder_grace_ms);
                let reason = format!("{} {}", found.path.display(), found.reason);
                tracing::warn!(code, plugin = name, reason, grace_ms, "plugin file lost");
                self.lost_files.insert(name.clone(), Lost { since: now, reason });
            }
        }
        let unreadable = &self.listing.unreadable;
        self.lost_files.retain(|name, _| unreadable.contains_key(name));
    }

    /// Whether an empty folder is probably the mount point of a file system that is not mounted, or
    /// another folder than the one that was there: its plugins are remembered, and it was empty
    /// since the start or is not the same as before.
    fn is_unmounted(&self, folder: &Path) -> bool {
        let is_remembered = |plugin: &ManagedPlugin| {
            plugin.folder() == Some(folder) && plugin.record.gone_since.is_none() && plugin.record.active().is_some()
        };
        let identity = self.listing.identities.get(folder);
        let changed = self.identities.get(folder).is_none_or(|before| Some(before) != identity);
        let is_lost = self.lost_folders.contains_key(folder);
        (changed || is_lost) && self.plugins.values().any(is_remembered)
    }

    fn publish(&self) {
        let mut entries: Vec<Entry> = self.plugins.iter().map(|(name, plugin)| plugin.entry(name)).collect();
        for name in self.config.plugins.keys() {
            match entries.iter_mut().find(|entry| entry.name == *name) {
                Some(entry) if entry.load == LoadState::Removed => {
                    entry.load = missing_entry(name, &self.config).load;
                }
                Some(_) => {}
                None => entries.push(missing_entry(name, &self.config)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let warning = |code, text| FolderWarning { code, text };
        let ignored = self.listing.warnings.iter().map(|text| warning("plugin-name-invalid", text.clone()));
        let lost = (!self.lost_folders.is_empty()).then(|| lost_folders_text(&self.lost_folders));
        let lost = lost.map(|text| warning("plugin-folder-missing", text));
        let files = self.lost_files.values().map(|lost| warning("plugin-unreadable", lost.reason.clone()));
        let unwatched = self.watcher.problem().map(|reason| {
            let seconds = self.config.poll_interval_ms / 1000;
            let text = format!("changed plugins, documents and settings are noticed only every {seconds} s: {reason}");
            warning(watch::CODE, text)
        });
        let warnings = ignored.chain(lost).chain(files).chain(unwatched).collect();
        let started = self.startup.is_finished();
        self.channels.publish.send_replace(Published { entries: entries.into(), warnings, started });
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The answer to a rollback command.
fn rollback_answer(name: &str, result: &LoadResult) -> Answer {
    let failed = |reason: String| Err(CommandError::RollbackFailed { name: name.into(), reason });
    match &result.outcome {
        LoadOutcome::Activated | LoadOutcome::Unchanged => {
            let revision = result.record.active().and_then(|hash| hash.get(..12)).unwrap_or_default();
            Ok(format!("`{name}` is back on revision {revision} until its file changes"))
        }
        LoadOutcome::Pending { missing, .. } => failed(describe_missing(name, missing)),
        LoadOutcome::Rejected { blocked, .. } if blocked.code == "state-would-be-lost" => {
            Err(CommandError::StateWouldBeLost { name: name.into(), loss: blocked.reason.clone() })
        }
        LoadOutcome::Rejected { blocked, .. } => failed(blocked.reason.clone()),
        LoadOutcome::Isolated(suspension) => failed(suspension.reason.clone()),
        LoadOutcome::FileChanged => Err(CommandError::Busy(name.into())),
    }
}

fn lost_folders_text(lost: &BTreeMap<PathBuf, Lost>) -> String {
    let folders: Vec<_> = lost.iter().map(|(folder, lost)| format!("{} {}", folder.display(), lost.reason)).collect();
    format!("the plugin folder {}; restore it or change `plugin_dirs` in `[daemon]`", folders.join(", and "))
}
