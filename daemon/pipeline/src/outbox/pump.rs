//! The outbox's loop: it lets go what may go, claims it on disk first, decides doubts that are old enough, and reads more
//! rows from disk when there is room.
//!
//! The loop is only woken by others; what it does depends on what is there. It also looks by itself now and then, so
//! that a bell that was missed delays a message by seconds, not for ever.

use super::{Inner, Parcel, Source};
use crate::spine::Phase;
use beadle_gate::{Draft, Facts, Verdict};
use beadle_model::event::Problem;
use beadle_model::{PluginNo, Timestamp};
use beadle_store::step::{OutboxRow, SendOutcome, SendState, Settlement};
use beadle_tasks::Heartbeat;
use std::sync::Arc;
use std::time::Duration;

/// Rows that wait in memory: a minute of a fast number. At about 1 KiB each they take 20 MiB at most.
pub(super) const MEMORY_ROWS: usize = 20_000;
/// Read and claimed at once: one group commit's worth.
const AT_ONCE: usize = 512;
/// How often the loop looks by itself. Real time.
const BEAT: Duration = Duration::from_secs(1);

pub(super) async fn run(inner: Arc<Inner>, heartbeat: Heartbeat) {
    inner.recall_doubts();
    let mut phase = inner.phase.subscribe();
    while *phase.borrow() == Phase::Running {
        heartbeat.beat();
        inner.decide_doubts().await;
        inner.read_more();
        let now = inner.clock.now();
        let (go, wake_at) = {
            let mut state = inner.state();
            let go = state.waiting.collect(now, AT_ONCE);
            let doubts = state.doubts.wake_at(&inner.settings());
            let wake_at = [state.waiting.wake_at(now), doubts, state.next_on_disk].into_iter().flatten().min();
            (go, wake_at)
        };
        if !go.is_empty() {
            inner.let_go(go, now).await;
            continue;
        }
        tokio::select! {
            () = inner.wake.wait(wake_at, BEAT) => {}
            _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
        }
    }
}

impl Inner {
    /// At the start: whatever was `sending` when we ended is in doubt from now on.
    fn recall_doubts(&self) {
        let now = self.clock.now();
        match self.store.reader().outbox_sending() {
            Ok(rows) => {
                let mut state = self.state();
                for parcel in rows.into_iter().filter_map(|row| self.address(row)) {
                    state.doubts.add(parcel, now, "we ended before the platform answered".into());
                }
            }
            Err(error) => self.health.disk_trouble(&error),
        }
    }

    async fn decide_doubts(&self) {
        let now = self.clock.now();
        let decided = {
            let mut state = self.state();
            let due = state.doubts.due(&self.settings(), now);
            for (conversation, message) in due.free {
                state.waiting.free_line(conversation, message, now);
            }
            for (Parcel { row, .. }, _) in &due.decided {
                state.waiting.free_line(row.conversation, row.message, now);
                state.waiting.forget(row.message);
            }
            due.decided
        };
        if decided.is_empty() {
            return;
        }
        self.health.doubts_decided(decided.iter().map(|(_, outcome)| outcome));
        let again = decided.iter().any(|(_, outcome)| matches!(outcome, SendOutcome::Later { .. }));
        let settle = |(Parcel { row, .. }, outcome)| Settlement { message: row.message, outcome, at: now };
        self.settle(decided.into_iter().map(settle).collect()).await;
        if again {
            // They are `queued` on disk now, and are read like the others.
            self.put(Vec::new(), true);
        }
    }

    /// Reads rows that are due from disk, where there are some that are not here and there is room.
    fn read_more(&self) {
        let now = self.clock.now();
        // What is here already is offered again; so many more are read that something new is among them.
        let here = {
            let mut state = self.state();
            let due = state.next_on_disk.is_some_and(|next| next <= now);
            let wanted = matches!(state.source, Source::Disk) || (due && matches!(state.source, Source::Memory));
            if !wanted || state.waiting.count() + AT_ONCE > MEMORY_ROWS {
                return;
            }
            state.source = Source::Reading(Vec::new());
            state.next_on_disk = None;
            state.waiting.count() + state.waiting.on_their_way()
        };
        let reader = self.store.reader();
        let rows = reader.outbox_due(now, here + AT_ONCE).and_then(|rows| Ok((rows, reader.outbox_next_due(now)?)));
        let (rows, next) = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.health.disk_trouble(&error);
                (Vec::new(), Some(now.plus_ms(1000)))
            }
        };
        let all = rows.len() < here + AT_ONCE;
        let parcels: Vec<Parcel> = rows.into_iter().filter_map(|row| self.address(row)).collect();
        let mut state = self.state();
        let source = if all { Source::Memory } else { Source::Disk };
        let Source::Reading(meanwhile) = std::mem::replace(&mut state.source, source) else { return };
        for parcel in parcels.into_iter().chain(if all { meanwhile } else { Vec::new() }) {
            if !state.waiting.knows(parcel.row.message) {
                state.waiting.put(parcel);
            }
        }
        state.next_on_disk = [state.next_on_disk, next].into_iter().flatten().min();
    }

    /// Finds where a row goes. A row whose conversation is gone (a person was erased) has nowhere to go.
    fn address(&self, row: OutboxRow) -> Option<Parcel> {
        match self.store.reader().conversation(row.conversation) {
            Ok(Some(view)) => Some(Parcel { row, view: Arc::new(view), asked_at: Timestamp::default() }),
            Ok(None) => None,
            Err(error) => {
                self.health.disk_trouble(&error);
                None
            }
        }
    }

    /// Asks the gate once more, claims what may go, and sends it.
    async fn let_go(self: &Arc<Self>, go: Vec<Parcel>, now: Timestamp) {
        let (mut claims, mut over) = (Vec::new(), Vec::new());
        for parcel in go {
            match self.ask_gate(&parcel, now) {
                Ok(parcel) => claims.push(parcel),
                Err(outcome) => over.push(self.stopped_at_gate(parcel, outcome, now)),
            }
        }
        if !over.is_empty() {
            self.settle(over).await;
        }
        if claims.is_empty() {
            return;
        }
        let ids = claims.iter().map(|parcel| parcel.row.message).collect();
        match self.store.claim_sends(ids).await {
            Ok(claimed) => {
                let (mine, gone): (Vec<_>, Vec<_>) =
                    claims.into_iter().partition(|parcel| claimed.contains(&parcel.row.message));
                for mut parcel in mine {
                    parcel.row.state = SendState::Sending;
                    self.spawn(parcel);
                }
                self.let_be(gone, now);
            }
            Err(error) => {
                // Not one byte has left: back to the heads of their lines until the disk takes the claim.
                self.health.disk_trouble(&error);
                let mut state = self.state();
                for parcel in claims {
                    let (conversation, message) = (parcel.row.conversation, parcel.row.message);
                    state.waiting.free_slot(&parcel.view.channel);
                    state.waiting.put_first(parcel, now.plus_ms(1000));
                    state.waiting.free_line(conversation, message, now);
                }
            }
        }
    }

    /// The gate's second look stopped it: its place is free, and this is to be written down.
    pub(super) fn stopped_at_gate(&self, parcel: Parcel, outcome: SendOutcome, now: Timestamp) -> Settlement {
        let message = parcel.row.message;
        self.let_be(vec![parcel], now);
        if let SendOutcome::Later { due_at, .. } = &outcome {
            let mut state = self.state();
            state.next_on_disk = Some(state.next_on_disk.map_or(*due_at, |next| next.min(*due_at)));
        }
        Settlement { message, outcome, at: now }
    }

    /// These are not to go after all (refused, put off, or settled by a receipt meanwhile): their places are free.
    fn let_be(&self, parcels: Vec<Parcel>, now: Timestamp) {
        let mut state = self.state();
        for Parcel { row, view, .. } in parcels {
            state.waiting.free_slot(&view.channel);
            state.waiting.free_line(row.conversation, row.message, now);
            state.waiting.forget(row.message);
        }
    }

    /// The gate's second look, with the conversation as it is now.
    pub(super) fn ask_gate(&self, parcel: &Parcel, now: Timestamp) -> Result<Parcel, SendOutcome> {
        let Some(parcel) = self.address(parcel.row.clone()) else {
            return Err(SendOutcome::Failed(super::judge::problem("no-recipient", "The conversation is gone", "")));
        };
        let draft = Draft { body: &parcel.row.body, host: parcel.row.plugin == PluginNo::HOST };
        match beadle_gate::check(&draft, &Facts { conversation: &parcel.view, now }) {
            Verdict::Send => Ok(Parcel { asked_at: now, ..parcel }),
            Verdict::Later { until, .. } => {
                Err(SendOutcome::Later { due_at: until, counted: false, maybe_twice: parcel.row.maybe_twice })
            }
            Verdict::Refused(refusal) => {
                let (code, title, details) = (refusal.code, refusal.message, refusal.instead);
                Err(SendOutcome::Failed(Problem { code, title, details, by: "host".into() }))
            }
        }
    }
}
