//! Keeps the store's copy of each plugin's documents in line with the plugin's folder of text
//! files.
//!
//! A file is read once its writer is done with it: after it was closed or renamed into place, or
//! was unchanged for a second. A missing file must be missing for as long, since editors write by
//! renaming. While a file of a folder is not settled, its other changes wait for a while, so that
//! files saved together arrive together. A settled change and the event for the plugin are one
//! transaction.
//!
//! Only folders of plugins that get events are copied; others catch up later. What is not accepted,
//! or not readable, leaves the copy as it was and is reported. The content is not parsed; that is
//! the plugin's business.

mod folder;

use crate::config::Config;
use crate::folder::Stamp;
use crate::published::{Published, RejectedDocuments};
use crate::watch::{Hint, Watch};
use beadle_model::PluginNo;
use beadle_store::{NewDocument, Store, StoreError};
use beadle_tasks::Heartbeat;
use folder::{Listing, MAX_TOTAL_BYTES};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch as channel;

/// A file without a hint is complete after it was unchanged for this long, and a missing one is
/// gone. Real time.
const SETTLE: Duration = Duration::from_secs(1);
/// How long settled files wait for others that are not. Real time.
const MAX_GATHER: Duration = Duration::from_secs(5);
/// Time between checks while a file is not settled, and after a first change. Real time.
const GATHER: Duration = Duration::from_millis(100);

/// The loop and its state.
pub(crate) struct Documents {
    store: Store,
    watch: Watch,
    configs: channel::Receiver<Config>,
    /// Which plugins get events.
    published: channel::Receiver<Published>,
    report: channel::Sender<RejectedDocuments>,
    /// True once the folders of all plugins that are active at the start were read.
    report_read: channel::Sender<bool>,
    /// The folders that are watched.
    watched: Vec<PathBuf>,
    hints: HashMap<PathBuf, Hint>,
    copies: BTreeMap<String, FolderCopy>,
}

/// What is known of one plugin's folder and its copy.
#[derive(Default)]
struct FolderCopy {
    no: Option<PluginNo>,
    /// The store's copy: hash and size by name.
    stored: BTreeMap<String, (Vec<u8>, u64)>,
    /// Each file's stamp, and since when it is unchanged.
    observed: BTreeMap<String, (Stamp, Instant)>,
    /// Each file's stamp when it was last read, accepted or not.
    read: BTreeMap<String, Stamp>,
    /// Since when stored files are missing.
    missing: BTreeMap<String, Instant>,
    /// Files that were read and rejected, with the reason.
    rejected: BTreeMap<String, String>,
    /// Since when some file is not settled.
    unsettled_since: Option<Instant>,
}

/// Whether every file of a folder is settled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    Yes,
    No,
}

/// A file that was read: its stamp, and the reason if it was rejected.
struct ReadFile {
    name: String,
    stamp: Stamp,
    rejected: Option<String>,
}

impl Documents {
    pub fn new(
        store: Store,
        watch: Watch,
        configs: channel::Receiver<Config>,
        published: channel::Receiver<Published>,
        report: channel::Sender<RejectedDocuments>,
        report_read: channel::Sender<bool>,
    ) -> Self {
        Self {
            store,
            watch,
            configs,
            published,
            report,
            report_read,
            watched: Vec::new(),
            hints: HashMap::new(),
            copies: BTreeMap::new(),
        }
    }

    /// Runs until the catalog is dropped.
    pub async fn run(&mut self, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            let check_after = self.update().await;
            if !heartbeat.idle(self.wait(check_after)).await {
                return;
            }
        }
    }

    /// Waits for a reason to update, at most this long. Returns false when the catalog was dropped.
    async fn wait(&mut self, check_after: Duration) -> bool {
        tokio::select! {
            hints = self.watch.changed() => {
                self.hints.extend(hints);
                tokio::time::sleep(GATHER).await;
                true
            }
            changed = self.configs.changed() => changed.is_ok(),
            changed = self.published.changed() => changed.is_ok(),
            () = tokio::time::sleep(check_after) => true,
        }
    }

    /// Updates the copies of all folders. Returns when to check again.
    async fn update(&mut self) -> Duration {
        let config = self.configs.borrow_and_update().clone();
        let (started, active): (bool, Vec<String>) = {
            let published = self.published.borrow_and_update();
            let active = published.entries.iter().filter(|entry| entry.is_in_service()).map(|entry| entry.name.clone());
            (published.started, active.collect())
        };
        let mut check_after = Duration::from_millis(config.poll_interval_ms.try_into().unwrap_or(1));
        let (mut folders, mut rejected) = (Vec::new(), RejectedDocuments::new());
        for name in active {
            let root = config.plugins.get(&name).and_then(|plugin| plugin.documents.clone());
            let mut copy = self.copies.remove(&name).unwrap_or_default();
            match self.update_copy(&name, &mut copy, root.as_deref(), &mut folders, &mut rejected).await {
                Ok(Settled::No) => check_after = check_after.min(GATHER),
                Ok(Settled::Yes) => {}
                Err(error) => {
                    tracing::warn!(plugin = name, %error, "documents not copied, will retry");
                    check_after = check_after.min(SETTLE);
                }
            }
            self.copies.insert(name, copy);
        }
        self.hints.clear();
        self.watch.set(&folders);
        if self.watched != folders {
            // A file may have appeared in a new folder before it was watched.
            self.watched = folders;
            check_after = check_after.min(GATHER);
        }
        self.report(rejected);
        if started && self.copies.values().all(|copy| copy.unsettled_since.is_none()) {
            self.report_read.send_replace(true);
        }
        check_after
    }

    /// Updates one plugin's copy; collects the folders to watch and the rejected files.
    async fn update_copy(
        &self,
        name: &str,
        copy: &mut FolderCopy,
        root: Option<&Path>,
        folders: &mut Vec<PathBuf>,
        rejected: &mut RejectedDocuments,
    ) -> Result<Settled, StoreError> {
        self.read_stored(name, copy).await?;
        let Some(root) = root else {
            // The folder is no longer configured.
            let removed = copy.stored.keys().cloned().collect();
            copy.unsettled_since = None;
            self.write(name, copy, Vec::new(), removed).await?;
            return Ok(Settled::Yes);
        };
        let listing = match list(root).await {
            Ok(listing) => listing,
            Err(error) => {
                folders.push(root.to_owned());
                let reason = format!("the folder {} could not be read: {error}", root.display());
                rejected.insert((name.to_owned(), String::new()), reason);
                return Ok(Settled::Yes);
            }
        };
        folders.extend(listing.folders.iter().cloned());
        let now = Instant::now();
        let settled = copy.observe(root, &listing, &self.hints, now);
        let since = copy.unsettled_since.get_or_insert(now);
        let mut written = Ok(());
        if settled == Settled::Yes || now.duration_since(*since) >= MAX_GATHER {
            copy.unsettled_since = None;
            written = self.apply(name, copy, root, &listing).await;
        }
        let all = listing.rejected.into_iter().chain(copy.rejected.clone());
        rejected.extend(all.map(|(file, reason)| ((name.to_owned(), file), reason)));
        written.map(|()| settled)
    }

    /// Reads what the store has, the first time.
    async fn read_stored(&self, name: &str, copy: &mut FolderCopy) -> Result<(), StoreError> {
        if copy.no.is_some() {
            return Ok(());
        }
        let no = self.store.plugin_no(name).await?;
        let stored = self.store.reader().documents(no)?;
        copy.stored =
            stored.into_iter().map(|document| (document.name, (document.hash, u64::from(document.size)))).collect();
        copy.no = Some(no);
        Ok(())
    }

    /// Reads the settled files and writes what changed.
    async fn apply(&self, name: &str, copy: &mut FolderCopy, root: &Path, listing: &Listing) -> Result<(), StoreError> {
        let now = Instant::now();
        let is_settled = |(file, seen): &(&String, &(Stamp, Instant))| copy.is_settled(file, seen, now);
        let settled: Vec<String> = copy.observed.iter().filter(is_settled).map(|(file, _)| file.clone()).collect();
        let (mut changed, mut read) = (Vec::new(), Vec::new());
        for file in settled {
            match read_document(root, &file).await {
                Ok((body, hash, stamp)) => {
                    if copy.stored.get(&file).is_none_or(|(known, _)| *known != hash) {
                        changed.push(NewDocument { name: file.clone(), hash, body });
                    }
                    read.push(ReadFile { name: file, stamp, rejected: None });
                }
                Err(reason) => {
                    let Some(stamp) = listing.files.get(&file) else { continue };
                    read.push(ReadFile { name: file, stamp: *stamp, rejected: Some(reason) });
                }
            }
        }
        let is_gone = |(_, since): &(&String, &Instant)| now.duration_since(**since) >= SETTLE;
        let removed: Vec<String> = copy.missing.iter().filter(is_gone).map(|(file, _)| file.clone()).collect();
        reject_excess(copy, &mut changed, &removed, &mut read);
        self.write(name, copy, changed, removed).await?;
        for ReadFile { name, stamp, rejected } in read {
            copy.read.insert(name.clone(), stamp);
            match rejected {
                Some(reason) => _ = copy.rejected.insert(name, reason),
                None => _ = copy.rejected.remove(&name),
            }
        }
        Ok(())
    }

    /// Writes changes to the copy, which also emits the event.
    async fn write(
        &self,
        name: &str,
        copy: &mut FolderCopy,
        changed: Vec<NewDocument>,
        removed: Vec<String>,
    ) -> Result<(), StoreError> {
        let (Some(no), false) = (copy.no, changed.is_empty() && removed.is_empty()) else { return Ok(()) };
        let stored: Vec<_> = changed
            .iter()
            .map(|document| (document.name.clone(), (document.hash.clone(), document.body.len() as u64)))
            .collect();
        self.store.change_documents(no, changed, removed.clone()).await?;
        tracing::info!(plugin = name, changed = stored.len(), removed = removed.len(), "documents changed");
        for file in removed {
            copy.stored.remove(&file);
            copy.missing.remove(&file);
        }
        copy.stored.extend(stored);
        Ok(())
    }

    /// Publishes the rejected files and logs new ones.
    fn report(&self, rejected: RejectedDocuments) {
        self.report.send_if_modified(|before| {
            for ((plugin, file), reason) in rejected.iter().filter(|(key, reason)| before.get(*key) != Some(*reason)) {
                tracing::warn!(plugin, file, code = "document-rejected", reason, "document rejected");
            }
            let differs = *before != rejected;
            *before = rejected;
            differs
        });
    }
}

impl FolderCopy {
    /// Notes the files as listed.
    fn observe(&mut self, root: &Path, listing: &Listing, hints: &HashMap<PathBuf, Hint>, now: Instant) -> Settled {
        let settled = now.checked_sub(SETTLE).unwrap_or(now);
        for (file, stamp) in &listing.files {
            let is_whole = hints.get(&root.join(file)) == Some(&Hint::Whole);
            let since = match self.observed.get(file) {
                Some((same, since)) if same == stamp => *since,
                Some(_) => now,
                // A file that last changed long ago is settled when it is first seen.
                None => now.checked_sub(stamp.quiet_for().min(SETTLE)).unwrap_or(now),
            };
            self.observed.insert(file.clone(), (*stamp, if is_whole { settled } else { since }));
        }
        self.observed.retain(|file, _| listing.files.contains_key(file));
        self.read.retain(|file, _| listing.files.contains_key(file));
        self.rejected.retain(|file, _| listing.files.contains_key(file));
        let missing: Vec<String> =
            self.stored.keys().filter(|file| !listing.files.contains_key(*file)).cloned().collect();
        self.missing.retain(|file, _| missing.contains(file));
        for file in missing {
            self.missing.entry(file).or_insert(now);
        }
        let is_unsettled = |(file, (stamp, since)): (&String, &(Stamp, Instant))| {
            self.read.get(file) != Some(stamp) && now.duration_since(*since) < SETTLE
        };
        let unsettled = self.observed.iter().any(is_unsettled)
            || self.missing.values().any(|since| now.duration_since(*since) < SETTLE);
        if unsettled { Settled::No } else { Settled::Yes }
    }

    /// Whether a file is settled and has not been read as it is now.
    fn is_settled(&self, file: &str, (stamp, since): &(Stamp, Instant), now: Instant) -> bool {
        self.read.get(file) != Some(stamp) && now.duration_since(*since) >= SETTLE
    }
}

/// Rejects changed files that would exceed the total size of a folder.
fn reject_excess(copy: &FolderCopy, changed: &mut Vec<NewDocument>, removed: &[String], read: &mut [ReadFile]) {
    let kept = copy.stored.iter().filter(|(file, _)| !removed.contains(file));
    let mut total: u64 = kept.map(|(_, (_, size))| size).sum();
    changed.retain(|document| {
        let size = document.body.len() as u64;
        let replaced = copy.stored.get(&document.name).map_or(0, |(_, size)| *size);
        let fits = total - replaced + size <= MAX_TOTAL_BYTES;
        if fits {
            total = total - replaced + size;
        } else if let Some(file) = read.iter_mut().find(|file| file.name == document.name) {
            file.rejected = Some(format!("the folder exceeds {} MiB of text", MAX_TOTAL_BYTES >> 20));
        }
        fits
    });
}

async fn list(root: &Path) -> std::io::Result<Listing> {
    let root = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || folder::list(&root)).await;
    listed.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Reads a document: its text, hash and stamp, or the reason why it is rejected.
async fn read_document(root: &Path, file: &str) -> Result<(String, Vec<u8>, Stamp), String> {
    let (root, file) = (root.to_owned(), file.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let (body, stamp) = folder::read(&root, &file)?;
        let hash = Sha256::digest(body.as_bytes()).to_vec();
        Ok((body, hash, stamp))
    });
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}
