//! Reading the configuration again while the daemon runs: when its files change, on SIGHUP, and
//! periodically.
//!
//! The whole configuration is read and checked first. Then what changed is applied and the rest is not
//! touched; an invalid configuration changes nothing and is reported. Settings that are read only
//! at the start (addresses, the data folder, apps, channels) are reported as waiting for a restart. Each
//! part gets its new settings as a whole and finds the differences itself: [`Reloader::apply`] is only
//! the list of the parts.

use super::{build, logging};
use crate::api::Problem;
use crate::config::{self, Change, Config, Environment, Invalid, Loaded, changes};
use crate::web::{Admin, ConfigState};
use beadle_catalog::Catalog;
use beadle_catalog::watch::{Hint, Watch};
use beadle_model::{Coded as _, LeadTimes};
use beadle_pipeline::Pipeline;
use beadle_schedule::Schedules;
use beadle_store::Retention;
use beadle_tasks::Heartbeat;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, watch};

/// After the first change, time for more: a program that edits writes several files. Real time.
const GATHER: Duration = Duration::from_millis(100);
/// An invalid configuration is read once more after this time: a file may be half written. Real time.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// The parts that take new settings.
pub struct Reloader {
    pub catalog: Catalog,
    pub pipeline: Pipeline,
    pub schedules: Schedules,
    pub admin: Arc<Admin>,
    pub retention: watch::Sender<Retention>,
    pub leads: watch::Sender<LeadTimes>,
    /// Hashes of the configuration that the daemon started with.
    pub at_start: BTreeMap<String, String>,
    /// Survives a restart of the task.
    pub state: Mutex<State>,
}

/// What the loop knows.
pub struct State {
    /// The configuration in effect.
    pub current: Loaded,
    pub hangup: Option<Signal>,
    /// The error that was reported last; none while the files are in effect.
    pub reported: Option<String>,
}

/// Why the files are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A file changed, or time passed.
    Look,
    /// A person asked for it and wants to see a result.
    Asked,
}

impl Reloader {
    /// Runs until it is dropped.
    pub async fn run(self: Arc<Self>, heartbeat: Heartbeat) {
        let mut state = self.state.lock().await;
        if state.reported.is_none() {
            self.show(None, &state.current.flat.hashes());
        }
        let mut watch = self.catalog.watcher().watch();
        loop {
            heartbeat.beat();
            let State { current, hangup, .. } = &mut *state;
            watch.set(&folders(current));
            let poll_interval = Duration::from_millis(current.config.daemon.poll_interval_ms.try_into().unwrap_or(1));
            let woken = async {
                tokio::select! {
                    () = changed(&mut watch) => Cause::Look,
                    () = hung_up(hangup.as_mut()) => Cause::Asked,
                    () = tokio::time::sleep(poll_interval) => Cause::Look,
                }
            };
            let cause = heartbeat.idle(woken).await;
            self.reload(&mut state, cause).await;
        }
    }

    async fn reload(&self, state: &mut State, cause: Cause) {
        match read(&state.current, cause).await {
            Ok(next) => {
                let current = &state.current;
                let recovered = state.reported.take().is_some();
                if recovered || cause == Cause::Asked || next.config != current.config || next.flat != current.flat {
                    self.take(current, &next);
                    state.current = next;
                }
            }
            Err(invalid) => {
                let problem = Problem { code: invalid.code().into(), message: invalid.render(false) };
                if cause == Cause::Look && state.reported.as_ref() == Some(&problem.message) {
                    return;
                }
                for (code, line) in invalid.lines() {
                    tracing::error!(code, error = line, "invalid configuration");
                }
                tracing::error!("configuration not reloaded, see `beadle check`");
                state.reported = Some(problem.message.clone());
                self.show(Some(problem), &state.current.flat.hashes());
            }
        }
    }

    /// Applies a configuration and reports what changed.
    fn take(&self, current: &Loaded, next: &Loaded) {
        self.apply(&current.config, &next.config);
        let keys = next.flat.hashes();
        let changed: Vec<_> = changes(&current.flat.hashes(), &keys).iter().map(Change::to_string).collect();
        tracing::info!(changed = changed.join(", "), "configuration reloaded");
        for note in next.notes.iter().filter(|note| !current.notes.contains(note)) {
            tracing::warn!(note, "configuration");
        }
        self.show(None, &keys);
    }

    /// Gives each part its new settings.
    fn apply(&self, old: &Config, new: &Config) {
        self.pipeline.outbox().configure(build::outbox(new));
        if old.retention != new.retention {
            self.retention.send_replace(new.retention);
        }
        if old.windows != new.windows {
            self.leads.send_replace(new.windows.clone());
            self.pipeline.windows_changed().ring();
        }
        if old.log.level != new.log.level {
            logging::set_level(&new.log.level);
        }
        self.catalog.configure(build::plugins(new));
        self.schedules.configure(new.schedules.clone());
    }

    /// Shows on the admin side what became of the last reload.
    fn show(&self, problem: Option<Problem>, keys: &BTreeMap<String, String>) {
        let waiting = changes(&self.at_start, keys).into_iter().filter(|change| change.needs_restart);
        let waiting = waiting.map(|change| change.key).collect();
        *self.admin.config.write() = ConfigState { problem, waiting, keys: keys.clone() };
    }
}

/// Reads the files; if they are invalid and no operator waits for the result, once more after a while.
async fn read(current: &Loaded, cause: Cause) -> Result<Loaded, Invalid> {
    let load = || config::load(&current.path, &Environment::process());
    match load() {
        Err(_) if cause == Cause::Look => {
            tokio::time::sleep(SECOND_LOOK).await;
            load()
        }
        read => read,
    }
}

/// The folders in which the configuration's files are.
fn folders(loaded: &Loaded) -> Vec<PathBuf> {
    let base = if loaded.path.is_dir() { Some(loaded.path.as_path()) } else { loaded.path.parent() };
    let base = base.map(|base| std::path::absolute(base).unwrap_or_else(|_| base.to_owned())).unwrap_or_default();
    vec![base.join("conf.d"), base]
}

/// Returns when a file of the configuration may have changed.
async fn changed(watch: &mut Watch) {
    loop {
        let hints = watch.changed().await;
        let is_config = |(path, hint): &(PathBuf, Hint)| {
            // Holiday files (.ics) are part of the configuration.
            *hint == Hint::Whole && path.extension().is_some_and(|end| end == "toml" || end == "ics")
        };
        // No hint: a folder came or went, or a file was removed.
        if hints.is_empty() || hints.iter().any(is_config) {
            return tokio::time::sleep(GATHER).await;
        }
    }
}

async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}
