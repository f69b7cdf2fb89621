//! The outbox's loop: reads due rows from disk where a channel has capacity, starts what may go,
//! claims it on disk, and decides ambiguous sends that waited long enough.
//!
//! It is only woken by others; what it does depends on what is there. It also looks by itself every
//! second, so that a missed alarm delays a message by seconds and not for ever. A row that cannot
//! be read or has no destination is settled by itself and holds up no other.

use super::queue::{PendingSend, ReadRequest, ReadRows};
use super::send::{NotNow, Sender};
use super::state::Shared;
use crate::context::{Context, NotStored, Phase};
use beadle_model::Timestamp;
use beadle_store::step::{DueSends, LONGEST_DEFERRAL_MS, OutboxRow, SendOutcome, SendState, Settlement};
use beadle_store::{Reader, StoreError};
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Claimed at once: one group commit's worth.
const AT_ONCE: usize = 512;
/// How often the loop looks by itself. Real time.
const BEAT: Duration = Duration::from_secs(1);
/// What could not be claimed is tried again after this.
const AGAIN_MS: i64 = 1000;
/// A read that failed is repeated after this. Real time: a sick disk does not follow the calendar.
const READ_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct SendDispatcher {
    pub context: Arc<Context>,
    pub shared: Arc<Shared>,
    pub sender: Sender,
    pub heartbeat: Heartbeat,
}

impl SendDispatcher {
    /// Runs until the pipeline drains.
    pub async fn run(self) {
        if !self.recall_ambiguous().await {
            return;
        }
        while self.context.phase() == Phase::Running {
            self.heartbeat.beat();
            self.decide_ambiguous().await;
            let has_read = self.read().await;
            let now = self.context.clock.monotonic();
            let (started, wake_at) = {
                let mut memory = self.shared.lock();
                let started = memory.queue.start(now, AT_ONCE);
                let ambiguous = memory.ambiguous.wake_at(&self.shared.settings());
                let wake_at = [memory.queue.wake_at(now), ambiguous].into_iter().flatten().min();
                // The alarm waits for civil time.
                let civil = self.context.clock.now();
                let wake_at = wake_at.map(|at| civil.plus_ms(at.since_ms(now)));
                (started, [wake_at, memory.queue.next_due()].into_iter().flatten().min())
            };
            if !started.is_empty() {
                self.check_and_claim(started, now).await;
            } else if !has_read {
                tokio::select! {
                    () = self.shared.wake().wait(wake_at, BEAT) => {}
                    () = self.context.reached(Phase::Draining) => {}
                }
            }
        }
    }

    /// After a start, every row that was `sending` is ambiguous. `false`: the pipeline is stopping.
    async fn recall_ambiguous(&self) -> bool {
        let recalled = self
            .context
            .until_stored(|| self.on_reader(|reader, now| with_views(reader, reader.outbox_sending()?, now)));
        // The store may fail for any length of time.
        match self.heartbeat.idle(recalled).await {
            Ok((pending, unusable)) => {
                let now = self.context.clock.monotonic();
                for pending in pending {
                    let reason = "the daemon ended before the platform answered";
                    self.shared.lock().ambiguous.insert(pending, now, reason.into());
                }
                self.settle_unusable(unusable).await;
                true
            }
            Err(NotStored::Stopping) => false,
            Err(NotStored::Refused(error)) => {
                tracing::error!(%error, "sends of before the start unreadable: undecided until the next start");
                true
            }
        }
    }

    async fn decide_ambiguous(&self) {
        let now = self.context.clock.monotonic();
        let decided = {
            let mut memory = self.shared.lock();
            let due = memory.ambiguous.due(&self.shared.settings(), now);
            for (conversation, message) in due.unblocked {
                memory.queue.unblock(conversation, message, now);
            }
            for (PendingSend { row, .. }, _) in &due.decided {
                memory.queue.unblock(row.conversation, row.message, now);
                memory.queue.forget(row.message);
            }
            due.decided
        };
        if decided.is_empty() {
            return;
        }
        self.context.health.ambiguous_decided(decided.iter().map(|(_, outcome)| outcome));
        self.settle(decided).await;
    }

    /// Reads new rows' conversations, and rows from disk for one channel that has capacity. Returns
    /// whether there was something to read.
    async fn read(&self) -> bool {
        if self.shared.lock().read_again_at.is_some_and(|at| at > Instant::now()) {
            return false;
        }
        let read = async { Ok(self.read_channels().await? | self.read_arrivals().await? | self.read_due().await?) };
        // A thread that waits for a connection may take seconds.
        match self.heartbeat.idle(read).await {
            Ok(has_read) => has_read,
            Err(error) => {
                let error: StoreError = error;
                self.context.health.store_failed(&error);
                self.shared.lock().read_again_at = Some(Instant::now() + READ_AGAIN);
                false
            }
        }
    }

    /// Looks up the channels with rows on disk, where they are not known.
    async fn read_channels(&self) -> Result<bool, StoreError> {
        if !self.shared.lock().queue.begin_lookup() {
            return Ok(false);
        }
        let channels = self.on_reader(|reader, _| reader.outbox_channels()).await?;
        self.shared.lock().queue.take_channels(channels);
        Ok(true)
    }

    /// Puts new rows in other conversations than their event's into the queue.
    async fn read_arrivals(&self) -> Result<bool, StoreError> {
        let rows = self.shared.lock().take_arrivals(AT_ONCE);
        if rows.is_empty() {
            return Ok(false);
        }
        match self.on_reader(move |reader, now| with_views(reader, rows, now)).await {
            Ok((pending, unusable)) => {
                self.shared.push(pending);
                self.settle_unusable(unusable).await;
                Ok(true)
            }
            Err(error) => {
                // They are on disk.
                self.shared.lock().rescan();
                Err(error)
            }
        }
    }

    /// Reads due rows of one channel from disk that are not in memory.
    async fn read_due(&self) -> Result<bool, StoreError> {
        let (now, civil) = (self.context.clock.monotonic(), self.context.clock.now());
        let Some(request) = self.shared.lock().queue.next_read(now, civil) else { return Ok(false) };
        let asked = request.clone();
        match self.on_reader(move |reader, now| due_rows(reader, &asked, now)).await {
            Ok((read, unusable)) => {
                self.shared.lock().queue.take_in(&request, read);
                self.settle_unusable(unusable).await;
                Ok(true)
            }
            Err(error) => {
                self.shared.lock().queue.read_failed(&request);
                Err(error)
            }
        }
    }

    /// Reads on a thread that may block; with the civil time.
    async fn on_reader<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let now = self.context.clock.now();
        self.context.store.read(move |reader| read(reader, now)).await
    }

    async fn settle(&self, outcomes: Vec<(PendingSend, SendOutcome)>) {
        // The store may fail for any length of time.
        self.heartbeat.idle(self.sender.settle(outcomes)).await;
    }

    async fn settle_unusable(&self, unusable: Vec<Settlement>) {
        if !unusable.is_empty() {
            self.heartbeat.idle(self.sender.write_outcomes(unusable)).await;
        }
    }

    /// Asks the gate once more, claims what may go, and sends it. `now`: monotonic.
    async fn check_and_claim(&self, started: Vec<PendingSend>, now: Timestamp) {
        let (mut checked, mut stopped, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for (pending, verdict) in self.check(started).await {
            match verdict {
                Ok(pending) => checked.push(pending),
                Err(NotNow::Settled(outcome, gate)) => {
                    self.shared.lock().release(&pending, now);
                    stopped.push((pending, *outcome, gate));
                }
                Err(NotNow::Unreadable(error)) => {
                    self.context.health.store_failed(&error);
                    unreadable.push(pending);
                }
            }
        }
        self.put_back(unreadable, now);
        if !stopped.is_empty() {
            self.heartbeat.idle(self.sender.settle_explained(stopped)).await;
        }
        if checked.is_empty() {
            return;
        }
        let ids = checked.iter().map(|pending| pending.row.message).collect();
        // The writer may be busy for any length of time.
        match self.heartbeat.idle(self.context.store.claim_sends(ids)).await {
            Ok(claimed) => {
                for mut pending in checked {
                    if claimed.contains(&pending.row.message) {
                        pending.row.state = SendState::Sending;
                        self.sender.spawn(pending);
                    } else {
                        // A receipt settled it meanwhile, or a rule dropped it.
                        self.shared.lock().release(&pending, now);
                    }
                }
            }
            Err(error) => {
                self.context.health.store_failed(&error);
                self.put_back(checked, now);
            }
        }
    }

    /// Asks the gate about each, on a thread that may block: conversations are read.
    async fn check(&self, started: Vec<PendingSend>) -> Vec<(PendingSend, Result<PendingSend, NotNow>)> {
        let (sender, civil) = (self.sender.clone(), self.context.clock.now());
        let check = move || {
            let verdicts = started.into_iter().map(|pending| {
                let verdict = sender.check(&pending, civil);
                (pending, verdict)
            });
            verdicts.collect()
        };
        // A thread that is gone means that the runtime is shutting down: nothing was claimed.
        self.heartbeat.idle(tokio::task::spawn_blocking(check)).await.unwrap_or_default()
    }

    /// Not a byte has left: back to the heads of their conversations until the store works.
    fn put_back(&self, pending: Vec<PendingSend>, now: Timestamp) {
        let mut memory = self.shared.lock();
        for pending in pending {
            memory.queue.send_ended(&pending.view.channel);
            memory.queue.put_back(pending, now.plus_ms(AGAIN_MS), now);
        }
    }
}

/// Reads what was asked for, and settlements of rows that cannot be sent.
fn due_rows(reader: &Reader, request: &ReadRequest, now: Timestamp) -> Result<(ReadRows, Vec<Settlement>), StoreError> {
    let page = reader.outbox_due(&DueSends {
        channel: &request.channel,
        after: request.after,
        now,
        latest: now.plus_ms(LONGEST_DEFERRAL_MS),
        rows: request.rows,
        bytes: request.bytes,
    })?;
    let next_due = reader.outbox_next_due(&request.channel, now)?;
    let (rows, unusable) = with_views(reader, page.rows, now)?;
    Ok((ReadRows { rows, last: page.last, is_end: page.is_end, next_due }, unusable))
}

/// The destination of each row, and settlements of rows without one: a person was erased, or the
/// conversation cannot be read by this version.
fn with_views(
    reader: &Reader,
    rows: Vec<OutboxRow>,
    now: Timestamp,
) -> Result<(Vec<PendingSend>, Vec<Settlement>), StoreError> {
    let (mut pending, mut unusable) = (Vec::with_capacity(rows.len()), Vec::new());
    for mut row in rows {
        let outcome = match reader.conversation(row.conversation) {
            Ok(Some(view)) => {
                // It may have been merged since the row was written.
                row.conversation = view.id;
                pending.push(PendingSend { row, view: Arc::new(view), checked_at: Timestamp::default() });
                continue;
            }
            Ok(None) => Sender::conversation_gone(),
            Err(error @ StoreError::Unreadable { .. }) => Sender::conversation_unreadable(&error),
            Err(error) => return Err(error),
        };
        unusable.push(Settlement { message: row.message, outcome, at: now, gate: None });
    }
    Ok((pending, unusable))
}
