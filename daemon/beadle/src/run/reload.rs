//! The configuration while the daemon runs: read again when its files change, when somebody says so (SIGHUP), and now and
//! then by itself.
//!
//! The whole is read and validated first; then what changed is applied, and the rest is not touched. A configuration that
//! cannot be used changes nothing and is told everywhere. What is read only at the start (addresses, the data folder, apps and
//! channels) is named as waiting for a restart. Each part that can change takes its new settings as a whole and finds out by itself
//! what is other: here is only the list of parts ([`Reloader::apply`]).

use super::{build, logging};
use crate::api::Problem;
use crate::config::{self, Change, Config, Environment, Invalid, Loaded, changes};
use crate::web::Admin;
use beadle_catalog::Catalog;
use beadle_catalog::watch::{Hint, Watch};
use beadle_model::{Coded as _, LeadTimes};
use beadle_pipeline::Pipeline;
use beadle_schedule::Schedules;
use beadle_store::Retention;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

/// After the first change the others are waited for: who edits by program writes several files. Real time.
const GATHER: Duration = Duration::from_millis(100);
/// A file that cannot be used is looked at once more before anything is said of it: it may be half written. Real time.
const DOUBT: Duration = Duration::from_millis(500);

/// The parts that take new settings.
pub struct Reloader {
    pub catalog: Catalog,
    pub pipeline: Pipeline,
    pub schedules: Schedules,
    pub admin: Arc<Admin>,
    pub retention: watch::Sender<Retention>,
    pub leads: watch::Sender<LeadTimes>,
}

/// Why the files were looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Something changed, or time has passed.
    Look,
    /// A person wants to hear what came of it.
    Asked,
}

impl Reloader {
    /// Until it is dropped. `now`: what is in effect.
    pub async fn run(self, mut now: Loaded, mut hangup: Option<Signal>) {
        let at_start = now.flat.hashes();
        self.show(None, &at_start, &at_start);
        let mut watch = Watch::new().ok();
        let mut told = None;
        loop {
            if let Some(watch) = &mut watch {
                watch.set(&folders(&now));
            }
            let poll_interval = Duration::from_millis(now.config.daemon.poll_interval_ms.try_into().unwrap_or(1));
            let cause = tokio::select! {
                () = changed(watch.as_mut()) => Cause::Look,
                () = hung_up(hangup.as_mut()) => Cause::Asked,
                () = tokio::time::sleep(poll_interval) => Cause::Look,
            };
            match self.read(&now, cause).await {
                Ok(next) => {
                    let was_told = told.take().is_some();
                    if was_told || cause == Cause::Asked || next.config != now.config || next.flat != now.flat {
                        now = self.take(now, next, &at_start);
                    }
                }
                Err(invalid) => {
                    let problem = Problem { code: invalid.code().into(), message: invalid.render(false) };
                    if cause == Cause::Look && told.as_ref() == Some(&problem.message) {
                        continue;
                    }
                    for (code, line) in invalid.lines() {
                        tracing::error!(code, "{line}");
                    }
                    tracing::error!(
                        "The configuration cannot be used, and what was in effect stays; `beadle check` shows each mistake in its place."
                    );
                    told = Some(problem.message.clone());
                    self.show(Some(problem), &now.flat.hashes(), &at_start);
                }
            }
        }
    }

    /// What is written now, if it can be used.
    async fn read(&self, now: &Loaded, cause: Cause) -> Result<Loaded, Invalid> {
        let path = now.path.clone();
        let load = move || config::load(&path, &Environment::process());
        match load() {
            Err(_) if cause == Cause::Look => {
                tokio::time::sleep(DOUBT).await;
                load()
            }
            read => read,
        }
    }

    /// Brings the next one into effect and says what changed; the one that is in effect then.
    fn take(&self, now: Loaded, next: Loaded, at_start: &BTreeMap<String, String>) -> Loaded {
        self.apply(&now.config, &next.config);
        let keys = next.flat.hashes();
        let changed = changes(&now.flat.hashes(), &keys);
        match changed.as_slice() {
            [] => tracing::info!("The configuration was read again; what is written is the same."),
            changed => {
                let changed: Vec<_> = changed.iter().map(Change::to_string).collect();
                tracing::info!("The configuration was read again: {}.", changed.join(", "));
            }
        }
        for note in next.notes.iter().filter(|note| !now.notes.contains(note)) {
            tracing::warn!("{note}.");
        }
        self.show(None, &keys, at_start);
        next
    }

    /// Gives each part what is other for it.
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

    /// For whoever asks how it is.
    fn show(&self, problem: Option<Problem>, keys: &BTreeMap<String, String>, at_start: &BTreeMap<String, String>) {
        let waiting =
            changes(at_start, keys).into_iter().filter(|change| change.needs_restart).map(|change| change.key);
        let mut state = self.admin.config.write().unwrap_or_else(PoisonError::into_inner);
        *state = crate::web::ConfigState { problem, waiting: waiting.collect(), keys: keys.clone() };
    }
}

/// Where its files lie, and where more may come.
fn folders(loaded: &Loaded) -> Vec<PathBuf> {
    let base = if loaded.path.is_dir() { Some(loaded.path.as_path()) } else { loaded.path.parent() };
    let base = base.map(|base| std::path::absolute(base).unwrap_or_else(|_| base.to_owned())).unwrap_or_default();
    vec![base.join("conf.d"), base]
}

/// Returns when a file of the configuration may have changed.
async fn changed(watch: Option<&mut Watch>) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        let hints = watch.changed().await;
        let is_config = |(path, hint): &(PathBuf, Hint)| {
            // Holiday files are read with the rest.
            *hint == Hint::Whole && path.extension().is_some_and(|end| end == "toml" || end == "ics")
        };
        // Without a hint a folder came or went, or something was removed.
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
