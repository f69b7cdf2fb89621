//! Admission: how many events are on their way at once, and how many of them one conversation or one plugin may have.
//!
//! An event that is on its way holds a ticket until every plugin is through with it. Tickets bound memory: when all are
//! out the feed is not read, and what comes in waits on disk. Were that all, one conversation that writes faster than its
//! plugins answer, or one slow plugin, would soon hold every ticket, and all others would wait behind it. So each lane has a
//! share, and so has what waits for each plugin of a chain. What comes beyond its share is *put off*: of such an event only
//! the number is kept, in its lane's order, and it is read again from disk when its turn comes.
//!
//! The lowest event that is on its way or put off is the watermark: everything below it is finished, and a start after a
//! crash looks no further back.

use crate::lane::LaneKey;
use beadle_clock::{Clock, WorkGuard};
use beadle_model::{EventId, PluginNo};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Events on their way at once. At 20,000 a second and 10 ms each it takes 200; the rest is room for lanes that wait
/// for a guard. A waiting event costs about 2 KiB, so 16 MiB at most.
pub const IN_FLIGHT: usize = 8192;
/// … of one lane: more than a person can mean, and what is put off only waits on disk instead of in memory.
const OF_A_LANE: usize = 256;
/// … in whose chain one plugin stands that others do not wait for: the other half is theirs.
const OF_A_PLUGIN: usize = IN_FLIGHT / 2;
/// … that only wait for observers, all of them together.
pub const OF_OBSERVERS: usize = IN_FLIGHT / 2;
/// Events that are put off: their numbers take some 16 MiB. Beyond that the feed is not read.
const PUT_OFF: usize = 262_144;

/// All room there is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Rung when there is room again.
    bell: Notify,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// On their way or put off.
    open: BTreeSet<EventId>,
    tickets: usize,
    put_off: usize,
    lanes: HashMap<LaneKey, Lane>,
    plugins: HashMap<PluginNo, Share>,
    /// Lanes whose first event that is put off may have room.
    ready: VecDeque<LaneKey>,
    /// While there are some: they are to be taken before time is turned.
    to_take: Option<WorkGuard>,
}

#[derive(Default)]
struct Lane {
    on_their_way: usize,
    put_off: VecDeque<(EventId, Arc<[PluginNo]>)>,
    /// It is among those that are ready, or in the line of a plugin.
    is_lined_up: bool,
}

#[derive(Default)]
struct Share {
    on_their_way: usize,
    /// Lanes whose first event waits for this plugin to have room.
    lanes: VecDeque<LaneKey>,
}

/// Held by an event on its way.
pub(crate) struct Ticket {
    room: Admission,
    event: EventId,
    /// Until its chain has ended: its lane, and the plugins of its chain.
    chain: Mutex<Option<(LaneKey, Arc<[PluginNo]>)>>,
}

impl Admission {
    /// All of it, and nobody in it.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), bell: Notify::new(), clock }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events on their way, and events that are put off.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.tickets, state.put_off)
    }

    /// The lowest event that is on its way or put off.
    pub fn lowest(&self) -> Option<EventId> {
        self.state().open.first().copied()
    }

    /// For how many events of the feed there is room, on their way or put off.
    pub fn left(&self) -> usize {
        let state = self.state();
        if state.put_off >= PUT_OFF { 0 } else { IN_FLIGHT.saturating_sub(state.tickets) }
    }

    /// Returns when there is room again, for the feed or for what was put off.
    pub async fn has_room_again(&self) {
        self.0.bell.notified().await;
    }

    /// A ticket for an event of the feed, which comes in the order of their numbers; or it is put off.
    pub fn admit(&self, event: EventId, lane: LaneKey, chain: Arc<[PluginNo]>) -> Option<Ticket> {
        let mut state = self.state();
        state.open.insert(event);
        let is_first = state.lanes.get(&lane).is_none_or(|lane| lane.put_off.is_empty());
        if is_first && state.has_room(lane, &chain).is_ok() {
            return Some(self.ticket(&mut state, event, lane, chain));
        }
        state.put_off += 1;
        state.lanes.entry(lane).or_default().put_off.push_back((event, chain));
        if is_first {
            state.line_up(lane);
        }
        None
    }

    /// Those that were put off and have room now, `most` at most; each is to be read again.
    pub fn next_ready(&self, most: usize) -> (Vec<Ticket>, Option<WorkGuard>) {
        let mut state = self.state();
        let mut tickets = Vec::new();
        while tickets.len() < most
            && state.tickets < IN_FLIGHT
            && let Some(lane) = state.ready.pop_front()
        {
            let Some(it) = state.lanes.get_mut(&lane) else { continue };
            it.is_lined_up = false;
            let Some((event, chain)) = it.put_off.front().cloned() else { continue };
            if state.has_room(lane, &chain).is_ok() {
                state.put_off -= 1;
                if let Some(lane) = state.lanes.get_mut(&lane) {
                    lane.put_off.pop_front();
                }
                tickets.push(self.ticket(&mut state, event, lane, chain));
            }
            // Its next one has its turn behind those of the other lanes.
            state.line_up(lane);
        }
        let work = if state.ready.is_empty() { state.to_take.take() } else { None };
        (tickets, work)
    }

    fn ticket(&self, state: &mut State, event: EventId, lane: LaneKey, chain: Arc<[PluginNo]>) -> Ticket {
        state.tickets += 1;
        state.lanes.entry(lane).or_default().on_their_way += 1;
        for plugin in chain.iter() {
            state.plugins.entry(*plugin).or_default().on_their_way += 1;
        }
        Ticket { room: self.clone(), event, chain: Mutex::new(Some((lane, chain))) }
    }

    fn chain_ended(&self, lane: LaneKey, chain: &[PluginNo]) {
        let mut state = self.state();
        if let Some(it) = state.lanes.get_mut(&lane) {
            it.on_their_way = it.on_their_way.saturating_sub(1);
            if it.on_their_way == 0 && it.put_off.is_empty() {
                state.lanes.remove(&lane);
            }
        }
        for plugin in chain {
            if let Some(share) = state.plugins.get_mut(plugin) {
                share.on_their_way = share.on_their_way.saturating_sub(1);
            }
            // The first in its line who needs nothing else.
            while let Some(next) = state.plugins.get_mut(plugin).and_then(|share| share.lanes.pop_front()) {
                if let Some(it) = state.lanes.get_mut(&next) {
                    it.is_lined_up = false;
                }
                if state.line_up(next) {
                    break;
                }
            }
            state.plugins.retain(|no, share| no != plugin || share.on_their_way > 0 || !share.lanes.is_empty());
        }
        state.line_up(lane);
        self.ring(state);
    }

    /// Tells who waits for room that there is some.
    fn ring(&self, mut state: MutexGuard<'_, State>) {
        if !state.ready.is_empty() {
            state.to_take.get_or_insert_with(|| self.0.clock.work());
            drop(state);
            self.0.bell.notify_one();
        }
    }
}

impl State {
    /// Whether one more of this lane and for these plugins may be on its way; else who is full, where it is a plugin.
    fn has_room(&self, lane: LaneKey, chain: &[PluginNo]) -> Result<(), Option<PluginNo>> {
        if self.lanes.get(&lane).is_some_and(|lane| lane.on_their_way >= OF_A_LANE) {
            return Err(None);
        }
        let is_full = |plugin: &&PluginNo| self.plugins.get(plugin).is_some_and(|it| it.on_their_way >= OF_A_PLUGIN);
        chain.iter().find(is_full).map_or(Ok(()), |plugin| Err(Some(*plugin)))
    }

    /// Puts a lane that has something put off where it is found when there is room for its first one: among those that
    /// are ready (`true`), in the line of the plugin that is full, or nowhere, where it is full itself and comes back.
    fn line_up(&mut self, lane: LaneKey) -> bool {
        let Some(it) = self.lanes.get(&lane).filter(|lane| !lane.is_lined_up) else { return false };
        let Some((_, chain)) = it.put_off.front() else { return false };
        let room = self.has_room(lane, chain);
        let line = match room {
            Ok(()) => &mut self.ready,
            Err(Some(plugin)) => &mut self.plugins.entry(plugin).or_default().lanes,
            Err(None) => return false,
        };
        line.push_back(lane);
        if let Some(it) = self.lanes.get_mut(&lane) {
            it.is_lined_up = true;
        }
        room.is_ok()
    }
}

impl Ticket {
    /// Whose it is.
    pub fn event(&self) -> EventId {
        self.event
    }

    /// Nobody of its chain is waited for any more.
    pub fn chain_ended(&self) {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((lane, chain)) = chain {
            self.room.chain_ended(lane, &chain);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.chain_ended();
        let mut state = self.room.state();
        if !state.open.remove(&self.event) {
            return;
        }
        let was_full = state.tickets >= IN_FLIGHT;
        state.tickets -= 1;
        if was_full {
            self.room.0.bell.notify_one();
        }
        self.room.ring(state);
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

    fn room() -> Admission {
        Admission::new(Clock::real())
    }

    fn numbers(tickets: &[Ticket]) -> Vec<i64> {
        tickets.iter().map(|ticket| ticket.event().0).collect()
    }

    #[test]
    fn one_lane_has_its_share_and_the_rest_waits_in_order() {
        let room = room();
        let (most, all) = (OF_A_LANE as i64, OF_A_LANE as i64 + 3);
        let mut tickets: Vec<_> = (1..=all).filter_map(|n| room.admit(EventId(n), lane(1), chain(&[1]))).collect();
        assert_eq!((tickets.len(), room.counts()), (OF_A_LANE, (OF_A_LANE, 3)));
        // Another one has room, and nobody of the first has.
        let other = room.admit(EventId(all + 1), lane(2), chain(&[1])).unwrap();
        assert!(room.next_ready(10).0.is_empty());
        tickets.remove(0).chain_ended();
        let next = room.next_ready(10).0;
        assert_eq!(numbers(&next), [most + 1]);
        assert!(room.next_ready(10).0.is_empty());
        // One that comes goes behind those that wait, also when there is room.
        tickets.drain(..100);
        assert!(room.admit(EventId(all + 2), lane(1), chain(&[1])).is_none());
        assert_eq!(numbers(&room.next_ready(10).0), [most + 2, most + 3, all + 2]);
        assert_eq!(room.lowest(), Some(EventId(102)));
        drop((tickets, next, other));
    }

    #[test]
    fn a_busy_plugin_has_half_and_its_lanes_wait_in_turn() {
        let room = room();
        let of_a_plugin = OF_A_PLUGIN as i64;
        let admit = |n: i64, of: i64, plugins: &[i64]| room.admit(EventId(n), lane(of), chain(plugins));
        let mut tickets: Vec<_> = (1..=of_a_plugin).filter_map(|n| admit(n, n, &[1, 2])).collect();
        assert_eq!(tickets.len(), OF_A_PLUGIN);
        assert!(admit(10_001, 10_001, &[1]).is_none());
        assert!(admit(10_002, 10_002, &[2, 1]).is_none());
        // In the lane of one that waits they wait too, whoever they are for.
        assert!(admit(10_003, 10_001, &[3]).is_none());
        let others: Vec<_> = (10_100..10_200).filter_map(|n| admit(n, n, &[3])).collect();
        assert_eq!(others.len(), 100);
        assert!(room.next_ready(10).0.is_empty());
        drop(tickets.pop());
        let next = room.next_ready(10).0;
        assert_eq!(numbers(&next), [10_001, 10_003]);
        drop((next, others));
        assert_eq!(numbers(&room.next_ready(10).0), [10_002]);
    }

    proptest! {
        /// Whatever comes and goes: nobody has more than their share, each lane keeps its order, and in the end all were
        /// on their way.
        #[test]
        fn all_have_their_turn_in_order(
            events in prop::collection::vec((0i64..4, prop::collection::btree_set(0i64..4, 0..3), 0usize..3), 1..1500)
        ) {
            let room = room();
            let (mut tickets, mut last, mut begun) = (VecDeque::<Ticket>::new(), HashMap::<LaneKey, i64>::new(), 0);
            let mut begin = |ticket: Ticket, tickets: &mut VecDeque<Ticket>| {
                let of = ticket.chain.lock().unwrap().clone().unwrap().0;
                let before = last.insert(of, ticket.event().0);
                tickets.push_back(ticket);
                begun += 1;
                before.is_none_or(|before| before < tickets.back().unwrap().event().0)
            };
            for (n, (of, plugins, ended)) in (1..).zip(&events) {
                let plugins: Vec<_> = plugins.iter().copied().collect();
                if let Some(ticket) = room.admit(EventId(n), lane(*of), chain(&plugins)) {
                    prop_assert!(begin(ticket, &mut tickets));
                }
                (0..*ended).for_each(|_| drop(tickets.pop_front()));
                for ticket in room.next_ready(8).0 {
                    prop_assert!(begin(ticket, &mut tickets));
                }
                prop_assert!(room.state().lanes.values().all(|lane| lane.on_their_way <= OF_A_LANE));
                prop_assert!(room.state().plugins.values().all(|share| share.on_their_way <= OF_A_PLUGIN));
            }
            while let Some(ticket) = tickets.pop_front() {
                drop(ticket);
                for ticket in room.next_ready(8).0 {
                    prop_assert!(begin(ticket, &mut tickets));
                }
            }
            prop_assert_eq!(begun, events.len());
            prop_assert_eq!(room.counts(), (0, 0));
            prop_assert_eq!(room.lowest(), None);
            prop_assert!(room.state().lanes.is_empty() && room.state().plugins.is_empty());
        }
    }
}
