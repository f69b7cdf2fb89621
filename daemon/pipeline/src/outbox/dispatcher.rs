//! The outbox's loop: reads due rows from disk while there is room in memory, starts what may go, claims it on disk, and
//! decides ambiguous sends that waited long enough.
//!
//! It is only woken by others; what it does depends on what is there. It also looks by itself every second, so that a
//! missed alarm delays a message by seconds and not for ever.

use super::queue::PendingSend;
use super::send::{NotNow, Sender};
use super::state::{MEMORY_ROWS, Shared, Source};
use crate::context::{Context, Phase};
use beadle_model::Timestamp;
use beadle_store::StoreError;
use beadle_store::step::{OutboxRow, SendOutcome, SendState, Settlement};
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Read and claimed at once: one group commit's worth.
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
    /// Until the pipeline drains.
    pub async fn run(self) {
        if !self.recall_ambiguous().await {
            return;
        }
        while self.context.phase() == Phase::Running {
            self.heartbeat.beat();
            self.decide_ambiguous().await;
            self.read_due().await;
            let now = self.context.clock.now();
            let (started, wake_at) = {
                let mut memory = self.shared.lock();
                let started = memory.queue.start(now, AT_ONCE);
                let ambiguous = memory.ambiguous.wake_at(&self.shared.settings());
                let wake_at = [memory.queue.wake_at(now), ambiguous, memory.next_on_disk].into_iter().flatten().min();
                (started, wake_at)
            };
            if !started.is_empty() {
                self.check_and_claim(started, now).await;
                continue;
            }
            tokio::select! {
                () = self.shared.wake().wait(wake_at, BEAT) => {}
                () = self.context.reached(Phase::Draining) => {}
            }
        }
    }

    /// After a start, every row that was `sending` is ambiguous. `false`: the pipeline is stopping.
    async fn recall_ambiguous(&self) -> bool {
        let reader = self.context.store.reader();
        let recalled = self.context.until_stored(async || {
            let rows = reader.outbox_sending()?;
            self.with_views(rows)
        });
        // The store may fail for any time.
        match self.heartbeat.idle(recalled).await {
            Ok((pending, gone)) => {
                let now = self.context.clock.now();
                for pending in pending {
                    let why = "the daemon ended before the platform answered";
                    self.shared.lock().ambiguous.insert(pending, now, why.into());
                }
                self.settle_gone(gone, now).await;
                true
            }
            Err(_) => false,
        }
    }

    async fn decide_ambiguous(&self) {
        let now = self.context.clock.now();
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
        let is_any_again = decided.iter().any(|(_, outcome)| matches!(outcome, SendOutcome::Later { .. }));
        let settlement = |(PendingSend { row, .. }, outcome)| Settlement { message: row.message, outcome, at: now };
        self.settle(decided.into_iter().map(settlement).collect()).await;
        if is_any_again {
            // They are `queued` on disk now, like new rows.
            self.shared.rescan();
        }
    }

    /// Reads due rows from disk that are not in memory, while there is room.
    async fn read_due(&self) {
        let now = self.context.clock.now();
        // What is in memory is offered again; this many more are read, so that something new is among them.
        let in_memory = {
            let mut memory = self.shared.lock();
            let is_due = memory.next_on_disk.is_some_and(|next| next <= now);
            let is_wanted =
                matches!(memory.source, Source::Disk) || (is_due && matches!(memory.source, Source::Memory));
            let is_readable = memory.read_again_at.is_none_or(|at| at <= Instant::now());
            if !is_wanted || !is_readable || memory.queue.len() + AT_ONCE > MEMORY_ROWS {
                return;
            }
            memory.source = Source::Reading(Vec::new());
            memory.next_on_disk = None;
            memory.queue.len() + memory.queue.in_flight()
        };
        let read = self.read(now, in_memory + AT_ONCE);
        let gone = self.take_in(read);
        self.settle_gone(gone, now).await;
    }

    /// Takes what was read into memory. Returns rows without a conversation.
    fn take_in(&self, read: Result<Due, StoreError>) -> Vec<OutboxRow> {
        let mut memory = self.shared.lock();
        let Source::Reading(meanwhile) = std::mem::replace(&mut memory.source, Source::Memory) else {
            return Vec::new();
        };
        let Due { pending, gone, is_all, next_due } = match read {
            Ok(due) => due,
            Err(error) => {
                self.context.health.store_failed(&error);
                // New rows wait on disk like all others.
                memory.source = Source::Disk;
                memory.read_again_at = Some(Instant::now() + READ_AGAIN);
                return Vec::new();
            }
        };
        let meanwhile = if is_all { meanwhile } else { Vec::new() };
        if !is_all {
            memory.source = Source::Disk;
        }
        for pending in pending.into_iter().chain(meanwhile) {
            if !memory.queue.knows(pending.row.message) {
                memory.queue.push_back(pending);
            }
        }
        if let Some(next_due) = next_due {
            memory.is_due_on_disk(next_due);
        }
        gone
    }

    fn read(&self, now: Timestamp, most: usize) -> Result<Due, StoreError> {
        let reader = self.context.store.reader();
        let rows = reader.outbox_due(now, most)?;
        let next_due = reader.outbox_next_due(now)?;
        let is_all = rows.len() < most;
        let (pending, gone) = self.with_views(rows)?;
        Ok(Due { pending, gone, is_all, next_due })
    }

    /// The destination of each row, and rows whose conversation is gone (a person was erased).
    fn with_views(&self, rows: Vec<OutboxRow>) -> Result<(Vec<PendingSend>, Vec<OutboxRow>), StoreError> {
        let reader = self.context.store.reader();
        let (mut pending, mut gone) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in rows {
            match reader.conversation(row.conversation)? {
                Some(view) => {
                    pending.push(PendingSend { row, view: Arc::new(view), checked_at: Timestamp::default() });
                }
                None => gone.push(row),
            }
        }
        Ok((pending, gone))
    }

    async fn settle(&self, settlements: Vec<Settlement>) {
        // The store may fail for any time.
        self.heartbeat.idle(self.sender.settle(settlements)).await;
    }

    async fn settle_gone(&self, gone: Vec<OutboxRow>, now: Timestamp) {
        if gone.is_empty() {
            return;
        }
        let settlement =
            |row: OutboxRow| Settlement { message: row.message, outcome: Sender::conversation_gone(), at: now };
        self.settle(gone.into_iter().map(settlement).collect()).await;
    }

    /// Asks the gate once more, claims what may go, and sends it.
    async fn check_and_claim(&self, started: Vec<PendingSend>, now: Timestamp) {
        let (mut checked, mut stopped, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for pending in started {
            match self.sender.check(&pending, now) {
                Ok(pending) => checked.push(pending),
                Err(NotNow::Gate(outcome)) => stopped.push(self.sender.stopped_by_gate(&pending, outcome, now)),
                Err(NotNow::Unreadable(error)) => {
                    self.context.health.store_failed(&error);
                    unreadable.push(pending);
                }
            }
        }
        self.put_back(unreadable, now);
        if !stopped.is_empty() {
            self.settle(stopped).await;
        }
        if checked.is_empty() {
            return;
        }
        let ids = checked.iter().map(|pending| pending.row.message).collect();
        match self.context.store.claim_sends(ids).await {
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

    /// Not a byte has left: back to the heads of their conversations until the store works.
    fn put_back(&self, pending: Vec<PendingSend>, now: Timestamp) {
        let mut memory = self.shared.lock();
        for pending in pending {
            let (conversation, message) = (pending.row.conversation, pending.row.message);
            memory.queue.landed(&pending.view.channel);
            memory.queue.push_front(pending, now.plus_ms(AGAIN_MS));
            memory.queue.unblock(conversation, message, now);
        }
    }
}

/// What was read.
struct Due {
    pending: Vec<PendingSend>,
    /// Rows without a conversation.
    gone: Vec<OutboxRow>,
    /// Nothing else is due.
    is_all: bool,
    /// When the next row is due that is not yet.
    next_due: Option<Timestamp>,
}
