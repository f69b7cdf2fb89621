//! The loop that brings what runs into line with what is there: woken by the file system, by a changed configuration, by a
//! person, by a probation, or by itself now and then.
//!
//! Whatever woke it, it does the same: look at everything, decide for each plugin (`plan`), start what is to be done. What
//! takes long (reading, compiling, trying out) is done beside the loop, one transaction for a plugin at a time; its end is
//! again a reason to look.

use crate::command::Asked;
use crate::config::Config;
use crate::entry::PluginState;
use crate::folder::{self, Listing};
use crate::marks::Marks;
use crate::plan::{self, Do, Here, Judged, Known};
use crate::post::Post;
use crate::record::{self, Record};
use crate::revisions::Revisions;
use crate::transaction::{self, Job, Outcome, Source, Tools, Verdict};
use crate::watch::{Hint, Watch};
use crate::{Counts, Parts, Shown};
use beadle_pipeline::Pipeline;
use beadle_store::StoreError;
use beadle_tasks::Heartbeat;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch as channel};
use tokio::task::{JoinError, JoinSet};

mod conduct;
mod orders;
mod part;
mod start;
mod tell;

use orders::Order;
pub(crate) use start::STILL_LOADING;

/// After the first of many changes the others are waited for so long.
const GATHER: Duration = Duration::from_millis(3);
/// While the store does not write.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A transaction that has ended.
struct Done {
    name: String,
    outcome: Outcome,
    judged: Judged,
    to: Option<oneshot::Sender<crate::Answer>>,
}

/// Why the loop goes on.
enum Woken {
    Changed(Vec<(PathBuf, Hint)>),
    Done(Box<Result<Done, JoinError>>),
    Asked(Asked),
    Configured,
    Time,
    /// The catalogue is gone.
    End,
}

/// The loop and what it knows.
pub(crate) struct Keeper {
    tools: Tools,
    pipeline: Pipeline,
    configs: channel::Receiver<Config>,
    config: Config,
    asked: mpsc::Receiver<Asked>,
    show: channel::Sender<Shown>,
    counts: Arc<Counts>,
    watch: Option<Watch>,
    hints: HashMap<PathBuf, Hint>,
    posts: BTreeMap<String, Post>,
    listing: Listing,
    jobs: JoinSet<Done>,
    /// Since when a folder cannot be read.
    lost: BTreeMap<PathBuf, Instant>,
    present: Vec<beadle_model::PluginNo>,
    /// Who was being loaded when the process before this one died.
    suspects: BTreeSet<String>,
    began: Instant,
    started: bool,
    /// What earlier processes knew of plugins has been read.
    remembers: bool,
}

impl Keeper {
    pub fn new(
        parts: Parts,
        configs: channel::Receiver<Config>,
        asked: mpsc::Receiver<Asked>,
        show: channel::Sender<Shown>,
        counts: Arc<Counts>,
    ) -> Self {
        let Parts { sandbox, store, pipeline, clock, data_dir, tasks: _ } = parts;
        let revisions = Revisions::new(data_dir.join("revisions"));
        let marks = Marks::new(data_dir.join("loading"));
        let config = configs.borrow().clone();
        let watch = Watch::new().inspect_err(|error| {
            tracing::warn!(%error, "The plugin folders cannot be watched; they are looked at now and then.");
        });
        Self {
            tools: Tools { sandbox, store, clock, revisions, marks, bell: Arc::new(Notify::new()) },
            pipeline,
            config,
            configs,
            asked,
            show,
            counts,
            watch: watch.ok(),
            hints: HashMap::new(),
            posts: BTreeMap::new(),
            listing: Listing::default(),
            jobs: JoinSet::new(),
            lost: BTreeMap::new(),
            present: Vec::new(),
            suspects: BTreeSet::new(),
            began: Instant::now(),
            started: false,
            remembers: false,
        }
    }

    /// Until the catalogue is dropped.
    pub async fn run(&mut self, heartbeat: &Heartbeat) {
        if !self.remembers {
            self.remember().await;
            self.look_at_the_last_start().await;
            self.remembers = true;
        }
        loop {
            heartbeat.beat();
            let look_within = self.look().await;
            if !self.started && self.is_time_to_start(Instant::now()) {
                self.started = true;
                self.stand_in();
                self.take_part().await;
            }
            self.show();
            let woken = heartbeat.idle(self.wait(look_within)).await;
            if !self.wake(woken).await {
                return;
            }
        }
    }

    /// What is remembered from earlier.
    async fn remember(&mut self) {
        loop {
            let reader = self.tools.store.reader();
            let read = tokio::task::spawn_blocking(move || record::read_all(&reader)).await;
            match read {
                Ok(Ok(records)) => {
                    let is_something = |record: &Record| *record != Record::default();
                    for (name, (no, record)) in records.into_iter().filter(|(_, (_, it))| is_something(it)) {
                        let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
                        self.posts.insert(name, Post::new(no, record, config));
                    }
                    return;
                }
                Ok(Err(error)) => tracing::error!(%error, "What is known of plugins could not be read; again soon."),
                Err(_) => return,
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    /// Waits for a reason to look, at most so long.
    async fn wait(&mut self, look_within: Duration) -> Woken {
        let changed = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            hints = changed => Woken::Changed(hints),
            Some(done) = self.jobs.join_next() => Woken::Done(Box::new(done)),
            asked = self.asked.recv() => asked.map_or(Woken::End, Woken::Asked),
            changed = self.configs.changed() => if changed.is_ok() { Woken::Configured } else { Woken::End },
            () = self.tools.bell.notified() => Woken::Time,
            () = tokio::time::sleep(look_within) => Woken::Time,
        }
    }

    /// Does what it was woken for. `false`: nobody needs us any more.
    async fn wake(&mut self, woken: Woken) -> bool {
        match woken {
            Woken::Changed(hints) => {
                self.hints.extend(hints);
                tokio::time::sleep(GATHER).await;
            }
            Woken::Done(done) => match *done {
                Ok(done) => self.done(done).await,
                Err(error) => {
                    tracing::error!(%error, "A reload ended by a bug in Beadle; it is tried again when its file changes.");
                }
            },
            Woken::Asked(asked) => self.obey(asked).await,
            Woken::Configured => {
                self.config = self.configs.borrow_and_update().clone();
                self.take_configuration().await;
            }
            Woken::Time => self.look_at_slots().await,
            Woken::End => return false,
        }
        true
    }

    /// Looks at everything, starts what is to be done, and says when to look again.
    async fn look(&mut self) -> Duration {
        let dirs = self.config.dirs.clone();
        if let Some(watch) = &mut self.watch {
            watch.set(&dirs);
        }
        let named: Vec<String> = self.config.plugins.keys().cloned().collect();
        let listed =
            tokio::task::spawn_blocking(move || folder::list(&dirs, &named.iter().map(String::as_str).collect()));
        // Where that thread is gone we are on our way out.
        let Ok(listing) = listed.await else { return STORE_PAUSE };
        self.listing = listing;
        let now = Instant::now();
        self.note_folders(now);
        let mut look_within = Duration::from_millis(self.config.poll_interval_ms.try_into().unwrap_or(1));
        look_within = look_within.min(self.patience_left(now).unwrap_or(look_within));
        if let Err(error) = self.meet_new_ones().await {
            tracing::warn!(%error, "A new plugin could not be noted; again soon.");
            look_within = STORE_PAUSE;
        }
        let mut names: Vec<String> = self.posts.keys().cloned().collect();
        // Those who may be dangerous come last.
        names.sort_by_key(|name| self.suspects.contains(name));
        for name in names {
            // What was refused for a reason that may pass.
            if let Some(again_at) = self.posts.get(&name).and_then(|post| post.again_at) {
                look_within = look_within.min(again_at.saturating_duration_since(now).max(GATHER));
            }
            match self.decide(&name, now) {
                Do::Nothing => {}
                Do::LookWithin(within) => look_within = look_within.min(within.max(GATHER)),
                Do::Judge if self.may_judge(now) => self.judge(&name, now),
                // The end of one that runs is a reason to look.
                Do::Judge => {}
                Do::Unload => self.unload(&name).await,
            }
        }
        self.purge_old().await;
        look_within
    }

    async fn meet_new_ones(&mut self) -> Result<(), StoreError> {
        let new: Vec<String> =
            self.listing.plugins.keys().filter(|name| !self.posts.contains_key(*name)).cloned().collect();
        for name in new {
            let no = self.tools.store.plugin_no(&name).await?;
            let config = self.config.plugins.get(&name).cloned().unwrap_or_default();
            self.posts.insert(name, Post::new(no, Record::default(), config));
        }
        Ok(())
    }

    fn decide(&mut self, name: &str, now: Instant) -> Do {
        let Some(post) = self.posts.get_mut(name) else { return Do::Nothing };
        let found = self.listing.plugins.get(name);
        post.is_seen(found.map(|found| found.stamp), now);
        if let (Some(since), true) = (post.record.disabled_since, found.is_some() && !post.busy) {
            post.state = PluginState::Disabled { since };
            return Do::Nothing;
        }
        let folder_lost = post.path.as_deref().and_then(|path| self.lost.get(path.parent()?));
        if found.is_none() && post.slot.is_none() && !post.busy {
            if self.lost.is_empty() && post.state == PluginState::Removed {
                return Do::Nothing;
            }
            if !self.lost.is_empty() {
                post.state = PluginState::Broken { code: "plugin-folder-missing", error: tell::lost_text(&self.lost) };
                return Do::Nothing;
            }
        }
        let here = found.zip(post.seen).map(|(found, (stamp, since))| Here {
            stamp,
            unchanged_for: now.saturating_duration_since(since),
            // What lies there at the start is taken as it is.
            hint: if self.started { self.hints.get(&found.path).copied() } else { Some(Hint::Whole) },
        });
        let gone_for = match post.gone_since {
            Some(since) if self.started => now.saturating_duration_since(since),
            Some(_) => Duration::MAX,
            None => Duration::ZERO,
        };
        let grace_ms = u64::try_from(self.config.folder_grace_ms).unwrap_or(0);
        let left =
            |since: &Instant| Duration::from_millis(grace_ms).saturating_sub(now.saturating_duration_since(*since));
        let grace = folder_lost.filter(|_| post.slot.is_some()).map(left);
        let (load, granted) = (post.config.load(), post.granted());
        let (judged, busy) = (post.judged.as_ref(), post.busy);
        plan::decide(here.as_ref(), &Known { judged, busy, gone_for, grace, load: &load, granted: &granted })
    }

    /// Starts a transaction with what lies in the folder.
    fn judge(&mut self, name: &str, now: Instant) {
        let Some((post, found)) = self.posts.get_mut(name).zip(self.listing.plugins.get(name)) else { return };
        let waited = post.seen.map(|(_, since)| ("settle", now.saturating_duration_since(since)));
        self.hints.remove(&found.path);
        post.path = Some(found.path.clone());
        let source = Source::File(found.path.clone(), found.stamp);
        self.begin(name, source, waited, None);
    }

    fn begin(&mut self, name: &str, source: Source, settled: Option<crate::StepTime>, order: Option<Order>) {
        let Some(post) = self.posts.get_mut(name) else { return };
        (post.busy, post.judged_since) = (true, Some(Instant::now()));
        let stamp = match &source {
            Source::File(_, stamp) => *stamp,
            Source::Kept(_) => post.seen.map(|(stamp, _)| stamp).unwrap_or_default(),
        };
        let judged = Judged { stamp, load: post.config.load(), granted: post.granted() };
        let job = Job {
            name: name.to_owned(),
            no: post.no,
            source,
            config: post.config.clone(),
            granted: judged.granted.clone(),
            record: post.record.clone(),
            slot: post.slot.clone(),
            settled,
            alone: self.suspects.contains(name),
            discard_state: order.as_ref().is_some_and(|order| order.discard_state),
        };
        let to = order.map(|order| order.to);
        let (tools, name) = (self.tools.clone(), name.to_owned());
        self.jobs.spawn(async move { Done { name, outcome: transaction::run(tools, job).await, judged, to } });
    }

    async fn done(&mut self, Done { name, outcome, judged, to }: Done) {
        self.suspects.remove(&name);
        let Some(post) = self.posts.get_mut(&name) else { return };
        let is_rollback = to.is_some();
        let is_done = matches!(outcome.verdict, Verdict::Serves | Verdict::Same);
        match &outcome.verdict {
            Verdict::Serves if is_rollback => add(&self.counts.sent_back),
            Verdict::Serves => add(&self.counts.served),
            Verdict::Refused { .. } if !is_rollback => add(&self.counts.refused),
            _ => {}
        }
        if let Some(to) = to {
            // Whoever asked may be gone.
            let _ = to.send(orders::rolled_back(&name, &outcome));
        }
        if is_rollback && !is_done {
            // Who asked was told why; all is as it was.
            post.busy = false;
        } else {
            post.settle(&name, outcome, judged, Instant::now());
        }
        self.take_part().await;
        if self.jobs.is_empty() {
            let wanted = self.posts.values().flat_map(|post| &post.record.served).map(String::as_str).collect();
            self.tools.revisions.retain(&wanted);
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
