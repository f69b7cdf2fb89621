//! What is kept on disk for plugins that could not be asked, and how it comes back: in order, some at a time.
//!
//! A plugin has a backlog when it is suspended, when it fell behind (more waits for it alone than it may hold), or when it
//! rests and what waits would be in others' way. From then on all that comes for it alone goes to the end of the backlog,
//! so that nothing overtakes; when it may be asked again, the backlog is put into its lanes from the front, and when the
//! last of it is there, what comes goes straight to the lanes as before.
//!
//! What bounds it: so many events of a plugin come back at once. On disk it is bounded by time: see `store`'s retention.

use crate::breaker::May;
use crate::chain;
use crate::run::Run;
use crate::spine::{Phase, Spine};
use crate::subscriptions::Subscription;
use beadle_clock::{Alarm, Clock};
use beadle_model::{EventId, PluginNo};
use beadle_store::StoreError;
use beadle_store::step::WaitingHandling;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Events of one plugin that come back at once: as many lanes as keep the guest threads busy, and little memory.
const AT_ONCE: usize = 64;
/// What cannot be read is tried again after so long. Real time: a sick disk does not care about the calendar.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// It is looked at by itself this often, against a bell that was missed. Real time.
const BEAT: Duration = Duration::from_secs(60);

/// The backlogs of all plugins.
pub(crate) struct Backlogs {
    all: Mutex<HashMap<PluginNo, Backlog>>,
    clock: Clock,
}

#[derive(Default)]
struct Backlog {
    /// Events on disk that are not in a lane yet.
    waiting: u64,
    /// Events that came back and are not done.
    back: BTreeSet<EventId>,
    /// While somebody puts them into their lanes: rung when one more waits, or one that came back is done.
    bell: Option<Alarm>,
}

impl Backlogs {
    /// As it was when we ended.
    pub fn new(counts: Vec<(PluginNo, u64)>, clock: Clock) -> Self {
        let backlog = |(no, waiting)| (no, Backlog { waiting, ..Backlog::default() });
        Self { all: Mutex::new(counts.into_iter().map(backlog).collect()), clock }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PluginNo, Backlog>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what comes for this plugin alone has to go behind what is there.
    pub fn is_behind(&self, no: PluginNo) -> bool {
        self.all().get(&no).is_some_and(|backlog| backlog.waiting > 0)
    }

    /// How many events are kept for each plugin that has some, those that came back and are not done among them.
    pub fn counts(&self) -> Vec<(PluginNo, u64)> {
        let all = self.all();
        let count = |(no, backlog): (&PluginNo, &Backlog)| (*no, backlog.waiting + backlog.back.len() as u64);
        all.iter().map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// One more is kept, as soon as it is on disk.
    pub fn one_more(&self, no: PluginNo) {
        self.all().entry(no).or_default().waiting += 1;
    }

    /// Nothing is kept any more.
    pub fn forget(&self, no: PluginNo) {
        self.all().remove(&no);
    }

    /// Whether it is to be taken up, by who asks; nobody else is told so until it is through. Who does already hears that
    /// there is more.
    fn begin(&self, no: PluginNo) -> Option<Alarm> {
        let mut all = self.all();
        let backlog = all.get_mut(&no).filter(|backlog| backlog.waiting > 0)?;
        if backlog.bell.is_some() {
            backlog.ring();
            return None;
        }
        Some(backlog.bell.insert(self.clock.alarm()).clone())
    }

    /// Whether nothing waits any more; then what comes goes straight to its lane, and whoever took it up may go.
    fn is_through(&self, no: PluginNo) -> bool {
        let mut all = self.all();
        let Some(backlog) = all.get_mut(&no).filter(|backlog| backlog.waiting == 0) else {
            return !all.contains_key(&no);
        };
        backlog.bell = None;
        true
    }

    fn back(&self, no: PluginNo) -> BTreeSet<EventId> {
        self.all().get(&no).map(|backlog| backlog.back.clone()).unwrap_or_default()
    }

    /// This one is on its way into its lane, and from the second call on there.
    fn comes_back(&self, no: PluginNo, event: EventId, is_there: bool) {
        if let Some(backlog) = self.all().get_mut(&no) {
            match is_there {
                false => _ = backlog.back.insert(event),
                true => backlog.waiting = backlog.waiting.saturating_sub(1),
            }
        }
    }

    fn is_done(&self, no: PluginNo, event: EventId) {
        if let Some(backlog) = self.all().get_mut(&no) {
            backlog.back.remove(&event);
            backlog.ring();
        }
    }
}

impl Backlog {
    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

impl Spine {
    /// Sees to it that what is kept for a plugin is put into its lanes when it can be.
    pub(crate) fn take_up(self: &Arc<Self>, no: PluginNo) {
        let Some(bell) = self.backlogs.begin(no) else { return };
        let spine = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = bring_back(&spine, no, &bell) => {}
                () = spine.reached(Phase::Draining) => {}
            }
        });
    }
}

/// Until nothing is kept.
async fn bring_back(spine: &Arc<Spine>, no: PluginNo, bell: &Alarm) {
    let mut snapshots = spine.subscriptions.subscribe();
    loop {
        let member = snapshots.borrow_and_update().get(no).cloned();
        let Some(member) = member else {
            tokio::select! {
                () = bell.wait(None, BEAT) => {}
                _ = snapshots.changed() => snapshots.mark_changed(),
            }
            continue;
        };
        let mut changes = member.slot.changes();
        let back = spine.backlogs.back(no);
        let may = if member.slot.is_out() { May::Never } else { member.slot.look(spine.clock.now()) };
        let (room, until) = match may {
            May::Go => (AT_ONCE.saturating_sub(back.len()), None),
            // One is tried, and no others are brought to be put back.
            May::Try => (1usize.saturating_sub(back.len()), None),
            May::NotBefore(until) => (0, Some(until)),
            May::NotYet | May::Never => (0, None),
        };
        let waiting = if room == 0 { Ok(Vec::new()) } else { read(spine, no, back, room).await };
        match waiting {
            Ok(waiting) if waiting.is_empty() => {
                if room > 0 && spine.backlogs.is_through(no) {
                    return;
                }
                tokio::select! {
                    () = bell.wait(until, BEAT) => {}
                    _ = changes.changed() => {}
                    _ = snapshots.changed() => snapshots.mark_changed(),
                }
            }
            Ok(waiting) => {
                for one in waiting {
                    if let Err(error) = put_back(spine, &member, one).await {
                        tracing::error!(plugin = %member.slot.name(), %error, "What is kept for a plugin cannot be put back; again soon.");
                        tokio::time::sleep(READ_AGAIN).await;
                        break;
                    }
                }
            }
            Err(error) => {
                tracing::error!(plugin = %member.slot.name(), %error, "What is kept for a plugin cannot be read; again soon.");
                tokio::time::sleep(READ_AGAIN).await;
            }
        }
    }
}

async fn read(
    spine: &Spine,
    no: PluginNo,
    but: BTreeSet<EventId>,
    most: usize,
) -> Result<Vec<WaitingHandling>, StoreError> {
    let reader = spine.store.reader();
    let read = tokio::task::spawn_blocking(move || reader.waiting_handlings(no, &but, most)).await;
    // Where that thread is gone we are on our way out.
    read.unwrap_or_else(|_| Ok(Vec::new()))
}

async fn put_back(spine: &Arc<Spine>, member: &Arc<Subscription>, waiting: WaitingHandling) -> Result<(), StoreError> {
    let (no, event) = (member.slot.no(), waiting.event.id);
    let roster = spine.store.subscriber_list(vec![no]).await?;
    let run = Arc::new(Run::kept(waiting, Arc::clone(member), roster));
    let lane = chain::lane_for(&run, 0);
    spine.backlogs.comes_back(no, event, false);
    spine.lanes.push(lane, {
        let spine = Arc::clone(spine);
        async move {
            spine.handle(&run, 0, lane, false).await;
            spine.backlogs.is_done(no, event);
        }
    });
    // Only now may what comes later go to the lane by itself.
    spine.backlogs.comes_back(no, event, true);
    Ok(())
}
