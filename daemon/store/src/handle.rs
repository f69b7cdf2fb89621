//! The handle: what the rest of Beadle calls. Cheap to clone; the store closes when the last clone is gone.

use crate::append::Incoming;
use crate::commit::Ready;
use crate::documents::NewDocument;
use crate::error::StoreError;
use crate::feed::Feed;
use crate::files::Files;
use crate::plugins::Purged;
use crate::profile::ContactEdit;
use crate::queue::{Ask, Job};
use crate::read::Reader;
use crate::retain::{Cursor, Retained, Retention};
use crate::schedules::{ScheduleEntry, ScheduleRow, Share, Tally};
use crate::settle::{self, Settle, Settled};
use crate::shared::{Health, Shared};
use crate::shown::MergeReport;
use crate::step::{
    Appended, Batch, Commit, FailedTry, Fence, Progress, SetAside, Settlement, WindowNews, WindowsLooked,
};
use crate::writer::Tx;
use crate::{DeadRef, Retried};
use beadle_model::{Contact, ContactId, ConversationId, EventId, Leads, MessageId, PluginNo, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The store. All its steps are durable when they return, or did not happen.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    reader: Reader,
    feed: Mutex<Option<Feed>>,
    threads: Mutex<Option<Threads>>,
    retention: Mutex<Cursor>,
}

pub(crate) struct Threads {
    pub(crate) writer: JoinHandle<()>,
    pub(crate) checkpointer: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Store {
    pub(crate) fn new(shared: Arc<Shared>, reader: Reader, feed: Feed, threads: Threads) -> Self {
        Self(Arc::new(Inner {
            shared,
            reader,
            feed: Mutex::new(Some(feed)),
            threads: Mutex::new(Some(threads)),
            retention: Mutex::default(),
        }))
    }

    /// Does what still waits, writes it all out, and gives the data directory back. Steps asked for afterwards fail with
    /// [`StoreError::Closed`]. Blocks until the writer is done: call it where that may be.
    pub fn close(self) {
        self.0.shared.queue.close();
        let threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Threads { writer, checkpointer }) = threads {
            for thread in [writer, checkpointer] {
                if thread.join().is_err() {
                    tracing::error!("a thread of the store ended by a panic");
                }
            }
        }
    }

    /// Proof that this process has the lanes; one higher each time the store is opened.
    pub fn fence(&self) -> Fence {
        Fence(self.0.shared.fence)
    }

    /// The installation's name: 8 hexadecimal digits, made once.
    pub fn install(&self) -> &str {
        &self.0.shared.install
    }

    /// The key from which plugins' randomness is made. A secret.
    pub fn host_key(&self) -> [u8; 32] {
        self.0.shared.host_key
    }

    /// For reading what was committed.
    pub fn reader(&self) -> Reader {
        self.0.reader.clone()
    }

    /// Where the bytes of files are.
    pub fn files(&self) -> &Files {
        &self.0.shared.files
    }

    /// New events, and first those that were left unfinished. There is one feed: `None` the second time.
    pub fn feed(&self) -> Option<Feed> {
        self.0.feed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether new work is taken; not while the disk is full or fails.
    pub fn writable(&self) -> bool {
        self.0.shared.writable()
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        self.0.shared.health()
    }

    /// The number of a message to be; never given twice.
    pub fn reserve_message(&self) -> MessageId {
        MessageId(self.0.shared.reserve_message())
    }

    /// Appends what came in: events (those that came before are counted and left alone), then receipts.
    ///
    /// # Errors
    /// At once [`StoreError::Busy`] where the queue is full and [`StoreError::DiskFull`] where there is no room: the
    /// sender keeps it and comes again.
    pub async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        if !self.writable() {
            return Err(StoreError::DiskFull { path: self.0.shared.dir.clone() });
        }
        let incoming = Incoming::new(batch, self.0.shared.clock.now())?;
        let (job, answer) = ask(false, move |tx| tx.append(&incoming));
        self.0.shared.queue.try_put(job)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits a handling that went well.
    ///
    /// # Errors
    /// [`StoreError::StaleRead`]: handle it again. [`StoreError::Fenced`]: somebody else has the lanes.
    pub async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let ready = Ready::new(commit)?;
        self.ask(move |tx| tx.commit(&ready)).await
    }

    /// Notes that a handling failed and is tried again.
    pub async fn failed_try(&self, failed: FailedTry) -> Result<(), StoreError> {
        self.ask(move |tx| tx.failed_try(&failed)).await
    }

    /// Sets a handling aside: gives it up (a dead letter), keeps it for its plugin, or passes its plugin over. The event
    /// goes on without it.
    pub async fn set_aside(&self, aside: SetAside) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_aside(&aside)).await
    }

    /// Notes how far an event is where no handling does: nobody subscribes, or nobody is left to ask.
    pub async fn finish(&self, progress: Progress, fence: Fence) -> Result<(), StoreError> {
        self.ask(move |tx| tx.check_fence(fence).and_then(|()| tx.progress(&progress))).await
    }

    /// All events below this are finished, says the pipeline; the store looks, and moves its watermark as far as that is
    /// so. Says where it is now.
    pub async fn finished_below(&self, id: EventId) -> Result<EventId, StoreError> {
        self.ask(move |tx| tx.finished_below(id)).await
    }

    /// From `queued` to `sending`, for those that are given a slot. Says which of them still were queued.
    pub async fn claim_sends(&self, messages: Vec<MessageId>) -> Result<Vec<MessageId>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.claim(&messages, now)).await
    }

    /// Notes what became of sends. Also while the disk is full: then they are kept in memory and written first.
    pub async fn settle(
        &self,
        settlements: Vec<Settlement>,
        status_listeners: impl Into<Arc<[PluginNo]>>,
    ) -> Result<Settled, StoreError> {
        let listeners = status_listeners.into();
        let batch = settle::Batch { settlements, listeners, now: self.0.shared.clock.now() };
        let (to, answer) = oneshot::channel();
        self.0.shared.queue.put(Box::new(Settle { batch, settled: Settled::default(), to })).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// The conversation of a channel that is with nobody: in it new groups are asked for.
    pub async fn meet_channel(&self, channel: &str) -> Result<ConversationId, StoreError> {
        let channel = channel.to_owned();
        self.ask(move |tx| tx.meet_group(&channel, "")).await
    }

    /// Makes events of timers that are due, earliest first, `most` at most. Says how many it were, and when the next one
    /// is due.
    pub async fn fire_timers(&self, now: Timestamp, most: usize) -> Result<(usize, Option<Timestamp>), StoreError> {
        self.ask(move |tx| tx.fire(now, most)).await
    }

    /// Brings the schedules that are known into line with these. What is new, was edited or came back begins behind `from`.
    pub async fn configure_schedules(
        &self,
        entries: Vec<ScheduleEntry>,
        from: Timestamp,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.configure_schedules(&entries, from, now)).await
    }

    /// Decides moments that have come: events, rows and plans together. For each share what became of its moments;
    /// none where the plugin is away or has no share in it any more, and nothing was decided.
    pub async fn fire_schedules(&self, shares: Vec<Share>, now: Timestamp) -> Result<Vec<Option<Tally>>, StoreError> {
        self.ask(move |tx| tx.fire_schedules(&shares, now)).await
    }

    /// Fires at no planned time, because a person says so; the events that it became.
    pub async fn fire_by_hand(&self, shares: Vec<Share>) -> Result<Vec<EventId>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.fire_by_hand(&shares, now)).await
    }

    /// A number that is another one when somebody has joined, left or moved.
    pub fn memberships(&self) -> u64 {
        self.0.shared.memberships()
    }

    /// When the store was closed last, where that was in order and by whoever opened it before us.
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.0.shared.closed_at
    }

    /// Plugins are told so long before the end of a window, from now on. Arms the next `most` windows for it; `true`: there
    /// are more, call again. Where nothing changed there is nothing to do.
    pub async fn arm_windows(&self, leads: Leads, most: usize) -> Result<bool, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.arm_windows(&leads, now, most)).await
    }

    /// Looks at the windows that are due, the longest due first, `most` at most; what `news` asks for becomes events.
    pub async fn look_at_windows(
        &self,
        now: Timestamp,
        news: WindowNews,
        most: usize,
    ) -> Result<WindowsLooked, StoreError> {
        self.ask(move |tx| tx.look_at_windows(now, news, most)).await
    }

    /// Copies documents that changed, forgets those that are gone, and tells the plugin in an event: one transaction.
    pub async fn change_documents(
        &self,
        plugin: PluginNo,
        changed: Vec<NewDocument>,
        removed: Vec<String>,
    ) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.change_documents(plugin, &changed, &removed, now)).await
    }

    /// The number of a plugin; a new one for a name that is new.
    pub async fn plugin_no(&self, name: &str) -> Result<PluginNo, StoreError> {
        if let Some(no) = self.0.shared.names.plugins().get(name) {
            return Ok(*no);
        }
        let asked = name.to_owned();
        let no = self.ask(move |tx| tx.plugin_no(&asked)).await?;
        self.0.shared.names.plugins().insert(name.to_owned(), no);
        Ok(no)
    }

    /// The number of a list of subscribers; a new one for a list that is new.
    pub async fn roster(&self, plugins: Vec<PluginNo>) -> Result<i64, StoreError> {
        if let Some(id) = self.0.shared.names.rosters().get(&plugins) {
            return Ok(*id);
        }
        let asked = plugins.clone();
        let id = self.ask(move |tx| tx.roster(&asked)).await?;
        self.0.shared.names.rosters().insert(plugins, id);
        Ok(id)
    }

    /// A dead letter is to be tried again: a message is queued, due now; a handling is given back for the pipeline to run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such letter.
    pub async fn dead_retry(&self, letter: DeadRef, now: Timestamp) -> Result<Retried, StoreError> {
        self.ask(move |tx| tx.retry(letter, now)).await
    }

    /// A dead letter is not to be tried again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such letter.
    pub async fn dead_drop(&self, letter: DeadRef) -> Result<(), StoreError> {
        self.ask(move |tx| tx.drop_letter(letter)).await
    }

    /// Two contacts become one, on a person's word; `dry`: says what would move, and nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where one is unknown, [`StoreError::SameContact`] where they are one already.
    pub async fn merge_contacts(&self, keep: ContactId, gone: ContactId, dry: bool) -> Result<MergeReport, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.merge(keep, gone, dry, now)).await
    }

    /// Two contacts are two, on a person's word: they are not proposed for merging again.
    ///
    /// # Errors
    /// As [`Store::merge_contacts`].
    pub async fn keep_contacts_apart(&self, one: ContactId, other: ContactId) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.keep_apart(one, other, now)).await
    }

    /// What a person says of a contact; as they are then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where they are unknown.
    pub async fn edit_contact(&self, id: ContactId, edit: ContactEdit) -> Result<Contact, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.edit_contact(id, &edit, now)).await
    }

    /// Deletes one slice of what is older than it need be. Call it again, after a while, as long as there is more. Works
    /// on a full disk too, where it makes room in the database.
    pub async fn retain(&self, policy: Retention, now: Timestamp) -> Result<Retained, StoreError> {
        let cursor = *self.cursor();
        let (job, answer) = ask(true, move |tx| {
            let mut cursor = cursor;
            Ok((tx.retain(&policy, now, &mut cursor)?, cursor))
        });
        self.0.shared.queue.put(job).await?;
        let (retained, cursor) = answer.await.map_err(|_| StoreError::Closed)??;
        *self.cursor() = cursor;
        Ok(retained)
    }

    /// Writes down what is to be remembered of a plugin across starts; its form is the caller's.
    pub async fn set_plugin_record(&self, plugin: PluginNo, record: String) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_plugin_record(plugin, &record)).await
    }

    /// These plugins take part, all others do not: their timers wait.
    pub async fn set_present(&self, plugins: Vec<PluginNo>) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_present(&plugins)).await
    }

    /// Forgets a plugin's state, timers and record. Its number and name stay, since events and messages speak of them.
    pub async fn purge_plugin(&self, plugin: PluginNo) -> Result<Purged, StoreError> {
        self.ask(move |tx| tx.purge_plugin(plugin)).await
    }

    fn cursor(&self) -> std::sync::MutexGuard<'_, Cursor> {
        self.0.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn ask<F, T>(&self, run: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (job, answer) = ask(false, run);
        self.0.shared.queue.put(job).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// A step, and where its answer will be.
fn ask<F, T>(when_full: bool, run: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    let (to, answer) = oneshot::channel();
    (Box::new(Ask { run, when_full, answer: None, to }), answer)
}
