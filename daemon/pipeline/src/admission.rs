//! Admission: how many events, with how many bytes, are in flight, and how much of that one
//! conversation or one plugin may have.
//!
//! An event in flight holds a ticket until every subscriber is done with it. Tickets bound memory:
//! when all are out the feed is not read, and new events wait on disk. With that alone, one
//! conversation that writes faster than its plugins answer, or one slow plugin, would soon hold
//! every ticket. So each lane has a share, and so has each plugin of a chain. What comes beyond a
//! share is *deferred*: only its number is kept, in its lane's order, and it is read again from
//! disk when its turn comes.
//!
//! The lowest event that is in flight or deferred is the watermark: everything below it is
//! finished, and a start after a crash looks no further back.

use crate::lane::LaneKey;
use beadle_clock::{Clock, WorkGuard};
use beadle_model::{EventId, PluginNo};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// Events in flight. At 20,000 a second and 10 ms each it takes 200; the rest is for lanes that
/// wait for a guard. An event costs about 2 KiB.
const IN_FLIGHT: usize = 8192;
/// The bytes of their bodies. The usual event has 1 KiB, but a webhook of 3 MB may be one event. It
/// is exceeded by what is read from the feed at once.
const IN_FLIGHT_BYTES: usize = 32 << 20;
const ALL: Amount = Amount { events: IN_FLIGHT, bytes: IN_FLIGHT_BYTES };
/// … of one lane: more than a person writes, and deferred events only wait on disk instead of in
/// memory.
const OF_A_LANE: Amount = Amount { events: 256, bytes: IN_FLIGHT_BYTES / 8 };
/// … whose chain contains one plugin, leaving the other half to events without it.
const OF_A_PLUGIN: Amount = Amount { events: IN_FLIGHT / 2, bytes: IN_FLIGHT_BYTES / 2 };
/// … that only wait for observers, all observers together.
pub(crate) const OF_OBSERVERS: Amount = Amount { events: IN_FLIGHT / 2, bytes: IN_FLIGHT_BYTES / 2 };
/// Deferred events: their numbers take about 16 MiB. Beyond that the feed is not read.
const DEFERRED: usize = 262_144;

/// A number of events, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub events: usize,
    pub bytes: usize,
}

impl Amount {
    /// Whether it takes no other event. The last one may exceed the bytes, so that each gets its
    /// turn.
    pub fn is_full(self, most: Amount) -> bool {
        self.events >= most.events || self.bytes >= most.bytes
    }

    /// One more event.
    pub fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    /// One event less.
    pub fn remove(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The shares. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Shared>);

struct Shared {
    state: Mutex<Shares>,
    /// Notified when an event that had to wait may be in flight.
    freed: Notify,
    clock: Clock,
}

#[derive(Default)]
struct Shares {
    /// In flight or deferred.
    open: BTreeSet<EventId>,
    in_flight: Amount,
    deferred: usize,
    lanes: HashMap<LaneKey, LaneShare>,
    plugins: HashMap<PluginNo, PluginShare>,
    /// Lanes whose first deferred event may be in flight.
    ready: VecDeque<LaneKey>,
    /// Held while there are some, so that a virtual clock waits until they are taken.
    to_take: Option<WorkGuard>,
}

#[derive(Default)]
struct LaneShare {
    in_flight: Amount,
    deferred: VecDeque<Deferred>,
    /// It is in `ready`, or in the line of a plugin.
    is_lined_up: bool,
}

#[derive(Clone)]
struct Deferred {
    event: EventId,
    bytes: usize,
    chain: Arc<[PluginNo]>,
}

#[derive(Default)]
struct PluginShare {
    in_flight: Amount,
    /// Lanes whose first deferred event waits for this plugin.
    lanes: VecDeque<LaneKey>,
}

/// Held by an event in flight.
pub(crate) struct Ticket {
    admission: Admission,
    event: EventId,
    /// Of its body.
    bytes: usize,
    /// Until its chain has ended: its lane, and the plugins of its chain.
    chain: Mutex<Option<(LaneKey, Arc<[PluginNo]>)>>,
}

impl Admission {
    /// Nothing is in flight.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), freed: Notify::new(), clock }))
    }

    fn state(&self) -> MutexGuard<'_, Shares> {
        self.0.state.lock()
    }

    /// Events in flight, and deferred events.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.in_flight.events, state.deferred)
    }

    /// The lowest event that is in flight or deferred.
    pub fn lowest(&self) -> Option<EventId> {
        self.state().open.first().copied()
    }

    /// How many events may be read from the feed.
    pub fn left(&self) -> usize {
        let state = self.state();
        let is_full = state.deferred >= DEFERRED || state.in_flight.is_full(ALL);
        if is_full { 0 } else { IN_FLIGHT.saturating_sub(state.in_flight.events) }
    }

    /// Returns when the feed or deferred events can go on.
    pub async fn capacity_freed(&self) {
        self.0.freed.notified().await;
    }

    /// A ticket for an event of the feed, which come in the order of their numbers; `None`: it is
    /// deferred. `bytes`: the size of its body.
    pub fn admit(&self, event: EventId, bytes: usize, lane: LaneKey, chain: Arc<[PluginNo]>) -> Option<Ticket> {
        let mut state = self.state();
        state.open.insert(event);
        let is_first = state.lanes.get(&lane).is_none_or(|lane| lane.deferred.is_empty());
        if is_first && state.check_shares(lane, &chain).is_ok() {
            return Some(self.ticket(&mut state, lane, Deferred { event, bytes, chain }));
        }
        state.deferred += 1;
        state.lanes.entry(lane).or_default().deferred.push_back(Deferred { event, bytes, chain });
        if is_first {
            state.line_up(lane);
        }
        None
    }

    /// Deferred events that may be in flight now, at most `most`; each is to be read again.
    pub fn next_ready(&self, most: usize) -> (Vec<Ticket>, Option<WorkGuard>) {
        let mut state = self.state();
        let mut tickets = Vec::new();
        while tickets.len() < most
            && !state.in_flight.is_full(ALL)
            && let Some(lane) = state.ready.pop_front()
        {
            let Some(share) = state.lanes.get_mut(&lane) else { continue };
            share.is_lined_up = false;
            let Some(next) = share.deferred.front().cloned() else { continue };
            if state.check_shares(lane, &next.chain).is_ok() {
                state.deferred -= 1;
                if let Some(share) = state.lanes.get_mut(&lane) {
                    share.deferred.pop_front();
                }
                tickets.push(self.ticket(&mut state, lane, next));
            }
            // The lane's next event has its turn after the other lanes.
            state.line_up(lane);
        }
        let work = if state.ready.is_empty() { state.to_take.take() } else { None };
        (tickets, work)
    }

    fn ticket(&self, state: &mut Shares, lane: LaneKey, Deferred { event, bytes, chain }: Deferred) -> Ticket {
        state.in_flight.add(bytes);
        state.lanes.entry(lane).or_default().in_flight.add(bytes);
        for plugin in chain.iter() {
            state.plugins.entry(*plugin).or_default().in_flight.add(bytes);
        }
        Ticket { admission: self.clone(), event, bytes, chain: Mutex::new(Some((lane, chain))) }
    }

    fn chain_ended(&self, bytes: usize, lane: LaneKey, chain: &[PluginNo]) {
        let mut state = self.state();
        if let Some(share) = state.lanes.get_mut(&lane) {
            share.in_flight.remove(bytes);
            if share.in_flight.events == 0 && share.deferred.is_empty() {
                state.lanes.remove(&lane);
            }
        }
        for plugin in chain {
            if let Some(share) = state.plugins.get_mut(plugin) {
                share.in_flight.remove(bytes);
            }
            // The first lane in its line that needs nothing else.
            while let Some(next) = state.plugins.get_mut(plugin).and_then(|share| share.lanes.pop_front()) {
                if let Some(share) = state.lanes.get_mut(&next) {
                    share.is_lined_up = false;
                }
                if state.line_up(next) {
                    break;
                }
            }
            state.plugins.retain(|no, share| no != plugin || share.in_flight.events > 0 || !share.lanes.is_empty());
        }
        state.line_up(lane);
        self.notify(state);
    }

    /// Wakes the dispatcher where a lane is ready.
    fn notify(&self, mut state: MutexGuard<'_, Shares>) {
        if !state.ready.is_empty() {
            state.to_take.get_or_insert_with(|| self.0.clock.work());
            drop(state);
            self.0.freed.notify_one();
        }
    }
}

impl Shares {
    /// Whether one more event of this lane and for these plugins may be in flight; else the plugin
    /// whose share is full, or `None` for the lane's.
    fn check_shares(&self, lane: LaneKey, chain: &[PluginNo]) -> Result<(), Option<PluginNo>> {
        if self.lanes.get(&lane).is_some_and(|lane| lane.in_flight.is_full(OF_A_LANE)) {
            return Err(None);
        }
        let is_full =
            |plugin: &&PluginNo| self.plugins.get(plugin).is_some_and(|share| share.in_flight.is_full(OF_A_PLUGIN));
        chain.iter().find(is_full).map_or(Ok(()), |plugin| Err(Some(*plugin)))
    }

    /// Puts a lane with deferred events where it is found when its first one may be in flight: in
    /// `ready` (returns `true`), in the line of the plugin whose share is full, or nowhere where
    /// its own share is full and it comes back by itself.
    fn line_up(&mut self, lane: LaneKey) -> bool {
        let Some(share) = self.lanes.get(&lane).filter(|lane| !lane.is_lined_up) else { return false };
        let Some(next) = share.deferred.front() else { return false };
        let checked = self.check_shares(lane, &next.chain);
        let line = match checked {
            Ok(()) => &mut self.ready,
            Err(Some(plugin)) => &mut self.plugins.entry(plugin).or_default().lanes,
            Err(None) => return false,
        };
        line.push_back(lane);
        if let Some(share) = self.lanes.get_mut(&lane) {
            share.is_lined_up = true;
        }
        checked.is_ok()
    }
}

impl Ticket {
    /// The event that holds it.
    pub fn event(&self) -> EventId {
        self.event
    }

    /// The size of its body.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The event's chain has ended: its lane and the plugins of its chain can take others.
    pub fn chain_ended(&self) {
        let chain = self.chain.lock().take();
        if let Some((lane, chain)) = chain {
            self.admission.chain_ended(self.bytes, lane, &chain);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.chain_ended();
        let mut state = self.admission.state();
        if !state.open.remove(&self.event) {
            return;
        }
        let was_full = state.in_flight.is_full(ALL);
        state.in_flight.remove(self.bytes);
        if was_full {
            self.admission.0.freed.notify_one();
        }
        self.admission.notify(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_model::ConversationId;
    use proptest::prelude::*;

    fn lane(n: i64) -> LaneKey {
        LaneKey::Conversation(ConversationId(n))
    }

    fn chain(plugins: &[i64]) -> Arc<[PluginNo]> {
        plugins.iter().map(|no| PluginNo(*no)).collect()
    }

    fn admission() -> Admission {
        Admission::new(Clock::real())
    }

    fn numbers(tickets: &[Ticket]) -> Vec<i64> {
        tickets.iter().map(|ticket| ticket.event().0).collect()
    }

    #[test]
    fn events_beyond_a_lanes_share_are_deferred_in_order() {
        let admission = admission();
        let (most, all) = (OF_A_LANE.events as i64, OF_A_LANE.events as i64 + 3);
        let mut tickets: Vec<_> =
            (1..=all).filter_map(|n| admission.admit(EventId(n), 1, lane(1), chain(&[1]))).collect();
        assert_eq!((tickets.len(), admission.counts()), (OF_A_LANE.events, (OF_A_LANE.events, 3)));
        // Another lane has capacity, this one has none.
        let other = admission.admit(EventId(all + 1), 1, lane(2), chain(&[1])).unwrap();
        assert!(admission.next_ready(10).0.is_empty());
        tickets.remove(0).chain_ended();
        let next = admission.next_ready(10).0;
        assert_eq!(numbers(&next), [most + 1]);
        assert!(admission.next_ready(10).0.is_empty());
        // A new event goes behind the deferred ones, even when there is capacity.
        tickets.drain(..100);
        assert!(admission.admit(EventId(all + 2), 1, lane(1), chain(&[1])).is_none());
        assert_eq!(numbers(&admission.next_ready(10).0), [most + 2, most + 3, all + 2]);
        assert_eq!(admission.lowest(), Some(EventId(102)));
        drop((tickets, next, other));
    }

    #[test]
    fn lanes_take_turns_for_a_plugins_share() {
        let admission = admission();
        let of_a_plugin = OF_A_PLUGIN.events as i64;
        let admit =
            |n: i64, lane_no: i64, plugins: &[i64]| admission.admit(EventId(n), 1, lane(lane_no), chain(plugins));
        let mut tickets: Vec<_> = (1..=of_a_plugin).filter_map(|n| admit(n, n, &[1, 2])).collect();
        assert_eq!(tickets.len(), OF_A_PLUGIN.events);
        assert!(admit(10_001, 10_001, &[1]).is_none());
        assert!(admit(10_002, 10_002, &[2, 1]).is_none());
        // Behind a deferred event of its lane every event is deferred, whatever its plugins.
        assert!(admit(10_003, 10_001, &[3]).is_none());
        let others: Vec<_> = (10_100..10_200).filter_map(|n| admit(n, n, &[3])).collect();
        assert_eq!(others.len(), 100);
        assert!(admission.next_ready(10).0.is_empty());
        drop(tickets.pop());
        let next = admission.next_ready(10).0;
        assert_eq!(numbers(&next), [10_001, 10_003]);
        drop((next, others));
        assert_eq!(numbers(&admission.next_ready(10).0), [10_002]);
    }

    #[test]
    fn events_in_flight_are_bounded_by_bytes() {
        const MIB: usize = 1 << 20;
        let admission = admission();
        // One lane, one plugin, all.
        let mut tickets: Vec<_> =
            (1..=6).filter_map(|n| admission.admit(EventId(n), MIB, lane(1), chain(&[1]))).collect();
        assert_eq!((tickets.len(), admission.counts()), (4, (4, 2)));
        let of_lanes = (7..=30).filter_map(|n| admission.admit(EventId(n), MIB, lane(n), chain(&[1])));
        tickets.extend(of_lanes);
        assert_eq!((tickets.len(), admission.counts()), (16, (16, 14)));
        assert_eq!(admission.left(), IN_FLIGHT - 16);
        tickets.extend(admission.admit(EventId(31), 3 * MIB, lane(31), chain(&[2])));
        tickets.extend(admission.admit(EventId(32), 3 * MIB, lane(31), chain(&[2])));
        assert_eq!((tickets.len(), admission.counts()), (18, (18, 14)), "the last one may exceed its share");
        tickets.extend((33..50).filter_map(|n| admission.admit(EventId(n), MIB, lane(n), chain(&[]))));
        assert_eq!(admission.left(), 0, "the feed is not read");
        assert!(admission.next_ready(10).0.is_empty());
        drop(tickets);
        assert_eq!(admission.left(), IN_FLIGHT);
        assert_eq!(numbers(&admission.next_ready(100).0).len(), 14);
    }

    proptest! {
        /// Whatever comes and goes, no share is exceeded, each lane keeps its order, and in the end
        /// every event was in flight.
        #[test]
        fn every_event_is_admitted_in_the_order_of_its_lane(
            events in prop::collection::vec(
                (0i64..4, prop::collection::btree_set(0i64..4, 0..3), 0usize..3, prop_oneof![9 => 0usize..2048, 1 => 0usize..3 << 20]),
                1..1500,
            )
        ) {
            let admission = admission();
            let (mut tickets, mut last, mut begun) = (VecDeque::<Ticket>::new(), HashMap::<LaneKey, i64>::new(), 0);
            let mut begin = |ticket: Ticket, tickets: &mut VecDeque<Ticket>| {
                let lane = ticket.chain.lock().clone().unwrap().0;
                let before = last.insert(lane, ticket.event().0);
                tickets.push_back(ticket);
                begun += 1;
                before.is_none_or(|before| before < tickets.back().unwrap().event().0)
            };
            for (n, (lane_no, plugins, ended, bytes)) in (1..).zip(&events) {
                let plugins: Vec<_> = plugins.iter().copied().collect();
                if let Some(ticket) = admission.admit(EventId(n), *bytes, lane(*lane_no), chain(&plugins)) {
                    prop_assert!(begin(ticket, &mut tickets));
                }
                (0..*ended).for_each(|_| drop(tickets.pop_front()));
                for ticket in admission.next_ready(8).0 {
                    prop_assert!(begin(ticket, &mut tickets));
                }
                let is_within = |share: Amount, most: Amount| {
                    share.events <= most.events && share.bytes < most.bytes + (3 << 20)
                };
                prop_assert!(admission.state().lanes.values().all(|lane| is_within(lane.in_flight, OF_A_LANE)));
                prop_assert!(admission.state().plugins.values().all(|share| is_within(share.in_flight, OF_A_PLUGIN)));
            }
            while let Some(ticket) = tickets.pop_front() {
                drop(ticket);
                for ticket in admission.next_ready(8).0 {
                    prop_assert!(begin(ticket, &mut tickets));
                }
            }
            prop_assert_eq!(begun, events.len());
            prop_assert_eq!(admission.counts(), (0, 0));
            prop_assert_eq!(admission.state().in_flight, Amount::default());
            prop_assert_eq!(admission.lowest(), None);
            prop_assert!(admission.state().lanes.is_empty() && admission.state().plugins.is_empty());
        }
    }
}
