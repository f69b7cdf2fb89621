//! The transaction by which a plugin's revision takes over: each step can say no, and then nothing has changed.
//!
//! settle → parse → exports and imports → compile → link → about → settings → capabilities → state → trial migration → dry run →
//! keep → swap, or migration and swap in one. The first of them is the keeper's (a file is not touched before it is whole), the
//! next five are the sandbox's; what comes from the state on is in `takeover`. What follows the swap, probation, is the
//! keeper's again. A step that refuses has a name and a code; how long each took is told.
//!
//! It runs beside the keeper's loop, a task for each plugin, and talks to nobody: it is given all it needs and gives back
//! what came of it.

mod takeover;

use crate::config::PluginConfig;
use crate::entry::{BlockedRevision, StepTime};
use crate::folder::Stamp;
use crate::grants;
use crate::marks::{Loading, Mark, Marks};
use crate::record::Record;
use crate::revisions::Revisions;
use crate::settings;
use beadle_clock::Clock;
use beadle_model::{Coded, PluginNo};
use beadle_pipeline::{ActiveRevision, PluginSlot, Suspension};
use beadle_sandbox::{LoadError, Plugin, Sandbox, Spec, revision};
use beadle_store::Store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use takeover::StateChange;
use tokio::sync::Notify;

/// After so many tries that went well a revision has passed its probation.
pub(crate) const ENOUGH: u32 = 100;

/// The code of a revision whose loading ended a start.
pub(crate) const STOPPED_START: &str = "plugin-load-crash";

/// What all transactions share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub sandbox: Sandbox,
    pub store: Store,
    pub clock: Clock,
    pub revisions: Revisions,
    /// What is being loaded.
    pub marks: Marks,
    /// Rung by slots and probations.
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
    pub slot: Option<Arc<PluginSlot>>,
    /// How long the file was waited for.
    pub settled: Option<StepTime>,
    /// Nothing else is loaded meanwhile.
    pub alone: bool,
    /// To go back may cost the state that was written since.
    pub discard_state: bool,
}

/// What came of it.
pub(crate) struct Outcome {
    /// What was decided.
    pub verdict: Verdict,
    /// The slot, where the plugin has one now.
    pub slot: Option<Arc<PluginSlot>>,
    /// What is to be remembered now.
    pub record: Record,
    /// The steps that were taken.
    pub steps: Vec<StepTime>,
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
        /// It is the very revision that serves: a capability was taken back.
        withdrawn: bool,
    },
    /// It does not take over. `passing`: it may by itself, after a while.
    Refused { why: BlockedRevision, passing: bool },
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
        let why = BlockedRevision { revision: this.revision.take(), step, code, reason: why };
        Verdict::Refused { why, passing }
    });
    Outcome { verdict, slot: this.job.slot, record: this.job.record, steps: this.steps }
}

struct Transaction {
    tools: Tools,
    job: Job,
    /// Of the bytes in hand.
    revision: Option<String>,
    /// From the first code that is loaded until the revision was tried out.
    mark: Option<Mark>,
    steps: Vec<StepTime>,
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
        let change = self.state_change(&plugin).await?;
        // One that served before, or the only one there is, has nothing to be compared with.
        if let Some(before) = before.as_ref().filter(|_| !is_kept) {
            self.try_out(&before.plugin, &plugin, &change).await?;
        }
        // From here on its code is no more dangerous than it is in service.
        self.mark = None;
        self.keep(hash.clone(), bytes).await?;
        match change {
            StateChange::None => self.swap(plugin, &hash, before.filter(|_| !is_kept)).await?,
            StateChange::Over(from) => self.migrate(plugin, &hash, &from).await?,
            StateChange::Back(to) => self.go_back(plugin, &hash, to).await?,
        }
        Ok(Verdict::Serves)
    }

    fn serving(&self) -> Option<ActiveRevision> {
        self.job.slot.as_ref().and_then(|slot| slot.active())
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
            self.job.slot = Some(Arc::new(PluginSlot::vacant(name, self.job.no, wants, suspension.clone(), bell)));
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
        let reads_it = matches!(self.state_change(&plugin).await, Ok(StateChange::None));
        if reads_it && self.missing(&plugin).is_empty() && settings_of(&plugin, &self.job).is_empty() {
            let suspended = self.job.record.suspended.clone().filter(|suspended| suspended.revision == served);
            self.take_seat(plugin, None, suspended);
        }
        self.steps.clear();
    }

    /// Whether what serves was loaded with what the configuration says now.
    fn loaded_alike(&self) -> bool {
        let load = self.job.config.load();
        let settings = load.settings.to_string();
        self.serving().is_some_and(|ActiveRevision { plugin, .. }| {
            *plugin.limits() == load.limits
                && plugin.channels() == load.channels.as_deref()
                && plugin.isolation() == load.isolation
                && plugin.settings() == settings
        })
    }

    fn missing(&self, plugin: &Plugin) -> Vec<String> {
        grants::missing(plugin.requested_capabilities().iter().map(AsRef::as_ref), &self.job.granted)
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
        Err(No::new("settings", "settings-invalid", why))
    }
}

/// Does what blocks on a thread where that may be.
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, No> + Send + 'static) -> Result<T, No> {
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
