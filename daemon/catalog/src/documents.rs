//! Documents: the store's copy of each plugin's folder of text files is kept in line with the folder.
//!
//! One loop looks, woken by the file system, by a changed configuration, by a plugin that came, or by itself now and then. A
//! file counts once its writer is through with it: it was closed or renamed in, or has not changed for a second; one that is
//! gone has to be gone for as long, since editors write by renaming. While something of a folder is still moving the rest
//! waits for it, for a while, so that what was saved together is told together. What is settled becomes one event for the
//! plugin, with the copy, in one transaction.
//!
//! Only the folders of plugins that serve are copied: one that is away is told later of all that changed. What cannot be
//! taken leaves the copy as it was and is told; so does a folder that is not there.
//!
//! It is not: a parser. What the files mean is the plugin's affair.

mod folder;

use crate::config::Config;
use crate::folder::Stamp;
use crate::watch::{Hint, Watch};
use crate::{RejectedDocuments, Shown};
use beadle_model::PluginNo;
use beadle_store::{NewDocument, Store, StoreError};
use beadle_tasks::Heartbeat;
use folder::{Listing, MOST_BYTES_IN_ALL};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch as channel;

/// A file that nobody said to be whole is, once it has not changed for so long; and a missing one is gone. Real time.
const SETTLED: Duration = Duration::from_secs(1);
/// So long what has settled waits for what has not. Real time.
const GATHER_AT_MOST: Duration = Duration::from_secs(5);
/// Between looks while something moves, and after a first hint: several files are saved at once. Real time.
const GATHER: Duration = Duration::from_millis(100);

/// Keeps the copies.
pub(crate) struct Documents {
    store: Store,
    configs: channel::Receiver<Config>,
    /// Who serves.
    shown: channel::Receiver<Shown>,
    /// What is not taken.
    told: channel::Sender<RejectedDocuments>,
    /// True once the folders of all that serve at the start were read.
    first: channel::Sender<bool>,
    watch: Option<Watch>,
    /// Those that are watched.
    folders: Vec<PathBuf>,
    hints: HashMap<PathBuf, Hint>,
    shelves: BTreeMap<String, Shelf>,
}

/// What is known of one plugin's folder.
#[derive(Default)]
struct Shelf {
    no: Option<PluginNo>,
    /// The copy: hash and size by name.
    copy: BTreeMap<String, (Vec<u8>, u64)>,
    /// How each file was seen last, and since when it is so.
    seen: BTreeMap<String, (Stamp, Instant)>,
    /// As it was when it was read, taken or not.
    read: BTreeMap<String, Stamp>,
    /// Since when those are missing that are in the copy.
    missing: BTreeMap<String, Instant>,
    /// What was read and not taken.
    refused: BTreeMap<String, String>,
    /// Since when something is moving.
    moving: Option<Instant>,
}

impl Documents {
    pub fn new(
        store: Store,
        configs: channel::Receiver<Config>,
        shown: channel::Receiver<Shown>,
        told: channel::Sender<RejectedDocuments>,
        first: channel::Sender<bool>,
    ) -> Self {
        let (watch, hints, shelves) = (Watch::new().ok(), HashMap::new(), BTreeMap::new());
        Self { store, configs, shown, told, first, watch, folders: Vec::new(), hints, shelves }
    }

    /// Until the catalogue is dropped.
    pub async fn run(&mut self, heartbeat: &Heartbeat) {
        loop {
            heartbeat.beat();
            let look_within = self.look().await;
            if !heartbeat.idle(self.wait(look_within)).await {
                return;
            }
        }
    }

    /// Waits for a reason to look, at most so long. `false`: the catalogue is gone.
    async fn wait(&mut self, look_within: Duration) -> bool {
        let hinted = async {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            hints = hinted => {
                self.hints.extend(hints);
                tokio::time::sleep(GATHER).await;
                true
            }
            changed = self.configs.changed() => changed.is_ok(),
            changed = self.shown.changed() => changed.is_ok(),
            () = tokio::time::sleep(look_within) => true,
        }
    }

    /// Looks at every folder; says when to look again.
    async fn look(&mut self) -> Duration {
        let config = self.configs.borrow_and_update().clone();
        let (started, serving): (bool, Vec<String>) = {
            let shown = self.shown.borrow_and_update();
            let serving = shown.entries.iter().filter(|entry| entry.state.serves()).map(|entry| entry.name.clone());
            (shown.started, serving.collect())
        };
        let mut look_within = Duration::from_millis(config.poll_interval_ms.try_into().unwrap_or(1));
        let (mut folders, mut told) = (Vec::new(), RejectedDocuments::new());
        for name in serving {
            let path = config.plugins.get(&name).and_then(|plugin| plugin.documents.clone());
            let mut shelf = self.shelves.remove(&name).unwrap_or_default();
            let looked = match (&path, self.known(&name, &mut shelf).await) {
                (_, Err(error)) => Err(error),
                (Some(root), Ok(())) => {
                    let listing = list(root).await;
                    match listing {
                        Ok(listing) => {
                            folders.extend(listing.folders.iter().cloned());
                            let moving = shelf.look(root, &listing, &self.hints, Instant::now());
                            let written = self.bring_in(&name, &mut shelf, root, &listing, moving).await;
                            let refused = listing.refused.into_iter().chain(shelf.refused.clone());
                            told.extend(refused.map(|(file, why)| ((name.clone(), file), why)));
                            written.map(|()| moving)
                        }
                        Err(error) => {
                            folders.push(root.clone());
                            let why = format!("the folder {} cannot be read: {error}", root.display());
                            told.insert((name.clone(), String::new()), why);
                            Ok(false)
                        }
                    }
                }
                // There is no folder any more.
                (None, Ok(())) => {
                    let gone: Vec<String> = shelf.copy.keys().cloned().collect();
                    self.write(&name, &mut shelf, Vec::new(), gone).await.map(|()| false)
                }
            };
            match looked {
                Ok(moving) if moving => look_within = look_within.min(GATHER),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(plugin = name, %error, "Documents could not be copied; again soon: {error}.");
                    look_within = look_within.min(SETTLED);
                }
            }
            self.shelves.insert(name, shelf);
        }
        self.hints.clear();
        if let Some(watch) = &mut self.watch {
            watch.set(&folders);
        }
        if self.folders != folders {
            // Between the look into a new one and its watch something may have come.
            self.folders = folders;
            look_within = look_within.min(GATHER);
        }
        self.tell(told);
        if started && self.shelves.values().all(|shelf| shelf.moving.is_none()) {
            self.first.send_replace(true);
        }
        look_within
    }

    /// Reads what the copy is, the first time.
    async fn known(&self, name: &str, shelf: &mut Shelf) -> Result<(), StoreError> {
        if shelf.no.is_some() {
            return Ok(());
        }
        let no = self.store.plugin_no(name).await?;
        let copy = self.store.reader().documents(no)?;
        shelf.copy = copy.into_iter().map(|it| (it.name, (it.hash, u64::from(it.size)))).collect();
        shelf.no = Some(no);
        Ok(())
    }

    /// Reads what has settled and writes what is other. `moving`: something has not settled.
    async fn bring_in(
        &self,
        name: &str,
        shelf: &mut Shelf,
        root: &Path,
        listing: &Listing,
        moving: bool,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let since = *shelf.moving.get_or_insert(now);
        if moving && now.duration_since(since) < GATHER_AT_MOST {
            return Ok(());
        }
        shelf.moving = None;
        let settled: Vec<String> =
            shelf.seen.iter().filter(|(file, it)| shelf.is_new(file, it, now)).map(|it| it.0.clone()).collect();
        let (mut changed, mut read) = (Vec::new(), Vec::new());
        for file in settled {
            match take(root, &file).await {
                Ok((body, hash, stamp)) => {
                    read.push((file.clone(), stamp, None));
                    if shelf.copy.get(&file).is_none_or(|(known, _)| *known != hash) {
                        changed.push(NewDocument { name: file, hash, body });
                    }
                }
                Err(why) => {
                    let Some(stamp) = listing.files.get(&file) else { continue };
                    read.push((file, *stamp, Some(why)));
                }
            }
        }
        let removed: Vec<String> =
            shelf.missing.iter().filter(|it| now.duration_since(*it.1) >= SETTLED).map(|it| it.0.clone()).collect();
        let mut total: u64 = shelf.copy.iter().filter(|it| !removed.contains(it.0)).map(|it| it.1.1).sum();
        changed.retain(|document| {
            let (size, was) = (document.body.len() as u64, shelf.copy.get(&document.name).map_or(0, |it| it.1));
            let fits = total - was + size <= MOST_BYTES_IN_ALL;
            if fits {
                total = total - was + size;
            } else if let Some(row) = read.iter_mut().find(|it| it.0 == document.name) {
                row.2 = Some(format!("a folder has {} MiB of text at most", MOST_BYTES_IN_ALL >> 20));
            }
            fits
        });
        self.write(name, shelf, changed, removed).await?;
        for (file, stamp, refused) in read {
            shelf.read.insert(file.clone(), stamp);
            match refused {
                Some(why) => _ = shelf.refused.insert(file, why),
                None => _ = shelf.refused.remove(&file),
            }
        }
        Ok(())
    }

    /// What is other becomes the copy, and an event.
    async fn write(
        &self,
        name: &str,
        shelf: &mut Shelf,
        changed: Vec<NewDocument>,
        removed: Vec<String>,
    ) -> Result<(), StoreError> {
        let (Some(no), false) = (shelf.no, changed.is_empty() && removed.is_empty()) else { return Ok(()) };
        let copies: Vec<_> =
            changed.iter().map(|it| (it.name.clone(), (it.hash.clone(), it.body.len() as u64))).collect();
        self.store.change_documents(no, changed, removed.clone()).await?;
        tracing::info!(plugin = name, changed = copies.len(), removed = removed.len(), "Documents changed.");
        for file in removed {
            shelf.copy.remove(&file);
            shelf.missing.remove(&file);
        }
        shelf.copy.extend(copies);
        Ok(())
    }

    /// Tells of what is not taken, once.
    fn tell(&self, told: RejectedDocuments) {
        self.told.send_if_modified(|before| {
            for ((plugin, file), why) in told.iter().filter(|(key, why)| before.get(*key) != Some(*why)) {
                tracing::warn!(plugin, file, code = "document-rejected", "A document is not taken: {why}.");
            }
            let other = *before != told;
            *before = told;
            other
        });
    }
}

impl Shelf {
    /// Notes what is seen; whether something has not settled.
    fn look(&mut self, root: &Path, listing: &Listing, hints: &HashMap<PathBuf, Hint>, now: Instant) -> bool {
        let long_ago = now.checked_sub(SETTLED).unwrap_or(now);
        for (file, stamp) in &listing.files {
            let whole = hints.get(&root.join(file)) == Some(&Hint::Whole);
            let since = match self.seen.get(file) {
                Some((same, since)) if same == stamp => *since,
                Some(_) => now,
                // What nobody has touched for so long is not being written, though it is seen for the first time.
                None => now.checked_sub(stamp.quiet_for().min(SETTLED)).unwrap_or(now),
            };
            self.seen.insert(file.clone(), (*stamp, if whole { long_ago } else { since }));
        }
        self.seen.retain(|file, _| listing.files.contains_key(file));
        self.read.retain(|file, _| listing.files.contains_key(file));
        self.refused.retain(|file, _| listing.files.contains_key(file));
        let missing: Vec<String> =
            self.copy.keys().filter(|file| !listing.files.contains_key(*file)).cloned().collect();
        self.missing.retain(|file, _| missing.contains(file));
        for file in missing {
            self.missing.entry(file).or_insert(now);
        }
        let unread = |(file, (stamp, since)): (&String, &(Stamp, Instant))| {
            self.read.get(file) != Some(stamp) && now.duration_since(*since) < SETTLED
        };
        self.seen.iter().any(unread) || self.missing.values().any(|since| now.duration_since(*since) < SETTLED)
    }

    /// Whether a file has settled as it was not read yet.
    fn is_new(&self, file: &str, (stamp, since): &(Stamp, Instant), now: Instant) -> bool {
        self.read.get(file) != Some(stamp) && now.duration_since(*since) >= SETTLED
    }
}

async fn list(root: &Path) -> std::io::Result<Listing> {
    let root = root.to_owned();
    let listed = tokio::task::spawn_blocking(move || folder::list(&root)).await;
    listed.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// A document's text, its hash, and how the file was.
async fn take(root: &Path, file: &str) -> Result<(String, Vec<u8>, Stamp), String> {
    let (root, file) = (root.to_owned(), file.to_owned());
    let taken = tokio::task::spawn_blocking(move || {
        let (body, stamp) = folder::read(&root, &file)?;
        let hash = Sha256::digest(body.as_bytes()).to_vec();
        Ok((body, hash, stamp))
    });
    taken.await.unwrap_or_else(|error| Err(error.to_string()))
}
