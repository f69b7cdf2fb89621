//! The transaction by which a plugin's revision takes over: each step can say no, and then nothing has changed.
//!
//! settle → parse → exports and imports → compile → link → about → settings → wishes → dry run → keep → swap. The first of
//! them is the keeper's (a file is not touched before it is whole), the next five are the sandbox's. What follows the swap,
//! probation, is the keeper's again. A step that refuses has a name and a code; how long each took is told.
//!
//! It runs beside the keeper's loop, a task for each plugin, and talks to nobody: it is given all it needs and gives back
//! what came of it.

use crate::config::PluginConfig;
use crate::dry_run;
use crate::entry::{Took, Waiting};
use crate::folder::Stamp;
use crate::grants;
use crate::marks::{Loading, Mark, Marks};
use crate::record::{Record, Suspended};
use crate::revisions::Revisions;
use crate::settings;
use beadle_clock::Clock;
use beadle_model::{Coded, PluginNo};
use beadle_pipeline::{Probation, Seat, Serving, Suspension};
use beadle_sandbox::{LoadError, Plugin, Sandbox, Spec, revision};
use beadle_store::Store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// After so many tries that went well a revision has passed its probation.
pub(crate) const ENOUGH: u32 = 100;

/// The code of a revision whose loading ended a start.
pub(crate) const STOPPED_START: &str = "plugin-stopped-start";

/// What all transactions share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub sandbox: Sandbox,
    pub store: Store,
    pub clock: Clock,
    pub revisions: Revisions,
    /// What is being loaded.
    pub marks: Marks,
    /// Rung by seats and probations.
    pub bell: Arc<Notify>,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file that was whole when it looked so.
    File(PathBuf, Stamp),
    /// A revision that served before. It was good once: no dry run, no probation.
    Kept(String),
}

/// What is to be done.
#[derive(Clone)]
pub(crate) struct Job {
    pub name: String,
    pub no: PluginNo,
    pub source: Source,
    pub config: PluginConfig,
    pub granted: BTreeSet<String>,
    /// As it is; the answer has what it becomes.
    pub record: Record,
    /// Where the plugin sits, if it serves.
    pub seat: Option<Arc<Seat>>,
    /// How long the file was waited for.
    pub settled: Option<Took>,
    /// Nothing else is loaded meanwhile.
    pub alone: bool,
}

/// What came of it.
pub(crate) struct Outcome {
    /// What was decided.
    pub verdict: Verdict,
    /// The seat, where the plugin has one now.
    pub seat: Option<Arc<Seat>>,
    /// What is to be remembered now.
    pub record: Record,
    /// The steps that were taken.
    pub steps: Vec<Took>,
}

/// What was decided.
pub(crate) enum Verdict {
    /// The file changed while it was read.
    Moved,
    /// It is what serves.
    Same,
    /// It serves now.
    Serves,
    /// It is not loaded, since loading it ended a start; nobody serves.
    Isolated(Suspension),
    /// It asks for more than it was granted.
    Pending {
        plugin: Arc<Plugin>,
        missing: Vec<String>,
        /// It is the very revision that serves: a right was taken back.
        withdrawn: bool,
    },
    /// It does not take over. `passing`: it may by itself, after a while.
    Refused { why: Waiting, passing: bool },
}

/// A step that said no.
pub(crate) struct No {
    step: &'static str,
    code: &'static str,
    why: String,
    passing: bool,
}

impl No {
    pub fn new(step: &'static str, code: &'static str, why: impl Into<String>) -> Self {
        Self { step, code, why: why.into(), passing: false }
    }

    /// It is not the plugin's fault, and may be better soon.
    pub fn passing(step: &'static str, code: &'static str, why: impl Into<String>) -> Self {
        Self { passing: true, ..Self::new(step, code, why) }
    }
}

impl From<LoadError> for No {
    fn from(error: LoadError) -> Self {
        Self::new(error.step(), error.code(), error.to_string())
    }
}

/// Does the job.
pub(crate) async fn run(tools: Tools, job: Job) -> Outcome {
    let mut this = Transaction { steps: job.settled.into_iter().collect(), revision: None, mark: None, tools, job };
    let verdict = this.run().await.unwrap_or_else(|no| {
        let No { step, code, why, passing } = no;
        let why = Waiting { revision: this.revision.take(), step, code, why };
        Verdict::Refused { why, passing }
    });
    Outcome { verdict, seat: this.job.seat, record: this.job.record, steps: this.steps }
}

struct Transaction {
    tools: Tools,
    job: Job,
    /// Of the bytes in hand.
    revision: Option<String>,
    /// From the first code that is loaded to the end of all.
    mark: Option<Mark>,
    steps: Vec<Took>,
}

impl Transaction {
    async fn run(&mut self) -> Result<Verdict, No> {
        let Some(bytes) = self.read().await? else { return Ok(Verdict::Moved) };
        let hash = revision(&bytes);
        self.revision = Some(hash.clone());
        if self.serving().is_none() {
            self.seat_what_served(&hash).await;
        }
        let before = self.serving();
        if self.job.record.is_isolated(&hash) {
            return self.isolate(before.is_some());
        }
        let is_kept = matches!(self.job.source, Source::Kept(_));
        let same_code = before.as_ref().is_some_and(|before| before.plugin.revision() == hash);
        if let Some(before) = before.as_ref().filter(|_| same_code && self.loaded_alike()) {
            return Ok(match self.missing(&before.plugin) {
                missing if missing.is_empty() => Verdict::Same,
                missing => Verdict::Pending { plugin: Arc::clone(&before.plugin), missing, withdrawn: true },
            });
        }
        let plugin = self.load(&hash, bytes.clone()).await?;
        self.check_settings(&plugin)?;
        let missing = self.missing(&plugin);
        if !missing.is_empty() {
            return Ok(Verdict::Pending { plugin, missing, withdrawn: same_code });
        }
        // One that served before, or the only one there is, has nothing to be compared with.
        let known = is_kept || self.job.record.serving() == Some(&*hash) && before.is_none();
        if let Some(before) = before.as_ref().filter(|_| !known) {
            self.dry_run(&before.plugin, &plugin).await?;
        }
        self.keep(hash.clone(), bytes).await?;
        self.swap(plugin, &hash, before.filter(|_| !is_kept)).await?;
        Ok(Verdict::Serves)
    }

    fn serving(&self) -> Option<Serving> {
        self.job.seat.as_ref().and_then(|seat| seat.serving())
    }

    /// What ended a start is not loaded again: what serves goes on, and where nothing does what comes is kept for it.
    fn isolate(&mut self, serves: bool) -> Result<Verdict, No> {
        let name = &self.job.name;
        let why = format!(
            "the daemon died while it loaded this file, and again when it loaded nothing else; it is not loaded any more, until it has other bytes or somebody says `beadle plugins enable {name}`"
        );
        let at = self.job.record.isolated.as_ref().map_or(self.tools.clock.now(), |isolated| isolated.at);
        let suspension = Suspension { code: STOPPED_START.into(), why: why.clone(), at };
        if serves {
            return Err(No::new("load", STOPPED_START, why));
        }
        let wants = self.job.record.wants();
        if !wants.is_empty() {
            let bell = Arc::clone(&self.tools.bell);
            self.job.seat = Some(Arc::new(Seat::vacant(name, self.job.no, wants, suspension.clone(), bell)));
        }
        Ok(Verdict::Isolated(suspension))
    }

    /// The bytes, if they are still those that were seen.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, No> {
        let began = Instant::now();
        let (revisions, record) = (self.tools.revisions.clone(), self.job.record.clone());
        let bytes = match self.job.source.clone() {
            Source::Kept(hash) => Some(beside(move || read_kept(&revisions, &hash)).await?),
            Source::File(path, stamp) => beside(move || read_file(&path, stamp, &record, &revisions)).await?,
        };
        self.steps.push(("read", began.elapsed()));
        Ok(bytes)
    }

    /// After a start: what served when we ended serves until what lies in the folder is known to be good.
    async fn seat_what_served(&mut self, found: &str) {
        let record = &self.job.record;
        let is_wanted = |served: &&str| *served != found && record.gone_since.is_none() && !record.is_isolated(served);
        let Some(served) = record.serving().filter(is_wanted).map(str::to_owned) else { return };
        let (revisions, hash) = (self.tools.revisions.clone(), served.clone());
        let Ok(bytes) = beside(move || read_kept(&revisions, &hash)).await else { return };
        let Ok(plugin) = self.load(&served, bytes).await else { return };
        if self.missing(&plugin).is_empty() && settings_of(&plugin, &self.job).is_empty() {
            let suspended = self.job.record.suspended.clone().filter(|suspended| suspended.revision == served);
            self.take_seat(plugin, None, suspended);
        }
        self.steps.clear();
    }

    /// Every try that begins is this one's from now on, unless it is suspended still.
    fn take_seat(&mut self, plugin: Arc<Plugin>, probation: Option<Arc<Probation>>, suspended: Option<Suspended>) {
        let bell = &self.tools.bell;
        let seat = self.job.seat.get_or_insert_with(|| Arc::new(Seat::new(Arc::clone(&plugin), Arc::clone(bell))));
        seat.seat(Serving { plugin, probation });
        if let Some(suspended) = suspended {
            seat.suspend(suspended.suspension);
        }
    }

    /// Whether what serves was loaded with what the configuration says now.
    fn loaded_alike(&self) -> bool {
        let load = self.job.config.load();
        let settings = load.settings.to_string();
        self.serving().is_some_and(|Serving { plugin, .. }| {
            *plugin.limits() == load.limits
                && plugin.channels() == load.channels.as_deref()
                && plugin.isolation() == load.isolation
                && plugin.settings() == settings
        })
    }

    fn missing(&self, plugin: &Plugin) -> Vec<String> {
        grants::missing(plugin.wishes().iter().map(AsRef::as_ref), &self.job.granted)
    }

    async fn load(&mut self, revision: &str, bytes: Vec<u8>) -> Result<Arc<Plugin>, No> {
        let loading = Loading { revision: revision.to_owned(), alone: self.job.alone };
        // The one before goes first: it is the same file.
        self.mark = None;
        self.mark = Some(self.tools.marks.set(&self.job.name, &loading));
        let load = self.job.config.load();
        let state = self.tools.store.reader().state_of(self.job.no);
        let spec = Spec {
            name: self.job.name.clone(),
            no: self.job.no,
            state: state.map_err(|error| No::passing("state", error.code(), error.to_string()))?,
            bytes,
            settings: load.settings,
            limits: load.limits,
            channels: load.channels,
            isolation: load.isolation,
        };
        let plugin = self.tools.sandbox.load(spec).await?;
        self.steps.extend_from_slice(plugin.steps());
        Ok(plugin)
    }

    fn check_settings(&mut self, plugin: &Plugin) -> Result<(), No> {
        let began = Instant::now();
        let mistakes = settings_of(plugin, &self.job);
        self.steps.push(("settings", began.elapsed()));
        if mistakes.is_empty() {
            return Ok(());
        }
        let why = format!(
            "[plugins.{name}] settings are not what `{name}` understands: {}; `beadle plugins show {name}` tells what it does",
            mistakes.join("; "),
            name = self.job.name,
        );
        Err(No::new("settings", "settings-refused", why))
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

    async fn keep(&mut self, hash: String, bytes: Vec<u8>) -> Result<(), No> {
        let began = Instant::now();
        let revisions = self.tools.revisions.clone();
        let kept = beside(move || {
            let failed = |error| format!("the revision could not be kept in the data folder: {error}");
            revisions.keep(&hash, &bytes).map_err(|error| No::passing("keep", "revision-not-kept", failed(error)))
        });
        let kept = kept.await;
        self.steps.push(("keep", began.elapsed()));
        kept
    }

    /// From here on the new revision has every try that begins.
    async fn swap(&mut self, plugin: Arc<Plugin>, hash: &str, before: Option<Serving>) -> Result<(), No> {
        let began = Instant::now();
        let mut record = self.job.record.clone();
        match self.job.source {
            Source::Kept(_) => record.goes_back(),
            // What was gone back to, loaded with other settings, stays what was gone back to.
            Source::File(..) if record.serving() == Some(hash) => record.gone_since = None,
            Source::File(..) => record.serves(hash),
        }
        // The same one, after a start, is what it was.
        let is_seated = self.serving().is_some();
        let suspended = record.suspended.take().filter(|suspended| suspended.revision == hash && !is_seated);
        record.suspended.clone_from(&suspended);
        record.events = plugin.subscriptions().iter().filter_map(|kind| kind.interface()).map(str::to_owned).collect();
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
}

/// Does what blocks on a thread where that may be.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, No> + Send + 'static) -> Result<T, No> {
    let ended = tokio::task::spawn_blocking(work).await;
    // It reads and writes files; that it panics is a bug, and no reason to think the plugin bad.
    ended.unwrap_or_else(|error| Err(No::passing("read", "plugin-unreadable", error.to_string())))
}

/// A file that is still what was seen; where it was sent back, what was gone back to in its place: that stays until the
/// file has other bytes.
fn read_file(path: &Path, stamp: Stamp, record: &Record, revisions: &Revisions) -> Result<Option<Vec<u8>>, No> {
    let is_that = || Stamp::of(path).ok() == Some(stamp);
    if !is_that() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| {
        let why = format!("{} cannot be read: {error}; see that the daemon's user may", path.display());
        No::passing("read", "plugin-unreadable", why)
    })?;
    if !is_that() {
        return Ok(None);
    }
    let sent_back = record.sent_back.as_deref() == Some(&*revision(&bytes));
    match record.serving().filter(|_| sent_back) {
        Some(hash) => read_kept(revisions, hash).map(Some),
        None => Ok(Some(bytes)),
    }
}

fn read_kept(revisions: &Revisions, hash: &str) -> Result<Vec<u8>, No> {
    let why = |error| format!("the kept revision {hash} cannot be read: {error}");
    revisions.read(hash).map_err(|error| No::new("read", "plugin-unreadable", why(error)))
}

fn settings_of(plugin: &Plugin, job: &Job) -> Vec<String> {
    settings::mistakes(plugin.about(), &job.config.load().settings)
}
