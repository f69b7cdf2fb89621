//! The sends that wait in memory: which message of which conversation may go now, and when to look
//! again.
//!
//! The messages of a conversation go one at a time, so that replies keep their order. A channel has
//! a throughput, a limit of requests in flight, and may be paused. Conversations whose first
//! message could go are listed with their channel and served in turn, so that a long queue does not
//! delay a short one. Reactions, read marks and typing indicators have no order.
//!
//! Everything here is in the store as well. Each channel has a share of the memory, so that one
//! that is stopped or slow holds up no other; what exceeds it waits on disk and is read behind a
//! place when it fits ([`Coverage`]). A paused channel holds nothing in memory.
//!
//! It is a data structure: it reads no clock, sends nothing, reads nothing and writes nothing (see
//! `dispatcher`). `now` is monotonic time, except where a due time of a row on disk is meant.

use super::classify::ChannelPause;
use super::settings::Settings;
use beadle_gate::pace::{PairRate, Throughput};
use beadle_model::event::Problem;
use beadle_model::{ConversationId, ConversationView, MessageId, Timestamp};
use beadle_store::step::{LONGEST_DEFERRAL_MS, OutboxPlace, OutboxRow};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Rows that wait in memory, of all channels: a minute of a fast number …
const MEMORY_ROWS: usize = 20_000;
/// … and the bytes of their bodies.
const MEMORY_BYTES: usize = 32 << 20;
/// The least share of a channel, where there are many: a second of two fast numbers …
const LEAST_ROWS: usize = 256;
/// … and the bytes of their bodies.
const LEAST_BYTES: usize = 256 << 10;
/// Rows in memory of a channel that is tried with one message at a time.
const FAILING_ROWS: usize = 16;
/// Rows that are read at once: one group commit's worth.
const ROWS_AT_ONCE: usize = 512;

/// Pauses of a channel after the first, second, … failure in a row that says nothing about the
/// message. The first is no pause, but one message at a time goes until one succeeds; the last is
/// short enough that a platform that is back is used within half a minute.
const FAILURE_PAUSES_MS: [i64; 6] = [0, 1000, 2000, 4000, 8000, 30_000];
/// A stopped channel is tried with one message this often, so that it goes on by itself once a
/// person has acted.
const STOPPED_PAUSE_MS: i64 = 60_000;
/// Trials whose receipts are awaited: at one a minute those of half an hour. Later ones follow the
/// first.
const MAX_TRIALS: usize = 32;
/// An empty conversation with a pair rate to pay back is looked at again after this, and forgotten
/// when it may be.
const COOLING_MS: i64 = 60_000;
/// A conversation that waits for the one it was merged with is looked at again after this: it
/// happens once in a contact's life.
const MERGED_MS: i64 = 200;

/// A row and its destination.
#[derive(Clone, Debug)]
pub(crate) struct PendingSend {
    pub row: OutboxRow,
    pub view: Arc<ConversationView>,
    /// When the gate checked it last, in civil time.
    pub checked_at: Timestamp,
}

impl PendingSend {
    /// Its place on disk, while it is queued.
    pub fn place(&self) -> OutboxPlace {
        OutboxPlace { due_at: self.row.due_at, message: self.row.message }
    }
}

/// What waits, and what is in flight.
pub(crate) struct Queue {
    settings: Settings,
    channels: HashMap<Arc<str>, ChannelQueue>,
    conversations: HashMap<ConversationId, ConversationQueue>,
    /// Conversations to look at again at a time.
    by_time: BTreeSet<(Timestamp, ConversationId)>,
    /// Everything that is waiting, in flight or ambiguous; rows that the store offers again are
    /// recognised by it.
    known: HashSet<MessageId>,
    in_flight: usize,
    channels_on_disk: ChannelsOnDisk,
    /// The number of reads.
    reads: u64,
}

/// Whether the channels with rows on disk are known: all others have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelsOnDisk {
    Unknown,
    Reading,
    Known,
}

/// How much of what is due on disk is in memory, for one channel.
enum Coverage {
    /// All rows; new rows go to memory too.
    Whole,
    /// What is behind this place may not be; new rows wait there too, and are read in their order.
    UpTo(OutboxPlace),
    /// What is behind `after` is being read.
    Reading {
        after: OutboxPlace,
        /// New rows, which go behind what is read.
        meanwhile: Vec<PendingSend>,
        /// Read again behind this place.
        again: Option<OutboxPlace>,
    },
}

/// What to read from disk for a channel. [`Queue::take_in`] or [`Queue::read_failed`] follows.
#[derive(Clone, Debug)]
pub(crate) struct ReadRequest {
    pub channel: Arc<str>,
    pub after: OutboxPlace,
    pub rows: usize,
    pub bytes: usize,
}

/// What was read from disk for a channel.
#[derive(Default)]
pub(crate) struct ReadRows {
    pub rows: Vec<PendingSend>,
    /// The place of the last row, whether or not it could be used.
    pub last: Option<OutboxPlace>,
    /// Nothing else is due.
    pub is_end: bool,
    /// When the next row is due that is not yet, in civil time.
    pub next_due: Option<Timestamp>,
}

struct ChannelQueue {
    bucket: Throughput,
    in_flight: usize,
    /// Failures in a row.
    failures: u32,
    paused_until: Timestamp,
    stopped: Option<Problem>,
    /// It was stopped with all channels of its app, for the app's reason.
    with_app: bool,
    /// A receipt stopped it: an acceptance does not show that it works, only a receipt for one of
    /// these, sent since.
    trials: Option<Vec<MessageId>>,
    ready: VecDeque<ConversationId>,
    unordered: VecDeque<WaitingSend>,
    /// Rows that wait in memory, and the bytes of their bodies.
    rows: usize,
    bytes: usize,
    coverage: Coverage,
    /// The earliest row on disk that is not due yet, in civil time.
    next_due: Option<Timestamp>,
    /// The number of its last read, so that channels take turns.
    last_read: u64,
}

struct WaitingSend {
    pending: PendingSend,
    bytes: usize,
}

struct ConversationQueue {
    channel: Arc<str>,
    waiting: VecDeque<WaitingSend>,
    /// The message that the others wait for.
    blocked_by: Option<MessageId>,
    pair: PairRate,
    not_before: Timestamp,
    is_listed: bool,
    /// A conversation that was merged into this one: what waits there goes first.
    after: Option<ConversationId>,
}

impl Queue {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            channels: HashMap::new(),
            conversations: HashMap::new(),
            by_time: BTreeSet::new(),
            known: HashSet::new(),
            in_flight: 0,
            channels_on_disk: ChannelsOnDisk::Unknown,
            reads: 0,
        }
    }

    /// Applies new settings. The state of a pace that did not change is kept.
    pub fn configure(&mut self, settings: Settings) {
        for (name, channel) in &mut self.channels {
            let (before, after) = (self.settings.pace(name), settings.pace(name));
            if before.messages_per_second != after.messages_per_second {
                channel.bucket = Throughput::new(after.messages_per_second);
            }
        }
        for conversation in self.conversations.values_mut() {
            let (before, after) = (self.settings.pace(&conversation.channel), settings.pace(&conversation.channel));
            if (before.contact_seconds, before.contact_burst) != (after.contact_seconds, after.contact_burst) {
                conversation.pair = PairRate::new(after.contact_seconds, after.contact_burst);
            }
        }
        self.settings = settings;
    }

    /// How many wait in memory.
    pub fn len(&self) -> usize {
        self.channels.values().map(|channel| channel.rows).sum()
    }

    /// How many wait in memory for a channel, and whether it does not send for now.
    pub fn load(&self, channel: &str, now: Timestamp) -> (usize, bool) {
        self.channels
            .get(channel)
            .map_or((0, false), |channel| (channel.rows, channel.stopped.is_some() || channel.paused_until > now))
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether anything waits in memory or on disk that the end of a send may let go. Where nothing
    /// does, the dispatcher need not look.
    pub fn others_wait(&self) -> bool {
        self.channels.values().any(|channel| channel.rows > 0 || channel.is_behind())
    }

    pub fn knows(&self, message: MessageId) -> bool {
        self.known.contains(&message)
    }

    /// Channels that do not send for now, and why where a person has to act.
    pub fn paused(&self, now: Timestamp) -> Vec<(Arc<str>, Option<Problem>)> {
        let is_paused = |channel: &ChannelQueue| channel.stopped.is_some() || channel.paused_until > now;
        self.channels
            .iter()
            .filter(|(_, channel)| is_paused(channel))
            .map(|(name, channel)| (Arc::clone(name), channel.stopped.clone()))
            .collect()
    }

    /// Puts a new message in flight at once, where nothing is before it in memory or on disk.
    pub fn start_now(&mut self, pending: &PendingSend, now: Timestamp) -> bool {
        let name = &pending.view.channel;
        let channel = channel(&mut self.channels, &self.settings, name, self.channels_on_disk);
        let is_first =
            matches!(channel.coverage, Coverage::Whole) && channel.ready.is_empty() && channel.unordered.is_empty();
        if !is_first || !channel.may_send(&self.settings, now) {
            return false;
        }
        if pending.row.body.is_message() {
            if is_after_merged(&self.conversations, pending.row.conversation) {
                return false;
            }
            let conversation = conversation(&mut self.conversations, &self.settings, pending);
            if conversation.blocked_by.is_some()
                || !conversation.waiting.is_empty()
                || conversation.next_free(now) > now
            {
                return false;
            }
            conversation.blocked_by = Some(pending.row.message);
            conversation.pair.take(now);
        }
        channel.take(&pending.row, now);
        self.in_flight += 1;
        self.known.insert(pending.row.message);
        true
    }

    /// A new row, which is on disk: into memory behind the others, or left on disk where others are
    /// before it there or its channel's share is full.
    pub fn arrive(&mut self, pending: PendingSend) {
        if self.knows(pending.row.message) {
            return;
        }
        let name = &pending.view.channel;
        let channel = channel(&mut self.channels, &self.settings, name, self.channels_on_disk);
        if let Coverage::Reading { meanwhile, .. } = &mut channel.coverage
            && meanwhile.len() < ROWS_AT_ONCE
        {
            return meanwhile.push(pending);
        }
        let name = Arc::clone(name);
        if self.has_capacity(&name) {
            self.push(pending, false);
        } else {
            self.leave_on_disk(&name, pending.place());
        }
    }

    /// Puts a message before the others of its conversation, not to go before `at`; on disk it is
    /// queued again at its own place. A paused channel leaves it there.
    pub fn put_back(&mut self, pending: PendingSend, at: Timestamp, now: Timestamp) {
        let (id, message, name) = (pending.row.conversation, pending.row.message, Arc::clone(&pending.view.channel));
        if pending.row.body.is_message() {
            let conversation = conversation(&mut self.conversations, &self.settings, &pending);
            conversation.not_before = conversation.not_before.max(at);
        }
        if self.channels.get(&name).is_some_and(|channel| channel.paused_until > now) {
            self.forget(message);
            self.leave_on_disk(&name, pending.place());
        } else {
            self.push(pending, true);
        }
        self.unblock(id, message, now);
    }

    fn push(&mut self, pending: PendingSend, first: bool) {
        self.known.insert(pending.row.message);
        let channel = channel(&mut self.channels, &self.settings, &pending.view.channel, self.channels_on_disk);
        let bytes = pending.row.body.json_bytes();
        channel.rows += 1;
        channel.bytes += bytes;
        if !pending.row.body.is_message() {
            return channel.unordered.push_back(WaitingSend { pending, bytes });
        }
        let id = pending.row.conversation;
        let conversation = conversation(&mut self.conversations, &self.settings, &pending);
        let waiting = WaitingSend { pending, bytes };
        if first {
            conversation.waiting.push_front(waiting)
        } else {
            conversation.waiting.push_back(waiting)
        }
        if conversation.blocked_by.is_none() && !std::mem::replace(&mut conversation.is_listed, true) {
            channel.ready.push_back(id);
        }
    }

    /// Puts in flight what may go now, `most` at most.
    pub fn start(&mut self, now: Timestamp, most: usize) -> Vec<PendingSend> {
        while let Some((at, conversation)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, conversation));
            self.list(conversation, now);
        }
        let mut started = Vec::new();
        for channel in self.channels.values_mut() {
            while started.len() < most && channel.may_send(&self.settings, now) {
                let waiting = match channel.unordered.pop_front() {
                    Some(waiting) => waiting,
                    None => match next_of(channel, &mut self.conversations, &mut self.by_time, now) {
                        Some(waiting) => waiting,
                        None => break,
                    },
                };
                channel.take(&waiting.pending.row, now);
                channel.rows -= 1;
                channel.bytes -= waiting.bytes;
                self.in_flight += 1;
                started.push(waiting.pending);
            }
        }
        started
    }

    /// A conversation was merged into another: what the other sends from now on goes after what
    /// waits here.
    pub fn join(&mut self, gone: ConversationId, kept: ConversationId, now: Timestamp) {
        let Some(channel) = self.conversations.get(&gone).map(|gone| Arc::clone(&gone.channel)) else { return };
        let settings = &self.settings;
        let kept_queue = self.conversations.entry(kept).or_insert_with(|| ConversationQueue::new(settings, &channel));
        kept_queue.after = Some(gone);
        self.by_time.insert((now.plus_ms(COOLING_MS), kept));
    }

    /// When something in memory may be started that may not be now, or a channel may be read.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let with_work = self.channels.values().filter(|channel| channel.rows > 0 || channel.is_behind());
        let free = with_work.filter_map(|channel| {
            let free = if channel.rows > 0 { channel.bucket.next_free(now) } else { now };
            Some(channel.paused_until.max(free)).filter(|at| *at > now)
        });
        free.chain(self.by_time.first().map(|(at, _)| *at)).min()
    }

    /// A message is no longer in flight.
    pub fn send_ended(&mut self, channel: &Arc<str>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.in_flight = channel.in_flight.saturating_sub(1);
        }
    }

    /// The other messages of the conversation wait for this one no longer.
    pub fn unblock(&mut self, id: ConversationId, message: MessageId, now: Timestamp) {
        let blocked = self.conversations.get_mut(&id).filter(|conversation| conversation.blocked_by == Some(message));
        if let Some(conversation) = blocked {
            conversation.blocked_by = None;
            self.list(id, now);
        }
    }

    /// The message is settled, or waits on disk.
    pub fn forget(&mut self, message: MessageId) {
        self.known.remove(&message);
    }

    /// A send went through: the channel works, unless only a receipt can show that. Returns whether
    /// all channels of its app had been stopped with it, which then work too
    /// ([`Self::app_recovered`]).
    pub fn succeeded(&mut self, pending: &PendingSend, now: Timestamp) -> bool {
        let name = &pending.view.channel;
        let failing = |channel: &&mut ChannelQueue| channel.failures > 0 || channel.stopped.is_some();
        let Some(channel) = self.channels.get_mut(name).filter(failing) else { return false };
        if channel.trials.is_some() {
            if pending.row.body.is_message() {
                channel.paused_until = channel.paused_until.max(now.plus_ms(STOPPED_PAUSE_MS));
                self.release_memory(name);
            }
            return false;
        }
        let with_app = channel.with_app;
        channel.resume();
        with_app
    }

    /// The reason for which an app was stopped is gone, also for a channel that has nothing to
    /// send.
    pub fn app_recovered(&mut self, channel: &Arc<str>) {
        if let Some(channel) = self.channels.get_mut(channel).filter(|channel| channel.with_app) {
            channel.resume();
        }
    }

    /// Receipts came for messages that were sent or delivered. Returns the channels that work
    /// again, and whether all of their app had been stopped.
    pub fn trials_succeeded(&mut self, messages: &[MessageId]) -> Vec<(Arc<str>, bool)> {
        let mut recovered = Vec::new();
        for (name, channel) in &mut self.channels {
            if channel.trials.as_ref().is_some_and(|trials| trials.iter().any(|trial| messages.contains(trial))) {
                recovered.push((Arc::clone(name), channel.with_app));
                channel.resume();
            }
        }
        recovered
    }

    /// Pauses a channel because of a receipt, or all channels of its app where `with_app` is set.
    /// Returns for how long, in milliseconds; `None` where it paused for this reason already: many
    /// receipts may report one problem.
    pub fn pause_by_receipt(
        &mut self,
        name: &Arc<str>,
        pause: &ChannelPause,
        with_app: bool,
        now: Timestamp,
    ) -> Option<i64> {
        let is_stop = matches!(pause, ChannelPause::Stopped(_));
        let (ChannelPause::Stopped(problem) | ChannelPause::Short(problem)) = pause;
        let known = self.channels.get(name).filter(|channel| channel.paused_until > now);
        if known
            .is_some_and(|channel| !is_stop || channel.stopped.as_ref().is_some_and(|stop| stop.code == problem.code))
        {
            return None;
        }
        let pause_ms = if with_app { self.pause_with_app(name, pause, now) } else { self.pause(name, pause, now) };
        if let (true, Some(channel)) = (is_stop, self.channels.get_mut(name)) {
            channel.trials = Some(Vec::new());
        }
        Some(pause_ms)
    }

    /// The recipient gets too much: their conversation waits.
    pub fn slow(&mut self, id: ConversationId, channel: &Arc<str>, until: Timestamp, now: Timestamp) {
        let settings = &self.settings;
        let conversation = self.conversations.entry(id).or_insert_with(|| ConversationQueue::new(settings, channel));
        conversation.not_before = conversation.not_before.max(until);
        self.list(id, now);
    }

    /// [`Self::pause`] for a reason of the app's.
    pub fn pause_with_app(&mut self, name: &Arc<str>, pause: &ChannelPause, now: Timestamp) -> i64 {
        let pause_ms = self.pause(name, pause, now);
        if let (ChannelPause::Stopped(_), Some(channel)) = (pause, self.channels.get_mut(name)) {
            channel.with_app = true;
        }
        pause_ms
    }

    /// Pauses a channel; what waits goes back to disk. Returns for how long, in milliseconds.
    pub fn pause(&mut self, name: &Arc<str>, pause: &ChannelPause, now: Timestamp) -> i64 {
        let channel = channel(&mut self.channels, &self.settings, name, self.channels_on_disk);
        let pause_ms = match pause {
            ChannelPause::Stopped(problem) => {
                (channel.stopped, channel.with_app) = (Some(problem.clone()), false);
                STOPPED_PAUSE_MS
            }
            ChannelPause::Short(_) => {
                let nth = usize::try_from(channel.failures).unwrap_or(usize::MAX);
                FAILURE_PAUSES_MS.get(nth).or(FAILURE_PAUSES_MS.last()).copied().unwrap_or(STOPPED_PAUSE_MS)
            }
        };
        channel.failures = channel.failures.saturating_add(1);
        channel.paused_until = channel.paused_until.max(now.plus_ms(pause_ms));
        if pause_ms > 0 {
            self.release_memory(name);
        }
        pause_ms
    }

    /// Leaves all that waits for a channel to the disk.
    fn release_memory(&mut self, name: &Arc<str>) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.coverage = Coverage::UpTo(OutboxPlace::START);
        if channel.rows == 0 {
            return;
        }
        (channel.rows, channel.bytes) = (0, 0);
        channel.ready.clear();
        let known = &mut self.known;
        channel.unordered.drain(..).for_each(|waiting| _ = known.remove(&waiting.pending.row.message));
        for conversation in self.conversations.values_mut().filter(|conversation| conversation.channel == *name) {
            conversation.is_listed = false;
            conversation.waiting.drain(..).for_each(|waiting| _ = known.remove(&waiting.pending.row.message));
        }
    }

    /// Lists a conversation with its channel if it has something to send, or forgets it if it may
    /// be.
    fn list(&mut self, id: ConversationId, now: Timestamp) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.blocked_by.is_some() || conversation.is_listed {
            return;
        }
        if !conversation.waiting.is_empty() {
            conversation.is_listed = true;
            let name = Arc::clone(&conversation.channel);
            channel(&mut self.channels, &self.settings, &name, self.channels_on_disk).ready.push_back(id);
        } else if conversation.pair.is_idle(now) && conversation.not_before <= now {
            self.conversations.remove(&id);
        } else {
            self.by_time.insert((now.plus_ms(COOLING_MS), id));
        }
    }
}

/// What is on disk.
impl Queue {
    /// Whether the channels with rows on disk have to be looked up; [`Queue::take_channels`]
    /// follows.
    pub fn begin_lookup(&mut self) -> bool {
        let is_unknown = self.channels_on_disk != ChannelsOnDisk::Known;
        if is_unknown {
            self.channels_on_disk = ChannelsOnDisk::Reading;
        }
        is_unknown
    }

    /// Reads every channel from its start, because rows on disk changed that are not in memory.
    pub fn rescan(&mut self) {
        self.channels_on_disk = ChannelsOnDisk::Unknown;
        for channel in self.channels.values_mut() {
            channel.coverage = Coverage::UpTo(OutboxPlace::START);
        }
    }

    /// These channels have rows on disk, and so may those that are in memory; others have none,
    /// unless there was a rescan since they were looked up.
    pub fn take_channels(&mut self, names: Vec<String>) {
        for name in names {
            channel(&mut self.channels, &self.settings, &name.into(), ChannelsOnDisk::Unknown);
        }
        if self.channels_on_disk == ChannelsOnDisk::Reading {
            self.channels_on_disk = ChannelsOnDisk::Known;
        }
    }

    /// A row waits on disk at this place.
    fn leave_on_disk(&mut self, name: &Arc<str>, place: OutboxPlace) {
        let channel = channel(&mut self.channels, &self.settings, name, self.channels_on_disk);
        let before = place.before();
        match &mut channel.coverage {
            Coverage::Whole => channel.coverage = Coverage::UpTo(before),
            Coverage::UpTo(after) => *after = before.min(*after),
            Coverage::Reading { again, .. } => *again = Some(again.map_or(before, |again| again.min(before))),
        }
    }

    /// A row waits on disk until then, in civil time. It is on disk.
    pub fn defer(&mut self, name: &Arc<str>, message: MessageId, due_at: Timestamp) {
        let channel = channel(&mut self.channels, &self.settings, name, self.channels_on_disk);
        channel.is_due_at(due_at);
        if !matches!(channel.coverage, Coverage::Whole) {
            self.leave_on_disk(name, OutboxPlace { due_at, message });
        }
    }

    /// When the next row is due on disk that is not yet, in civil time.
    pub fn next_due(&self) -> Option<Timestamp> {
        let whole = self.channels.values().filter(|channel| matches!(channel.coverage, Coverage::Whole));
        whole.filter_map(|channel| channel.next_due).min()
    }

    /// What to read next, if a channel has rows on disk that are due and capacity for them;
    /// channels take turns. `civil`: the civil time.
    pub fn next_read(&mut self, now: Timestamp, civil: Timestamp) -> Option<ReadRequest> {
        for channel in self.channels.values_mut().filter(|channel| matches!(channel.coverage, Coverage::Whole)) {
            let is_due = |at: &Timestamp| *at <= civil || at.since_ms(civil) > LONGEST_DEFERRAL_MS;
            if let Some(due_at) = channel.next_due.take_if(|at| is_due(at)) {
                let first = OutboxPlace { due_at, message: MessageId(0) };
                channel.coverage = Coverage::UpTo(first.before());
            }
        }
        let names = self.channels.iter().filter(|(_, channel)| channel.is_behind() && channel.paused_until <= now);
        let readable = names.filter_map(|(name, channel)| {
            let (rows, bytes) = self.share(channel);
            // Read again when half of the rows are gone, in one read.
            let is_low = channel.rows <= rows / 2 && channel.bytes <= bytes / 2;
            is_low.then(|| (channel.last_read, name, rows - channel.rows, bytes - channel.bytes))
        });
        let (_, name, rows, bytes) = readable.min_by_key(|(last_read, ..)| *last_read)?;
        let name = Arc::clone(name);
        let channel = self.channels.get_mut(&name)?;
        self.reads += 1;
        channel.last_read = self.reads;
        let Coverage::UpTo(after) = channel.coverage else { return None };
        channel.coverage = Coverage::Reading { after, meanwhile: Vec::new(), again: None };
        Some(ReadRequest { channel: name, after, rows: rows.min(ROWS_AT_ONCE), bytes })
    }

    /// Takes in what was read. It is dropped where the channel was paused or rescanned meanwhile.
    pub fn take_in(&mut self, request: &ReadRequest, read: ReadRows) {
        let Some(channel) = self.channels.get_mut(&request.channel) else { return };
        if let Some(next_due) = read.next_due {
            channel.is_due_at(next_due);
        }
        let (meanwhile, again) = match std::mem::replace(&mut channel.coverage, Coverage::Whole) {
            Coverage::Reading { meanwhile, again, .. } => (meanwhile, again),
            other => return channel.coverage = other,
        };
        for pending in read.rows {
            if !self.knows(pending.row.message) {
                self.push(pending, false);
            }
        }
        if !read.is_end || again.is_some() {
            let left = meanwhile.iter().map(|pending| pending.place().before()).chain(again);
            let after = left.chain([read.last.unwrap_or(request.after)]).min().unwrap_or(request.after);
            self.set_coverage(&request.channel, Coverage::UpTo(after));
        } else {
            meanwhile.into_iter().for_each(|pending| self.arrive(pending));
        }
    }

    /// The disk could not be read: it is read again.
    pub fn read_failed(&mut self, request: &ReadRequest) {
        let Some(channel) = self.channels.get_mut(&request.channel) else { return };
        if let Coverage::Reading { after, meanwhile, again } = &channel.coverage {
            let left = meanwhile.iter().map(|pending| pending.place().before()).chain(*again);
            let after = left.chain([*after]).min().unwrap_or(OutboxPlace::START);
            channel.coverage = Coverage::UpTo(after);
        }
    }

    fn set_coverage(&mut self, name: &Arc<str>, coverage: Coverage) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.coverage = coverage;
        }
    }

    /// Whether a new row of this channel goes to memory.
    fn has_capacity(&self, name: &Arc<str>) -> bool {
        self.channels.get(name).is_some_and(|channel| {
            let (rows, bytes) = self.share(channel);
            matches!(channel.coverage, Coverage::Whole) && channel.rows < rows && channel.bytes < bytes
        })
    }

    /// The most rows and bytes of a channel in memory.
    fn share(&self, channel: &ChannelQueue) -> (usize, usize) {
        let channels = self.channels.len().max(1);
        let rows = (MEMORY_ROWS / channels).max(LEAST_ROWS);
        let bytes = (MEMORY_BYTES / channels).max(LEAST_BYTES);
        // A channel that fails is tried with one message at a time.
        (if channel.failures > 0 { FAILING_ROWS } else { rows }, bytes)
    }
}

/// Whether a conversation has to wait for one that was merged into it.
fn is_after_merged(conversations: &HashMap<ConversationId, ConversationQueue>, id: ConversationId) -> bool {
    let merged = conversations.get(&id).and_then(|conversation| conversations.get(&conversation.after?));
    merged.is_some_and(|merged| merged.blocked_by.is_some() || !merged.waiting.is_empty())
}

/// The first message of the first listed conversation that may go.
fn next_of(
    channel: &mut ChannelQueue,
    conversations: &mut HashMap<ConversationId, ConversationQueue>,
    by_time: &mut BTreeSet<(Timestamp, ConversationId)>,
    now: Timestamp,
) -> Option<WaitingSend> {
    while let Some(id) = channel.ready.pop_front() {
        let is_after_merged = is_after_merged(conversations, id);
        let Some(conversation) = conversations.get_mut(&id) else { continue };
        conversation.is_listed = false;
        if is_after_merged {
            by_time.insert((now.plus_ms(MERGED_MS), id));
            continue;
        }
        conversation.after = None;
        if conversation.blocked_by.is_some() || conversation.waiting.is_empty() {
            continue;
        }
        let free = conversation.next_free(now);
        if free > now {
            by_time.insert((free, id));
            continue;
        }
        let waiting = conversation.waiting.pop_front()?;
        conversation.blocked_by = Some(waiting.pending.row.message);
        conversation.pair.take(now);
        return Some(waiting);
    }
    None
}

fn channel<'a>(
    channels: &'a mut HashMap<Arc<str>, ChannelQueue>,
    settings: &Settings,
    name: &Arc<str>,
    on_disk: ChannelsOnDisk,
) -> &'a mut ChannelQueue {
    channels.entry(Arc::clone(name)).or_insert_with(|| ChannelQueue {
        bucket: Throughput::new(settings.pace(name).messages_per_second),
        in_flight: 0,
        failures: 0,
        paused_until: Timestamp(i64::MIN),
        stopped: None,
        with_app: false,
        trials: None,
        ready: VecDeque::new(),
        unordered: VecDeque::new(),
        rows: 0,
        bytes: 0,
        coverage: match on_disk {
            ChannelsOnDisk::Known => Coverage::Whole,
            ChannelsOnDisk::Unknown | ChannelsOnDisk::Reading => Coverage::UpTo(OutboxPlace::START),
        },
        next_due: None,
        last_read: 0,
    })
}

fn conversation<'a>(
    conversations: &'a mut HashMap<ConversationId, ConversationQueue>,
    settings: &Settings,
    pending: &PendingSend,
) -> &'a mut ConversationQueue {
    let new = || ConversationQueue::new(settings, &pending.view.channel);
    conversations.entry(pending.row.conversation).or_insert_with(new)
}

impl ChannelQueue {
    fn resume(&mut self) {
        (self.failures, self.stopped, self.with_app, self.trials) = (0, None, false, None);
        self.paused_until = Timestamp(i64::MIN);
    }

    fn may_send(&self, settings: &Settings, now: Timestamp) -> bool {
        // After a failure one at a time, until one succeeds.
        let most = if self.failures > 0 { 1 } else { settings.max_in_flight };
        self.in_flight < most && self.paused_until <= now && self.bucket.next_free(now) <= now
    }

    fn take(&mut self, row: &OutboxRow, now: Timestamp) {
        self.bucket.take(now);
        self.in_flight += 1;
        // Read marks and typing indicators have no receipts.
        if let Some(trials) = self.trials.as_mut().filter(|trials| row.body.is_message() && trials.len() < MAX_TRIALS) {
            trials.push(row.message);
        }
    }

    fn is_behind(&self) -> bool {
        matches!(self.coverage, Coverage::UpTo(_))
    }

    fn is_due_at(&mut self, at: Timestamp) {
        self.next_due = Some(self.next_due.map_or(at, |next| next.min(at)));
    }
}

impl ConversationQueue {
    fn new(settings: &Settings, channel: &Arc<str>) -> Self {
        let pace = settings.pace(channel);
        Self {
            channel: Arc::clone(channel),
            waiting: VecDeque::new(),
            blocked_by: None,
            pair: PairRate::new(pace.contact_seconds, pace.contact_burst),
            not_before: Timestamp(i64::MIN),
            is_listed: false,
            after: None,
        }
    }

    fn next_free(&self, now: Timestamp) -> Timestamp {
        self.not_before.max(self.pair.next_free(now))
    }
}
