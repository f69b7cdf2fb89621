//! Reading the configuration again while the daemon runs: when its files change, on SIGHUP, and
//! periodically.
//!
//! The whole configuration is read and checked first. Then what changed is applied and the rest is
//! not touched; an invalid configuration changes nothing and is reported. Settings that are read
//! only at the start (addresses, the data folder, apps, channels) are reported as waiting for a
//! restart. Each part gets its new settings as a whole and finds the differences itself:
//! [`Reloader::apply`] is only the list of the parts.
//!
//! Looking costs a system call per file: the files are read only if their metadata have changed
//! since the last time.

use super::{build, logging};
use crate::api::Problem;
use crate::config::{self, Change, Config, Environment, Inputs, Invalid, Loaded, changes, in_effect};
use crate::web::hooks::Hooks;
use crate::web::{Admin, ConfigState};
use beadle_broadcast::Broadcasts;
use beadle_catalog::Catalog;
use beadle_catalog::watch::{Hint, Watch};
use beadle_egress::Policies;
use beadle_gatekeeper::Gatekeeper;
use beadle_model::{Coded as _, LeadTimes};
use beadle_pipeline::Pipeline;
use beadle_schedule::Schedules;
use beadle_segments::Segments;
use beadle_store::Retention;
use beadle_tasks::Heartbeat;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, watch};

/// After the first change, time for more: a program that edits writes several files. Real time.
const GATHER: Duration = Duration::from_millis(100);
/// An invalid configuration is read once more after this time: a file may be half written. Real
/// time.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// The parts that take new settings.
pub struct Reloader {
    pub catalog: Catalog,
    pub pipeline: Pipeline,
    pub gatekeeper: Gatekeeper,
    pub segments: Segments,
    pub broadcasts: Broadcasts,
    pub policies: Policies,
    pub hooks: Arc<Hooks>,
    pub schedules: Schedules,
    pub admin: Arc<Admin>,
    pub retention: watch::Sender<Retention>,
    pub leads: watch::Sender<LeadTimes>,
    /// Hashes of the configuration that the daemon started with.
    pub at_start: BTreeMap<String, String>,
    /// Survives a restart of the task.
    pub state: Mutex<ReloadState>,
}

/// What the loop knows.
pub struct ReloadState {
    /// The configuration in effect.
    pub current: Loaded,
    pub files: Files,
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
            self.show(None, &state.current);
        }
        let mut watch = self.catalog.watcher().watch();
        loop {
            heartbeat.beat();
            let ReloadState { current, hangup, .. } = &mut *state;
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

    async fn reload(&self, state: &mut ReloadState, cause: Cause) {
        let Some(read) = state.files.read(cause).await else { return };
        match read {
            Ok(next) => {
                let current = &state.current;
                let recovered = state.reported.take().is_some();
                if recovered || cause == Cause::Asked || next.config != current.config || next.flat != current.flat {
                    self.take(current, &next);
                }
                // Also after a change of comments, which moves the lines.
                self.show(None, &next);
                state.current = next;
            }
            Err(invalid) => {
                let problem = Problem { code: invalid.code().into(), message: invalid.message() };
                if cause == Cause::Look && state.reported.as_ref() == Some(&problem.message) {
                    return;
                }
                for (code, line) in invalid.lines() {
                    tracing::error!(code, error = line, "invalid configuration");
                }
                tracing::error!("configuration not reloaded, see `beadle check`");
                state.reported = Some(problem.message.clone());
                self.show(Some(problem), &state.current);
            }
        }
    }

    /// Applies a configuration and reports what changed.
    fn take(&self, current: &Loaded, next: &Loaded) {
        self.apply(&current.config, &next.config);
        let keys = next.flat.hashes();
        let changed: Vec<_> = changes(&current.flat.hashes(), &keys).iter().map(Change::to_string).collect();
        let changed = if changed.is_empty() { "nothing".into() } else { changed.join(", ") };
        tracing::info!(changed, "configuration reloaded");
        let is_new = |message: &str| !current.warnings.iter().any(|known| known.message() == message);
        for warning in next.warnings.iter().filter(|warning| is_new(warning.message())) {
            tracing::warn!(code = warning.code(), warning = warning.line(&next.sources), "configuration");
        }
    }

    /// Gives each part its new settings.
    fn apply(&self, old: &Config, new: &Config) {
        self.pipeline.outbox().configure(build::outbox(new));
        self.gatekeeper.configure(build::gate(new));
        if old.segments != new.segments {
            self.segments.configure(new.segments.clone());
        }
        self.broadcasts.configure(new.broadcasts.clone());
        // Before the plugins, which may be loaded because of the same change.
        self.policies.configure(&new.policies);
        self.hooks.configure(&new.hooks);
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
    fn show(&self, problem: Option<Problem>, loaded: &Loaded) {
        let (keys, lines) = (loaded.flat.hashes(), loaded.lines());
        let waiting = changes(&self.at_start, &keys).into_iter().filter(|change| change.needs_restart);
        let waiting = waiting.map(|change| change.key).collect();
        let keys = in_effect(&self.at_start, &keys);
        *self.admin.config.write() = ConfigState { problem, waiting, keys, lines };
    }
}

/// The files of the configuration, which are read when they have changed.
pub struct Files {
    path: PathBuf,
    /// As they were when they were read last.
    inputs: Inputs,
    environment: fn() -> Environment,
    /// How often they were read.
    reads: u64,
}

impl Files {
    /// Those of a configuration that was read.
    pub fn from_loaded(loaded: &mut Loaded) -> Self {
        let inputs = std::mem::take(&mut loaded.inputs);
        Self { path: loaded.path.clone(), inputs, environment: Environment::process, reads: 0 }
    }

    /// Reads the files, unless nothing changed and no operator waits for the result. If they are
    /// invalid and no operator waits, they are read once more after a while.
    async fn read(&mut self, cause: Cause) -> Option<Result<Loaded, Invalid>> {
        if cause == Cause::Look && !self.inputs.have_changed() {
            return None;
        }
        let mut read = self.load().await?;
        if read.is_err() && cause == Cause::Look {
            tokio::time::sleep(SECOND_LOOK).await;
            read = self.load().await?;
        }
        self.inputs = match &mut read {
            Ok(loaded) => std::mem::take(&mut loaded.inputs),
            Err(invalid) => std::mem::take(&mut invalid.inputs),
        };
        Some(read)
    }

    async fn load(&mut self) -> Option<Result<Loaded, Invalid>> {
        self.reads += 1;
        let (path, environment) = (self.path.clone(), self.environment);
        // Thousands of schedules take a while. The task fails only while the daemon shuts down.
        tokio::task::spawn_blocking(move || config::load(&path, &environment())).await.ok()
    }
}

/// The folders in which the configuration's files are.
fn folders(loaded: &Loaded) -> Vec<PathBuf> {
    let base = folder_of(&loaded.path);
    vec![base.join("conf.d"), base]
}

/// The folder of the configuration that is at `path`, which is a folder or a file. Absolute: the
/// parent of a bare file name is empty, and nothing could be watched there.
fn folder_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if path.is_dir() { path } else { path.parent().unwrap_or(&path).to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folder_of_a_bare_file_name_is_the_current_one() {
        let current = std::env::current_dir().unwrap();
        assert_eq!(folder_of(Path::new("beadle.toml")), current);
        assert_eq!(folder_of(Path::new("etc/beadle.toml")), current.join("etc"));
        assert_eq!(folder_of(Path::new("/etc/beadle.toml")), Path::new("/etc"));
        assert_eq!(folder_of(&current), current);
    }

    fn environment() -> Environment {
        Environment { variable: Box::new(|_| Some("secret".into())), without_systemd: false, unsettled: Duration::ZERO }
    }

    #[tokio::test]
    async fn files_are_read_only_when_one_of_them_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (main, conf_d) = (folder.path().join("beadle.toml"), folder.path().join("conf.d"));
        let (secret, holidays) = (folder.path().join("token"), folder.path().join("holidays.ics"));
        let calendar =
            |date: u32| format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:a\nDTSTART:{date}\nEND:VEVENT\nEND:VCALENDAR\n");
        fs::write(&secret, "one").and_then(|()| fs::write(&holidays, calendar(20_270_427))).unwrap();
        let toml = "[apps.main]\nkind = \"whatsapp-cloud\"\naccess_token = { file = \"token\" }\n\
            app_secret = { env = \"A\" }\nverify_token = { env = \"B\" }\n\
            [[schedule]]\nname = \"daily\"\ncron = \"0 9 * * *\"\nplugin = \"echo\"\nholidays = \"holidays.ics\"\n";
        fs::create_dir(&conf_d).and_then(|()| fs::write(&main, toml)).unwrap();
        let mut loaded = config::load(&main, &environment()).unwrap();
        let mut files = Files { environment, ..Files::from_loaded(&mut loaded) };
        for _ in 0..10 {
            assert!(files.read(Cause::Look).await.is_none());
        }
        assert_eq!(files.reads, 0);
        let changes: [(&Path, String); 4] = [
            (&main, format!("{toml}enabled = false\n")),
            (&conf_d.join("50-new.toml"), "[log]\nlevel = \"debug\"\n".into()),
            (&secret, "another".into()),
            (&holidays, calendar(20_280_427) + "\n"),
        ];
        for (number, (path, text)) in (1..).zip(changes) {
            fs::write(path, text).unwrap();
            assert!(matches!(files.read(Cause::Look).await, Some(Ok(_))), "{}", path.display());
            assert!(files.read(Cause::Look).await.is_none(), "{}", path.display());
            assert_eq!(files.reads, number);
        }
        // An operator who asks gets a result.
        assert!(matches!(files.read(Cause::Asked).await, Some(Ok(_))));
        // An invalid file is not read again until something changes.
        fs::write(&main, "nonsense").unwrap();
        assert!(matches!(files.read(Cause::Asked).await, Some(Err(_))));
        assert!(files.read(Cause::Look).await.is_none());
        assert_eq!(files.reads, 6);
    }
}
