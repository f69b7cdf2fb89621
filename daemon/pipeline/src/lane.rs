//! Lanes: what runs one after the other, beside all else.
//!
//! A lane exists while something is in it. Its first job starts a task; the jobs behind it wait in that lane's queue and
//! are run by the same task, in the order in which they came. Lanes share nothing, so a slow one delays only itself; the
//! runtime gives them their turns. How much may wait in all lanes together is bounded by whoever puts jobs in (the
//! dispatcher holds a permit for each event).

use beadle_clock::{Clock, WorkGuard};
use beadle_model::{ConversationId, PluginNo};
use std::collections::{HashMap, VecDeque, hash_map::Entry};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What keeps an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneKey {
    /// Guards and answerers of one conversation.
    Conversation(ConversationId),
    /// An observer in one conversation.
    Observer(PluginNo, ConversationId),
    /// What one plugin does outside any conversation.
    Plugin(PluginNo),
    /// The firings of one schedule (its number in the store) in one plugin.
    Schedule(PluginNo, i64),
    /// What became of one plugin's messages in one conversation.
    Receipts(PluginNo, ConversationId),
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All lanes. Cheap to clone. One lock for all of them: it is held for a look-up, some ten thousand times a second.
#[derive(Clone)]
pub struct Lanes {
    lanes: Arc<Mutex<HashMap<LaneKey, VecDeque<Job>>>>,
    clock: Clock,
}

impl Lanes {
    /// None yet. What runs in them is work under this clock.
    pub fn new(clock: Clock) -> Self {
        Self { lanes: Arc::default(), clock }
    }

    /// Puts a job at the end of a lane. It is begun when all before it in that lane have ended.
    pub fn push(&self, key: LaneKey, job: impl Future<Output = ()> + Send + 'static) {
        let job: Job = Box::pin(job);
        match self.lanes().entry(key) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(job),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                tokio::spawn(Runner::new(self.clone(), key).run(Some(job)));
            }
        }
    }

    /// What comes into a lane from now on waits until all that is in another one now has ended; then `after` is done.
    pub fn join(&self, from: LaneKey, into: LaneKey, after: impl FnOnce(&Lanes) + Send + 'static) {
        let (ended, ends) = oneshot::channel::<()>();
        self.push(from, async move {
            // Whoever waits is there as long as its lane is.
            let _ = ended.send(());
        });
        let lanes = self.clone();
        self.push(into, async move {
            // An error means that the other lane's task is gone, and what was in it too.
            let _ = ends.await;
            after(&lanes);
        });
    }

    /// How many lanes have something in them.
    pub fn busy(&self) -> usize {
        self.lanes().len()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<LaneKey, VecDeque<Job>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job of a lane; a lane with none is gone.
    fn next(&self, key: LaneKey) -> Option<Job> {
        let mut lanes = self.lanes();
        let job = lanes.get_mut(&key)?.pop_front();
        if job.is_none() {
            lanes.remove(&key);
        }
        job
    }
}

/// Runs one lane to its end. Should a job panic, the lane goes on without it.
struct Runner {
    lanes: Lanes,
    key: LaneKey,
    _work: WorkGuard,
}

impl Runner {
    fn new(lanes: Lanes, key: LaneKey) -> Self {
        let work = lanes.clock.work();
        Self { lanes, key, _work: work }
    }

    async fn run(self, mut job: Option<Job>) {
        while let Some(now) = job {
            now.await;
            job = self.lanes.next(self.key);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let heir = Runner::new(self.lanes.clone(), self.key);
            tokio::spawn(async move {
                let next = heir.lanes.next(heir.key);
                heir.run(next).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn lane(n: i64) -> LaneKey {
        LaneKey::Conversation(ConversationId(n))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_lane_keeps_its_order_and_ends() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        for n in 0..2000i64 {
            let done = done.clone();
            lanes.push(lane(n % 7), async move {
                tokio::task::yield_now().await;
                done.send(n).unwrap();
            });
        }
        drop(done);
        let mut last = [-1; 7];
        while let Some(n) = seen.recv().await {
            let before = &mut last[usize::try_from(n % 7).unwrap()];
            assert!(n > *before);
            *before = n;
        }
        while lanes.busy() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_does_not_end_its_lane() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        lanes.push(lane(1), async { panic!("a job that panics, on purpose") });
        lanes.push(lane(1), async move { done.send(()).unwrap() });
        assert_eq!(seen.recv().await, Some(()));
    }

    #[tokio::test]
    async fn a_lane_that_joins_another_goes_before_what_comes_behind() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        let (go, gone) = oneshot::channel::<()>();
        let say = |n: i64| {
            let done = done.clone();
            async move { done.send(n).unwrap() }
        };
        let slow = say(1);
        lanes.push(lane(1), async move {
            gone.await.unwrap();
            slow.await;
        });
        lanes.push(lane(2), say(2));
        let joined = done.clone();
        lanes.join(lane(1), lane(2), move |_| joined.send(3).unwrap());
        lanes.push(lane(2), say(4));
        assert_eq!(seen.recv().await, Some(2), "what was there before waits for nothing");
        go.send(()).unwrap();
        assert_eq!((seen.recv().await, seen.recv().await, seen.recv().await), (Some(1), Some(3), Some(4)));
    }

    #[tokio::test]
    async fn a_slow_lane_delays_only_itself() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        lanes.push(lane(1), std::future::pending());
        lanes.push(lane(2), async move { done.send(2).unwrap() });
        assert_eq!(seen.recv().await, Some(2));
    }
}
