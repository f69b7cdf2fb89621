//! The handle by which the rest of Beadle calls the store. The store closes when the last clone is
//! dropped.

use crate::append::Incoming;
use crate::commit::PreparedCommit;
use crate::consents::RecordedConsent;
use crate::contact_edit::ContactEdit;
use crate::deferred::SettlementBatch;
use crate::documents::NewDocument;
use crate::error::StoreError;
use crate::feed::{Feed, Tail};
use crate::files::Files;
use crate::import::{ImportOutcome, ImportedContact};
use crate::lists::{ListChange, ListRow};
use crate::outreach_holds::OutreachHold;
use crate::plugins::PurgeReport;
use crate::queue::{Queue, ask};
use crate::read::Reader;
use crate::refresh_tokens::RotatedToken;
use crate::requests::ExportAnswer;
use crate::retain::{Cursor, Retention, RetentionReport};
use crate::schedules::{FiringCounts, ScheduleDecision, ScheduleEntry, ScheduleRow};
use crate::settle::{Settle, Settled};
use crate::shared::{Shared, StoreHealth};
use crate::step::{
    Appended, Batch, Commit, FailedAttempt, Fence, Interest, Progress, Settlement, Unhandled, WindowsChecked,
};
use crate::step::{DeadLetterRef, RetriedDeadLetter};
use crate::tx::Tx;
use crate::views::MergeReport;
use beadle_model::consent::rules::PlannedConsent;
use beadle_model::{
    Contact, ContactId, ConversationId, EventId, LeadTimes, MessageId, PluginNo, TemplateDefinition, Timestamp,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The store. Its steps are durable when they return, or did not happen. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    tail: Arc<Tail>,
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
        self.queue.close();
    }
}

impl Store {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (queue, tail): (Arc<Queue>, Arc<Tail>),
        reader: Reader,
        feed: Feed,
        threads: Threads,
    ) -> Self {
        Self(Arc::new(Inner {
            shared,
            queue,
            tail,
            reader,
            feed: Mutex::new(Some(feed)),
            threads: Mutex::new(Some(threads)),
            retention: Mutex::default(),
        }))
    }

    /// Completes waiting steps, writes everything, and releases the data directory. Later steps
    /// fail with [`StoreError::Closed`]. Blocks until the writer has ended.
    pub fn close(self) {
        self.0.queue.close();
        let threads = self.0.threads.lock().take();
        if let Some(Threads { writer, checkpointer }) = threads {
            for thread in [writer, checkpointer] {
                if thread.join().is_err() {
                    tracing::error!("database thread panicked");
                }
            }
        }
    }

    /// Proof that this process owns the lanes; one higher each time the store is opened.
    pub fn fence(&self) -> Fence {
        Fence(self.0.shared.fence)
    }

    /// The installation's name: 8 hexadecimal digits, created once.
    pub fn install(&self) -> &str {
        &self.0.shared.install
    }

    /// The key from which plugins' randomness is derived. A secret.
    pub fn host_key(&self) -> [u8; 32] {
        self.0.shared.host_key
    }

    /// Reads what was committed.
    pub fn reader(&self) -> Reader {
        self.0.reader.clone()
    }

    /// Reads on a thread that may block: a reader waits for a connection and for the disk.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Closed`] while the runtime shuts down.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader();
        tokio::task::spawn_blocking(move || read(&reader)).await.unwrap_or(Err(StoreError::Closed))
    }

    /// The files' bytes.
    pub fn files(&self) -> &Files {
        &self.0.shared.files
    }

    /// New events, after those that were unfinished. There is one feed: later calls return `None`.
    pub fn feed(&self) -> Option<Feed> {
        self.0.feed.lock().take()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Whether new work is accepted; not while storage fails.
    pub fn writable(&self) -> bool {
        self.0.shared.writable()
    }

    /// The state of the store.
    pub fn health(&self) -> StoreHealth {
        let (queue, feed_waiting) = (&self.0.queue, self.0.tail.waiting());
        self.0.shared.health((queue.depth(), queue.size()), feed_waiting)
    }

    /// Reserves a message number. No number is returned twice.
    pub fn reserve_message(&self) -> MessageId {
        MessageId(self.0.shared.reserve_message())
    }

    /// Appends events and then applies receipts. Known events are counted and change nothing.
    ///
    /// # Errors
    /// [`StoreError::Busy`] at once if the queue is full, [`StoreError::DiskFull`] if there is no
    /// space; the sender keeps the webhook and repeats it.
    pub async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        if !self.writable() {
            return Err(self.0.shared.refusal());
        }
        let incoming = Incoming::new(batch, self.0.shared.clock.now())?;
        let (job, answer) = ask(false, move |tx| tx.append(&incoming));
        self.0.queue.try_put(job)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits a successful handling.
    ///
    /// # Errors
    /// [`StoreError::StaleRead`]: handle the event again. [`StoreError::Fenced`]: another process
    /// owns the lanes.
    pub async fn commit(&self, commit: impl Into<Arc<Commit>>) -> Result<(), StoreError> {
        let ready = PreparedCommit::new(commit.into())?;
        self.ask(move |tx| tx.commit(&ready)).await
    }

    /// Records that a handling failed and will be retried.
    pub async fn record_failed_attempt(&self, failed: FailedAttempt) -> Result<(), StoreError> {
        self.ask(move |tx| tx.record_failed_attempt(&failed)).await
    }

    /// Records a handling that did not happen: a dead letter, waiting for its plugin, or passed
    /// over. The event continues without it.
    pub async fn record_unhandled(&self, unhandled: Unhandled) -> Result<(), StoreError> {
        self.ask(move |tx| tx.record_unhandled(&unhandled)).await
    }

    /// Records an event's progress where no handling does: it has no subscribers, or none is left.
    pub async fn finish(&self, progress: Progress, fence: Fence) -> Result<(), StoreError> {
        self.ask(move |tx| tx.check_fence(fence).and_then(|()| tx.progress(&progress))).await
    }

    /// Raises the watermark of finished events to `id`, as far as all events below it are finished.
    /// Returns the watermark.
    pub async fn finished_below(&self, id: EventId) -> Result<EventId, StoreError> {
        self.ask(move |tx| tx.finished_below(id)).await
    }

    /// Moves rows from `queued` to `sending`. Returns those that were still queued.
    pub async fn claim_sends(&self, messages: Vec<MessageId>) -> Result<Vec<MessageId>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.claim(&messages, now)).await
    }

    /// Records the outcomes of sends. While storage fails they are deferred in memory, and written
    /// first.
    pub async fn settle(&self, settlements: Vec<Settlement>, interest: Interest) -> Result<Settled, StoreError> {
        let batch = SettlementBatch { settlements, interest, now: self.0.shared.clock.now() };
        let (to, answer) = oneshot::channel();
        self.0.queue.put(Box::new(Settle { batch, settled: Settled::default(), to })).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// The channel's conversation without a contact, in which new groups are requested.
    pub async fn create_channel_conversation(&self, channel: &str) -> Result<ConversationId, StoreError> {
        let channel = channel.to_owned();
        self.ask(move |tx| tx.find_or_create_group(&channel, "")).await
    }

    /// Turns due timers into events, earliest first, at most `limit`. Returns their number and the
    /// due time of the next one.
    pub async fn fire_timers(&self, now: Timestamp, limit: usize) -> Result<(usize, Option<Timestamp>), StoreError> {
        self.ask(move |tx| tx.fire(now, limit)).await
    }

    /// Brings the known schedules in line with these. New, edited and re-added ones start after
    /// `from`.
    pub async fn configure_schedules(
        &self,
        entries: Vec<ScheduleEntry>,
        from: Timestamp,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.configure_schedules(&entries, from, now)).await
    }

    /// Decides planned times: events, rows and progress in one transaction. Returns the outcome for
    /// each decision; `None` if the plugin is absent or the schedule is no longer for it, and
    /// nothing was decided.
    pub async fn fire_schedules(
        &self,
        decisions: Vec<ScheduleDecision>,
        now: Timestamp,
    ) -> Result<Vec<Option<FiringCounts>>, StoreError> {
        self.ask(move |tx| tx.fire_schedules(&decisions, now)).await
    }

    /// Fires schedules outside their plan for an operator. Returns the events.
    pub async fn run_schedules_now(&self, decisions: Vec<ScheduleDecision>) -> Result<Vec<EventId>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.run_schedules_now(&decisions, now)).await
    }

    /// A number that changes whenever a member joined, left or moved to another zone.
    pub fn memberships(&self) -> u64 {
        self.0.shared.memberships()
    }

    /// When a withdrawal, a ban or the like was last committed: messages that the gate checked
    /// before are to be checked again.
    pub fn restricted_at(&self) -> Timestamp {
        self.0.shared.restricted_at()
    }

    /// Records an entry of the consent ledger. Returns it; `None` if it would change nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the contact is unknown.
    pub async fn record_consent(
        &self,
        planned: PlannedConsent,
        interest: Interest,
    ) -> Result<Option<RecordedConsent>, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.record_consent(&planned, interest.consent_changed, now)).await
    }

    /// Keeps the texts of wordings, by their SHA-256 in hexadecimal.
    pub async fn keep_consent_texts(&self, texts: Vec<(String, String)>) -> Result<(), StoreError> {
        self.ask(move |tx| texts.iter().try_for_each(|(sha256, text)| tx.keep_consent_text(sha256, text))).await
    }

    /// Imports contacts for a channel: one transaction. Returns what became of each, in order.
    pub async fn import_contacts(
        &self,
        channel: &str,
        rows: Vec<ImportedContact>,
        interest: Interest,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let (channel, now) = (channel.to_owned(), self.0.shared.clock.now());
        self.ask(move |tx| tx.import(&channel, &rows, interest.consent_changed, now)).await
    }

    /// Closes a request of a contact.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no open request with this number.
    pub async fn close_contact_request(&self, id: i64) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.close_request(id, now)).await
    }

    /// Queues the answer to a request for a copy, and closes the request. Returns false if it was
    /// closed meanwhile.
    pub async fn answer_export(&self, answer: ExportAnswer) -> Result<bool, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.answer_export(&answer, now)).await
    }

    /// When the store was last closed in order, before this process opened it.
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.0.shared.closed_at
    }

    /// Sets the lead times of window notices and updates up to `limit` window checks. Returns
    /// whether there are more to update. Does nothing if the lead times did not change, and the
    /// clock was not set back: then windows that were opened while it was ahead are capped.
    pub async fn arm_windows(&self, lead_times: LeadTimes, limit: usize) -> Result<bool, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.arm_windows(&lead_times, now, limit)).await
    }

    /// Checks up to `limit` windows that are due, earliest first, and appends the events of
    /// `interest`.
    pub async fn check_windows(
        &self,
        now: Timestamp,
        interest: Interest,
        limit: usize,
    ) -> Result<WindowsChecked, StoreError> {
        self.ask(move |tx| tx.check_windows(now, &interest, limit)).await
    }

    /// Stores changed documents, deletes removed ones, and appends an event for the plugin: one
    /// transaction.
    pub async fn change_documents(
        &self,
        plugin: PluginNo,
        changed: Vec<NewDocument>,
        removed: Vec<String>,
    ) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.change_documents(plugin, &changed, &removed, now)).await
    }

    /// Sets which business account each channel belongs to; accounts without a channel are
    /// forgotten.
    pub async fn set_channel_accounts(&self, accounts: Vec<(String, String)>) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_channel_accounts(&accounts)).await
    }

    /// Replaces the templates of an account by what was fetched. `began`: when the request began;
    /// what webhooks reported since then is newer.
    pub async fn replace_templates(
        &self,
        account: String,
        templates: Vec<TemplateDefinition>,
        began: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.replace_templates(&account, &templates, began, now)).await
    }

    /// Sets how many people an account may write to first in 24 hours; 0: any number.
    pub async fn set_messaging_limit(&self, account: String, people: u64) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_messaging_limit(&account, people)).await
    }

    /// Sets the quality of a channel's number: `green`, `yellow` or `red`.
    pub async fn set_channel_quality(&self, channel: String, quality: String) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_channel_quality(&channel, &quality)).await
    }

    /// Keeps, for the next start, that a channel may not write first for a while.
    pub async fn keep_outreach_hold(&self, channel: String, hold: OutreachHold) -> Result<(), StoreError> {
        self.ask(move |tx| tx.keep_outreach_hold(&channel, &hold)).await
    }

    /// Keeps a refresh token that an authorization server has rotated.
    pub async fn keep_refresh_token(
        &self,
        plugin: String,
        secret: String,
        token: RotatedToken,
    ) -> Result<(), StoreError> {
        self.ask(move |tx| tx.keep_refresh_token(&plugin, &secret, &token)).await
    }

    /// Records that the templates of an account could not be fetched.
    pub async fn record_template_fetch_error(&self, account: String, error: String) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.record_template_fetch_error(&account, &error, now)).await
    }

    /// The number of a plugin; a new name gets a new number.
    pub async fn plugin_no(&self, name: &str) -> Result<PluginNo, StoreError> {
        if let Some(no) = self.0.shared.names.plugins().get(name) {
            return Ok(*no);
        }
        let asked = name.to_owned();
        let no = self.ask(move |tx| tx.plugin_no(&asked)).await?;
        self.0.shared.names.plugins().insert(name.to_owned(), no);
        Ok(no)
    }

    /// The number of a list of subscribers; a new list gets a new number.
    pub async fn subscriber_list(&self, plugins: Vec<PluginNo>) -> Result<i64, StoreError> {
        if let Some(id) = self.0.shared.names.subscriber_lists().get(&plugins) {
            return Ok(*id);
        }
        let asked = plugins.clone();
        let id = self.ask(move |tx| tx.subscriber_list(&asked)).await?;
        self.0.shared.names.subscriber_lists().insert(plugins, id);
        Ok(id)
    }

    /// Retries a dead letter: a message is queued and due now; a handling or webhook is returned to
    /// the caller to run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dead letter.
    pub async fn retry_dead_letter(
        &self,
        dead_letter: DeadLetterRef,
        now: Timestamp,
    ) -> Result<RetriedDeadLetter, StoreError> {
        self.ask(move |tx| tx.retry(dead_letter, now)).await
    }

    /// Deletes a dead letter without a retry.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such dead letter.
    pub async fn drop_dead_letter(&self, dead_letter: DeadLetterRef) -> Result<(), StoreError> {
        self.ask(move |tx| tx.drop_dead_letter(dead_letter)).await
    }

    /// Merges one contact into another for an operator. With `dry_run`, only reports what would
    /// move.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if either is unknown, [`StoreError::SameContact`] if they are one
    /// already.
    pub async fn merge_contacts(
        &self,
        keep: ContactId,
        remove: ContactId,
        dry: bool,
    ) -> Result<MergeReport, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.merge(keep, remove, dry, now)).await
    }

    /// Marks two contacts as different people, so that a merge is not suggested again.
    ///
    /// # Errors
    /// As [`Store::merge_contacts`].
    pub async fn mark_contacts_distinct(&self, one: ContactId, other: ContactId) -> Result<(), StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.mark_distinct(one, other, now)).await
    }

    /// Applies an operator's changes to a contact. Returns the contact.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the contact is unknown.
    pub async fn edit_contact(&self, id: ContactId, edit: ContactEdit) -> Result<Contact, StoreError> {
        let now = self.0.shared.clock.now();
        self.ask(move |tx| tx.edit_contact(id, &edit, now)).await
    }

    /// Creates a list.
    ///
    /// # Errors
    /// [`StoreError::List`] if there is one with this name, or there are [`crate::MAX_LISTS`].
    pub async fn create_list(&self, name: &str, description: Option<String>) -> Result<ListRow, StoreError> {
        let (name, now) = (name.to_owned(), self.0.shared.clock.now());
        self.ask(move |tx| tx.create_list(&name, description.as_deref(), now)).await
    }

    /// Deletes a list with its memberships. Returns the list as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such list.
    pub async fn delete_list(&self, name: &str) -> Result<ListRow, StoreError> {
        let name = name.to_owned();
        self.ask(move |tx| tx.delete_list(&name)).await
    }

    /// Adds contacts to a list, then removes others: one transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such list, or a contact is unknown.
    pub async fn edit_list(
        &self,
        name: &str,
        add: Vec<ContactId>,
        remove: Vec<ContactId>,
    ) -> Result<ListChange, StoreError> {
        let (name, now) = (name.to_owned(), self.0.shared.clock.now());
        self.ask(move |tx| tx.edit_list(&name, &add, &remove, now)).await
    }

    /// Deletes one slice of what has passed its retention time. While the report says there is
    /// more, call again after other work had a turn. Also runs on a full disk, where it makes room
    /// in the database; not while the write-ahead log is at its limit.
    pub async fn retain(&self, policy: Retention, now: Timestamp) -> Result<RetentionReport, StoreError> {
        // It would make the log longer and no room in it.
        if self.0.shared.is_log_full() {
            return Err(self.0.shared.refusal());
        }
        let cursor = *self.cursor();
        let (job, answer) = ask(true, move |tx| {
            let mut cursor = cursor;
            Ok((tx.retain(&policy, now, &mut cursor)?, cursor))
        });
        self.0.queue.put(job).await?;
        let (retained, cursor) = answer.await.map_err(|_| StoreError::Closed)??;
        *self.cursor() = cursor;
        Ok(retained)
    }

    /// Stores what the catalog remembers about a plugin, in the catalog's own form.
    pub async fn set_plugin_record(&self, plugin: PluginNo, record: String) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_plugin_record(plugin, &record)).await
    }

    /// Sets which plugins run. Timers and schedules of all others wait.
    pub async fn set_present_plugins(&self, plugins: Vec<PluginNo>) -> Result<(), StoreError> {
        self.ask(move |tx| tx.set_present_plugins(&plugins)).await
    }

    /// Deletes a plugin's state, timers and record. Its number and name stay, because events and
    /// messages refer to them.
    pub async fn purge_plugin(&self, plugin: PluginNo) -> Result<PurgeReport, StoreError> {
        self.ask(move |tx| tx.purge_plugin(plugin)).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.shared.clock.now()
    }

    fn cursor(&self) -> parking_lot::MutexGuard<'_, Cursor> {
        self.0.retention.lock()
    }

    pub(crate) async fn ask<F, T>(&self, run: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (job, answer) = ask(false, run);
        self.0.queue.put(job).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}
