//! The sends that wait in memory: which message of which conversation may go now, and when to look again.
//!
//! The messages of a conversation go one at a time, so that replies keep their order. A channel has a throughput, a limit
//! of requests in flight, and may be paused. Conversations whose first message could go are listed with their channel and
//! served in turn, so that a long queue does not delay a short one. Reactions, read marks and typing indicators have no
//! order.
//!
//! It is a data structure: it reads no clock, sends nothing and writes nothing. Everything in it is in the store as well;
//! what does not fit stays there (see `dispatcher`).

use super::classify::ChannelPause;
use super::settings::Settings;
use beadle_gate::pace::{PairRate, Throughput};
use beadle_model::event::Problem;
use beadle_model::{ConversationId, ConversationView, MessageId, Timestamp};
use beadle_store::step::OutboxRow;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Pauses of a channel after the first, second, … failure in a row that says nothing about the message. The first is no
/// pause, but one message at a time goes until one succeeds; the last is short enough that a platform that is back is
/// used within half a minute.
const FAILURE_PAUSES_MS: [i64; 6] = [0, 1000, 2000, 4000, 8000, 30_000];
/// A stopped channel is tried with one message this often, so that it goes on by itself once a person has acted.
const STOPPED_PAUSE_MS: i64 = 60_000;
/// Trials whose receipts are awaited: at one a minute those of half an hour. Later ones follow the first.
const MAX_TRIALS: usize = 32;
/// An empty conversation with a pair rate to pay back is looked at again after this, and forgotten when it may be.
const COOLING_MS: i64 = 60_000;
/// A clock that goes back by more than this was set, and waits that were counted on it are over; less is an adjustment.
const CLOCK_SET_BACK_MS: i64 = 1000;
/// A conversation that waits for the one it was merged with is looked at again after this: it happens once in a
/// contact's life.
const MERGED_MS: i64 = 200;

/// A row and its destination.
#[derive(Clone, Debug)]
pub(crate) struct PendingSend {
    pub row: OutboxRow,
    pub view: Arc<ConversationView>,
    /// When the gate checked it last.
    pub checked_at: Timestamp,
}

/// What waits, and what is in flight.
pub(crate) struct Queue {
    settings: Settings,
    channels: HashMap<Arc<str>, ChannelQueue>,
    conversations: HashMap<ConversationId, ConversationQueue>,
    /// Conversations to look at again at a time.
    by_time: BTreeSet<(Timestamp, ConversationId)>,
    /// Everything that is waiting, in flight or ambiguous; rows that the store offers again are recognised by it.
    known: HashSet<MessageId>,
    waiting: usize,
    in_flight: usize,
    /// The latest time seen.
    last_now: Timestamp,
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
    /// A receipt stopped it: an acceptance does not show that it works, only a receipt for one of these, sent since.
    trials: Option<Vec<MessageId>>,
    ready: VecDeque<ConversationId>,
    unordered: VecDeque<PendingSend>,
}

struct ConversationQueue {
    channel: Arc<str>,
    waiting: VecDeque<PendingSend>,
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
            waiting: 0,
            in_flight: 0,
            last_now: Timestamp(i64::MIN),
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

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
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

    /// Puts a new message in flight at once, where nothing is before it.
    pub fn start_now(&mut self, pending: &PendingSend, now: Timestamp) -> bool {
        let channel = channel(&mut self.channels, &self.settings, &pending.view.channel);
        if !channel.ready.is_empty() || !channel.unordered.is_empty() || !channel.may_send(&self.settings, now) {
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

    /// Puts a message behind the others of its conversation.
    pub fn push_back(&mut self, pending: PendingSend) {
        self.push(pending, false);
    }

    /// Puts a message before the others of its conversation, not to go before `at`.
    pub fn push_front(&mut self, pending: PendingSend, at: Timestamp) {
        let id = pending.row.conversation;
        let is_message = pending.row.body.is_message();
        self.push(pending, true);
        if let Some(conversation) = self.conversations.get_mut(&id).filter(|_| is_message) {
            conversation.not_before = conversation.not_before.max(at);
        }
    }

    fn push(&mut self, pending: PendingSend, first: bool) {
        self.known.insert(pending.row.message);
        self.waiting += 1;
        let channel = channel(&mut self.channels, &self.settings, &pending.view.channel);
        if !pending.row.body.is_message() {
            return channel.unordered.push_back(pending);
        }
        let id = pending.row.conversation;
        let conversation = conversation(&mut self.conversations, &self.settings, &pending);
        if first {
            conversation.waiting.push_front(pending)
        } else {
            conversation.waiting.push_back(pending)
        }
        if conversation.blocked_by.is_none() && !std::mem::replace(&mut conversation.is_listed, true) {
            channel.ready.push_back(id);
        }
    }

    /// Puts in flight what may go now, `most` at most.
    pub fn start(&mut self, now: Timestamp, most: usize) -> Vec<PendingSend> {
        self.follow_clock(now);
        while let Some((at, conversation)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, conversation));
            self.list(conversation, now);
        }
        let mut started = Vec::new();
        for channel in self.channels.values_mut() {
            while started.len() < most && channel.may_send(&self.settings, now) {
                let pending = match channel.unordered.pop_front() {
                    Some(pending) => pending,
                    None => match next_of(channel, &mut self.conversations, &mut self.by_time, now) {
                        Some(pending) => pending,
                        None => break,
                    },
                };
                channel.take(&pending.row, now);
                self.waiting -= 1;
                self.in_flight += 1;
                started.push(pending);
            }
        }
        started
    }

    /// Where the clock was set back, every wait that was counted on it would last until it has caught up: they are over.
    fn follow_clock(&mut self, now: Timestamp) {
        if self.last_now.as_ms().saturating_sub(now.as_ms()) > CLOCK_SET_BACK_MS {
            for channel in self.channels.values_mut() {
                channel.paused_until = channel.paused_until.min(now);
            }
            for conversation in self.conversations.values_mut() {
                conversation.not_before = conversation.not_before.min(now);
            }
            self.by_time = std::mem::take(&mut self.by_time).into_iter().map(|(at, id)| (at.min(now), id)).collect();
        }
        self.last_now = now;
    }

    /// A conversation was merged into another: what the other sends from now on goes after what waits here.
    pub fn join(&mut self, gone: ConversationId, kept: ConversationId, now: Timestamp) {
        let Some(channel) = self.conversations.get(&gone).map(|gone| Arc::clone(&gone.channel)) else { return };
        let settings = &self.settings;
        let kept_queue = self.conversations.entry(kept).or_insert_with(|| ConversationQueue::new(settings, &channel));
        kept_queue.after = Some(gone);
        self.by_time.insert((now.plus_ms(COOLING_MS), kept));
    }

    /// When something may be started that may not be now.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let with_work =
            self.channels.values().filter(|channel| !(channel.ready.is_empty() && channel.unordered.is_empty()));
        let free = with_work
            .filter_map(|channel| Some(channel.paused_until.max(channel.bucket.next_free(now))).filter(|at| *at > now));
        free.chain(self.by_time.first().map(|(at, _)| *at)).min()
    }

    /// A message is no longer in flight.
    pub fn landed(&mut self, channel: &Arc<str>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.in_flight = channel.in_flight.saturating_sub(1);
        }
    }

    /// The other messages of the conversation wait for this one no longer.
    pub fn unblock(&mut self, id: ConversationId, message: MessageId, now: Timestamp) {
        let blocked = self.conversations.get_mut(&id).filter(|it| it.blocked_by == Some(message));
        if let Some(conversation) = blocked {
            conversation.blocked_by = None;
            self.list(id, now);
        }
    }

    /// The message is settled, or waits on disk.
    pub fn forget(&mut self, message: MessageId) {
        self.known.remove(&message);
    }

    /// A send went through: the channel works, unless only a receipt can show that. Returns whether all channels of its app had been stopped with it, which
    /// then work too ([`Self::app_recovered`]).
    pub fn succeeded(&mut self, pending: &PendingSend, now: Timestamp) -> bool {
        let failing = |channel: &&mut ChannelQueue| channel.failures > 0 || channel.stopped.is_some();
        let Some(channel) = self.channels.get_mut(&pending.view.channel).filter(failing) else { return false };
        if channel.trials.is_some() {
            if pending.row.body.is_message() {
                channel.paused_until = channel.paused_until.max(now.plus_ms(STOPPED_PAUSE_MS));
            }
            return false;
        }
        let with_app = channel.with_app;
        channel.resume();
        with_app
    }

    /// The reason for which an app was stopped is gone, also for a channel that has nothing to send.
    pub fn app_recovered(&mut self, channel: &Arc<str>) {
        if let Some(channel) = self.channels.get_mut(channel).filter(|channel| channel.with_app) {
            channel.resume();
        }
    }

    /// Receipts came for messages that were sent or delivered. Returns the channels that work again, and whether all of
    /// their app had been stopped.
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

    /// Pauses a channel because of a receipt, or all channels of its app where `with_app` is set. Returns for how long, in
    /// milliseconds; `None` where it paused for this reason already: many receipts may report one problem.
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
        if known.is_some_and(|channel| !is_stop || channel.stopped.as_ref().is_some_and(|it| it.code == problem.code)) {
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

    /// Pauses a channel. Returns for how long, in milliseconds.
    pub fn pause(&mut self, name: &Arc<str>, pause: &ChannelPause, now: Timestamp) -> i64 {
        let channel = channel(&mut self.channels, &self.settings, name);
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
        pause_ms
    }

    /// Lists a conversation with its channel if it has something to send, or forgets it if it may be.
    fn list(&mut self, id: ConversationId, now: Timestamp) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.blocked_by.is_some() || conversation.is_listed {
            return;
        }
        if !conversation.waiting.is_empty() {
            conversation.is_listed = true;
            let name = Arc::clone(&conversation.channel);
            channel(&mut self.channels, &self.settings, &name).ready.push_back(id);
        } else if conversation.pair.is_idle(now) && conversation.not_before <= now {
            self.conversations.remove(&id);
        } else {
            self.by_time.insert((now.plus_ms(COOLING_MS), id));
        }
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
) -> Option<PendingSend> {
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
        let pending = conversation.waiting.pop_front()?;
        conversation.blocked_by = Some(pending.row.message);
        conversation.pair.take(now);
        return Some(pending);
    }
    None
}

fn channel<'a>(
    channels: &'a mut HashMap<Arc<str>, ChannelQueue>,
    settings: &Settings,
    name: &Arc<str>,
) -> &'a mut ChannelQueue {
    channels.entry(Arc::clone(name)).or_insert_with(|| ChannelQueue {
        bucket: Throughput::new(settings.pace(name).messages_per_second),
        in_flight: 0,
        failures: 0,
        paused_until: Timestamp::default(),
        stopped: None,
        with_app: false,
        trials: None,
        ready: VecDeque::new(),
        unordered: VecDeque::new(),
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
        self.paused_until = Timestamp::default();
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
}

impl ConversationQueue {
    fn new(settings: &Settings, channel: &Arc<str>) -> Self {
        let pace = settings.pace(channel);
        Self {
            channel: Arc::clone(channel),
            waiting: VecDeque::new(),
            blocked_by: None,
            pair: PairRate::new(pace.contact_seconds, pace.contact_burst),
            not_before: Timestamp::default(),
            is_listed: false,
            after: None,
        }
    }

    fn next_free(&self, now: Timestamp) -> Timestamp {
        self.not_before.max(self.pair.next_free(now))
    }
}
