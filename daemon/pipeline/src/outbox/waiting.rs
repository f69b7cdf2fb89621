//! What waits to leave, in memory: which message of which conversation may go now, and when to look again.
//!
//! A conversation's messages stand in a line and go one at a time, so that answers keep their order. A channel has a flow:
//! its throughput, its free slots, and whether it is paused. Lines whose first message could go are listed with their
//! flow and served in turn, so that a long line does not delay a short one. Reactions, read marks and typing stand in no
//! line.
//!
//! It is a data structure: it reads no clock, sends nothing and writes nothing. All of it is in the store as well; what
//! does not fit here stays there (see `pump`).

use super::judge::Pause;
use super::{Parcel, Settings};
use beadle_gate::pace::{PairRate, Throughput};
use beadle_model::event::Problem;
use beadle_model::{ConversationId, MessageId, Timestamp};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Pauses of a channel after the first, second, … failure in a row that says nothing of the message. The first costs
/// nothing but that one message at a time goes until one has succeeded; the last is short enough that a platform that is
/// back is used again within half a minute.
const STRIKE_PAUSES_MS: [i64; 6] = [0, 1000, 2000, 4000, 8000, 30_000];
/// A channel that a person has to see to is tried with one message this often, so that it goes on by itself once they did.
const STOPPED_PAUSE_MS: i64 = 60_000;
/// A line that is empty but whose contact was written to lately is looked at again after this, and forgotten if it may be.
const COOLING_MS: i64 = 60_000;

/// A line that waits for another is looked at again after this: it happens once in a contact's life.
const BEHIND_MS: i64 = 200;

/// What waits, and what is on its way.
pub(crate) struct Waiting {
    settings: Settings,
    flows: HashMap<Arc<str>, Flow>,
    lines: HashMap<ConversationId, Line>,
    /// Lines to look at again at a time.
    by_time: BTreeSet<(Timestamp, ConversationId)>,
    /// Everything that is here: waiting, on its way or in doubt. What the store offers again is recognised by it.
    known: HashSet<MessageId>,
    waiting: usize,
    on_their_way: usize,
}

struct Flow {
    bucket: Throughput,
    on_their_way: usize,
    /// Failures in a row.
    strikes: u32,
    paused_until: Timestamp,
    stopped: Option<Problem>,
    /// It was stopped with all channels of its app, for what is the app's.
    with_app: bool,
    ready: VecDeque<ConversationId>,
    loose: VecDeque<Parcel>,
}

struct Line {
    channel: Arc<str>,
    waiting: VecDeque<Parcel>,
    /// The message whose end the others wait for.
    busy: Option<MessageId>,
    pair: PairRate,
    not_before: Timestamp,
    listed: bool,
    /// Another conversation that became one with this: what waits there goes first.
    behind: Option<ConversationId>,
}

impl Waiting {
    pub fn new(settings: Settings) -> Self {
        let (flows, lines, by_time) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { settings, flows, lines, by_time, known: HashSet::new(), waiting: 0, on_their_way: 0 }
    }

    /// From now on these hold. What has filled up or run dry under a pace that did not change stays as it is.
    pub fn configure(&mut self, settings: Settings) {
        for (channel, flow) in &mut self.flows {
            let (before, after) = (self.settings.pace(channel), settings.pace(channel));
            if before.messages_per_second != after.messages_per_second {
                flow.bucket = Throughput::new(after.messages_per_second);
            }
        }
        for line in self.lines.values_mut() {
            let (before, after) = (self.settings.pace(&line.channel), settings.pace(&line.channel));
            if (before.contact_seconds, before.contact_burst) != (after.contact_seconds, after.contact_burst) {
                line.pair = PairRate::new(after.contact_seconds, after.contact_burst);
            }
        }
        self.settings = settings;
    }

    /// How many wait here.
    pub fn count(&self) -> usize {
        self.waiting
    }

    /// How many are on their way.
    pub fn on_their_way(&self) -> usize {
        self.on_their_way
    }

    pub fn knows(&self, message: MessageId) -> bool {
        self.known.contains(&message)
    }

    /// Channels that do not send for now, and why where a person has to see to it.
    pub fn paused(&self, now: Timestamp) -> Vec<(Arc<str>, Option<Problem>)> {
        let is_paused = |flow: &Flow| flow.stopped.is_some() || flow.paused_until > now;
        self.flows
            .iter()
            .filter(|(_, flow)| is_paused(flow))
            .map(|(name, flow)| (Arc::clone(name), flow.stopped.clone()))
            .collect()
    }

    /// Takes a slot for a message that has just been asked for, where nothing stands before it.
    pub fn take_now(&mut self, parcel: &Parcel, now: Timestamp) -> bool {
        let channel = Arc::clone(&parcel.view.channel);
        let flow = flow(&mut self.flows, &self.settings, &channel);
        if !flow.ready.is_empty() || !flow.loose.is_empty() || !flow.may_go(&self.settings, now) {
            return false;
        }
        if parcel.row.body.is_message() {
            if is_behind(&self.lines, parcel.row.conversation) {
                return false;
            }
            let line = line(&mut self.lines, &self.settings, parcel);
            if line.busy.is_some() || !line.waiting.is_empty() || line.next_free(now) > now {
                return false;
            }
            line.busy = Some(parcel.row.message);
            line.pair.take(now);
        }
        flow.take(now);
        self.on_their_way += 1;
        self.known.insert(parcel.row.message);
        true
    }

    /// Puts a message behind the others of its conversation.
    pub fn put(&mut self, parcel: Parcel) {
        self.insert(parcel, false);
    }

    /// Puts a message before the others of its conversation, not to go before `at`.
    pub fn put_first(&mut self, parcel: Parcel, at: Timestamp) {
        let conversation = parcel.row.conversation;
        let is_message = parcel.row.body.is_message();
        self.insert(parcel, true);
        if let Some(line) = self.lines.get_mut(&conversation).filter(|_| is_message) {
            line.not_before = line.not_before.max(at);
        }
    }

    fn insert(&mut self, parcel: Parcel, first: bool) {
        self.known.insert(parcel.row.message);
        self.waiting += 1;
        let channel = Arc::clone(&parcel.view.channel);
        let flow = flow(&mut self.flows, &self.settings, &channel);
        if !parcel.row.body.is_message() {
            return flow.loose.push_back(parcel);
        }
        let conversation = parcel.row.conversation;
        let line = line(&mut self.lines, &self.settings, &parcel);
        if first {
            line.waiting.push_front(parcel)
        } else {
            line.waiting.push_back(parcel)
        }
        if line.busy.is_none() && !std::mem::replace(&mut line.listed, true) {
            flow.ready.push_back(conversation);
        }
    }

    /// Everything that may go now, `most` at most; each has its slot.
    pub fn collect(&mut self, now: Timestamp, most: usize) -> Vec<Parcel> {
        while let Some((at, conversation)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, conversation));
            self.list(conversation, now);
        }
        let mut go = Vec::new();
        for flow in self.flows.values_mut() {
            while go.len() < most && flow.may_go(&self.settings, now) {
                let parcel = match flow.loose.pop_front() {
                    Some(parcel) => parcel,
                    None => match next_of(flow, &mut self.lines, &mut self.by_time, now) {
                        Some(parcel) => parcel,
                        None => break,
                    },
                };
                flow.take(now);
                self.waiting -= 1;
                self.on_their_way += 1;
                go.push(parcel);
            }
        }
        go
    }

    /// A conversation became one with another: what that one says from now on goes behind what waits here.
    pub fn join(&mut self, gone: ConversationId, kept: ConversationId, now: Timestamp) {
        let Some(channel) = self.lines.get(&gone).map(|line| Arc::clone(&line.channel)) else { return };
        let settings = &self.settings;
        self.lines.entry(kept).or_insert_with(|| Line::new(settings, &channel)).behind = Some(gone);
        self.by_time.insert((now.plus_ms(COOLING_MS), kept));
    }

    /// When there may be something to collect that there was not now.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let flows = self.flows.values().filter(|flow| !(flow.ready.is_empty() && flow.loose.is_empty()));
        let flows =
            flows.filter_map(|flow| Some(flow.paused_until.max(flow.bucket.next_free(now))).filter(|at| *at > now));
        flows.chain(self.by_time.first().map(|(at, _)| *at)).min()
    }

    /// A message is no longer on its way.
    pub fn free_slot(&mut self, channel: &Arc<str>) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        if let Some(flow) = self.flows.get_mut(channel) {
            flow.on_their_way = flow.on_their_way.saturating_sub(1);
        }
    }

    /// The others of its conversation need no longer wait for it.
    pub fn free_line(&mut self, conversation: ConversationId, message: MessageId, now: Timestamp) {
        if let Some(line) = self.lines.get_mut(&conversation).filter(|line| line.busy == Some(message)) {
            line.busy = None;
            self.list(conversation, now);
        }
    }

    /// It is not ours to keep any more.
    pub fn forget(&mut self, message: MessageId) {
        self.known.remove(&message);
    }

    /// A message went through: the channel works. Whether all channels of its app had been stopped with it: then they
    /// work too ([`Self::app_works`]).
    pub fn succeeded(&mut self, channel: &Arc<str>) -> bool {
        let Some(flow) = self.flows.get_mut(channel).filter(|flow| flow.strikes > 0 || flow.stopped.is_some()) else {
            return false;
        };
        let with_app = flow.with_app;
        flow.goes_on();
        with_app
    }

    /// What its app was stopped for is over, also for a channel that has nothing to send and so would not find out.
    pub fn app_works(&mut self, channel: &Arc<str>) {
        if let Some(flow) = self.flows.get_mut(channel).filter(|flow| flow.with_app) {
            flow.goes_on();
        }
    }

    /// [`Self::pause`], for what is not this channel's own.
    pub fn pause_with_app(&mut self, channel: &Arc<str>, pause: &Pause, now: Timestamp) -> i64 {
        let pause_ms = self.pause(channel, pause, now);
        if let (Pause::Stopped(_), Some(flow)) = (pause, self.flows.get_mut(channel)) {
            flow.with_app = true;
        }
        pause_ms
    }

    /// The channel waits. Returns for how long, in milliseconds.
    pub fn pause(&mut self, channel: &Arc<str>, pause: &Pause, now: Timestamp) -> i64 {
        let flow = flow(&mut self.flows, &self.settings, channel);
        let pause_ms = match pause {
            Pause::Stopped(problem) => {
                (flow.stopped, flow.with_app) = (Some(problem.clone()), false);
                STOPPED_PAUSE_MS
            }
            Pause::Short(_) => {
                let nth = usize::try_from(flow.strikes).unwrap_or(usize::MAX);
                STRIKE_PAUSES_MS.get(nth).or(STRIKE_PAUSES_MS.last()).copied().unwrap_or(STOPPED_PAUSE_MS)
            }
        };
        flow.strikes = flow.strikes.saturating_add(1);
        flow.paused_until = flow.paused_until.max(now.plus_ms(pause_ms));
        pause_ms
    }

    /// Lists a line with its flow if it has something to send, or forgets it if it may be.
    fn list(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(line) = self.lines.get_mut(&conversation) else { return };
        if line.busy.is_some() || line.listed {
            return;
        }
        if !line.waiting.is_empty() {
            line.listed = true;
            let channel = Arc::clone(&line.channel);
            flow(&mut self.flows, &self.settings, &channel).ready.push_back(conversation);
        } else if line.pair.is_idle(now) && line.not_before <= now {
            self.lines.remove(&conversation);
        } else {
            self.by_time.insert((now.plus_ms(COOLING_MS), conversation));
        }
    }
}

/// Whether a conversation has to wait for another that it became one with.
fn is_behind(lines: &HashMap<ConversationId, Line>, conversation: ConversationId) -> bool {
    let first = lines.get(&conversation).and_then(|line| lines.get(&line.behind?));
    first.is_some_and(|first| first.busy.is_some() || !first.waiting.is_empty())
}

/// The first message of the first listed line that may go.
fn next_of(
    flow: &mut Flow,
    lines: &mut HashMap<ConversationId, Line>,
    by_time: &mut BTreeSet<(Timestamp, ConversationId)>,
    now: Timestamp,
) -> Option<Parcel> {
    while let Some(conversation) = flow.ready.pop_front() {
        let is_behind = is_behind(lines, conversation);
        let Some(line) = lines.get_mut(&conversation) else { continue };
        line.listed = false;
        if is_behind {
            by_time.insert((now.plus_ms(BEHIND_MS), conversation));
            continue;
        }
        line.behind = None;
        if line.busy.is_some() || line.waiting.is_empty() {
            continue;
        }
        let free = line.next_free(now);
        if free > now {
            by_time.insert((free, conversation));
            continue;
        }
        let parcel = line.waiting.pop_front()?;
        line.busy = Some(parcel.row.message);
        line.pair.take(now);
        return Some(parcel);
    }
    None
}

fn flow<'a>(flows: &'a mut HashMap<Arc<str>, Flow>, settings: &Settings, channel: &Arc<str>) -> &'a mut Flow {
    flows.entry(Arc::clone(channel)).or_insert_with(|| Flow {
        bucket: Throughput::new(settings.pace(channel).messages_per_second),
        on_their_way: 0,
        strikes: 0,
        paused_until: Timestamp::default(),
        stopped: None,
        with_app: false,
        ready: VecDeque::new(),
        loose: VecDeque::new(),
    })
}

fn line<'a>(lines: &'a mut HashMap<ConversationId, Line>, settings: &Settings, parcel: &Parcel) -> &'a mut Line {
    lines.entry(parcel.row.conversation).or_insert_with(|| Line::new(settings, &parcel.view.channel))
}

impl Flow {
    fn goes_on(&mut self) {
        (self.strikes, self.stopped, self.with_app, self.paused_until) = (0, None, false, Timestamp::default());
    }

    fn may_go(&self, settings: &Settings, now: Timestamp) -> bool {
        // After a failure one at a time, until one has succeeded.
        let slots = if self.strikes > 0 { 1 } else { settings.max_in_flight };
        self.on_their_way < slots && self.paused_until <= now && self.bucket.next_free(now) <= now
    }

    fn take(&mut self, now: Timestamp) {
        self.bucket.take(now);
        self.on_their_way += 1;
    }
}

impl Line {
    fn new(settings: &Settings, channel: &Arc<str>) -> Self {
        let pace = settings.pace(channel);
        Self {
            channel: Arc::clone(channel),
            waiting: VecDeque::new(),
            busy: None,
            pair: PairRate::new(pace.contact_seconds, pace.contact_burst),
            not_before: Timestamp::default(),
            listed: false,
            behind: None,
        }
    }

    fn next_free(&self, now: Timestamp) -> Timestamp {
        self.not_before.max(self.pair.next_free(now))
    }
}
