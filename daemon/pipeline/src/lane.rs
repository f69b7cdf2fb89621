//! Lanes: jobs that run one after the other; lanes run concurrently.
//!
//! A lane exists while it has a job. Its first job starts a task, which also runs the jobs that are
//! pushed meanwhile, in their order. Lanes share nothing, so a slow one delays only itself; the
//! runtime schedules them fairly. How much may wait in all lanes together is bounded by the caller
//! (see `admission`).

use beadle_clock::{Clock, WorkGuard};
use beadle_model::{ConversationId, PluginNo};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque, hash_map::Entry};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The key of a lane: work with the same key runs in order (docs/design.md#order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneKey {
    /// Guards and answerers of one conversation.
    Conversation(ConversationId),
    /// An observer in one conversation.
    Observer(PluginNo, ConversationId),
    /// One plugin outside any conversation.
    Plugin(PluginNo),
    /// The firings of one schedule (its number in the store) in one plugin.
    Schedule(PluginNo, i64),
    /// The status of one plugin's messages in one conversation.
    Receipts(PluginNo, ConversationId),
}

impl LaneKey {
    /// Whether only one plugin's events run in it.
    pub fn is_of_one_plugin(self) -> bool {
        !matches!(self, LaneKey::Conversation(_))
    }
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All lanes. Cheap to clone. One lock for all of them: it is held for a look-up, some ten thousand
/// times a second.
#[derive(Clone)]
pub struct Lanes {
    lanes: Arc<Mutex<HashMap<LaneKey, VecDeque<Job>>>>,
    clock: Clock,
}

impl Lanes {
    /// No lanes. What runs in them is work under this clock.
    pub fn new(clock: Clock) -> Self {
        Self { lanes: Arc::default(), clock }
    }

    /// Puts a job at the end of a lane. It begins when all before it in that lane have ended.
    pub fn push(&self, key: LaneKey, job: impl Future<Output = ()> + Send + 'static) {
        let job: Job = Box::pin(job);
        match self.lanes.lock().entry(key) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(job),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                tokio::spawn(Runner::new(self.clone(), key).run(Some(job)));
            }
        }
    }

    /// Jobs pushed to `into` from now on wait until all that is in `from` now has ended and `after`
    /// has run.
    pub fn join(&self, from: LaneKey, into: LaneKey, after: impl FnOnce(&Lanes) + Send + 'static) {
        let (ended, ends) = oneshot::channel::<()>();
        self.push(from, async move {
            // The receiver exists as long as the other lane.
            let _ = ended.send(());
        });
        let lanes = self.clone();
        self.push(into, async move {
            // An error means that the other lane's task is gone, with all that was in it.
            let _ = ends.await;
            after(&lanes);
        });
    }

    /// How many lanes have jobs.
    pub fn busy(&self) -> usize {
        self.lanes.lock().len()
    }

    /// The next job of a lane. A lane without one is removed.
    fn next(&self, key: LaneKey) -> Option<Job> {
        let mut lanes = self.lanes.lock();
        let job = lanes.get_mut(&key)?.pop_front();
        if job.is_none() {
            lanes.remove(&key);
        }
        job
    }
}

/// Runs one lane to its end. When a job panics, the lane goes on without it.
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
        while let Some(current) = job {
            current.await;
            job = self.lanes.next(self.key);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let successor = Runner::new(self.lanes.clone(), self.key);
            tokio::spawn(async move {
                let next = successor.lanes.next(successor.key);
                successor.run(next).await;
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
    async fn jobs_of_a_lane_run_in_order() {
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
    async fn panicking_job_does_not_end_its_lane() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        lanes.push(lane(1), async { panic!("on purpose") });
        lanes.push(lane(1), async move { done.send(()).unwrap() });
        assert_eq!(seen.recv().await, Some(()));
    }

    #[tokio::test]
    async fn joined_lane_runs_before_later_jobs() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        let (go, gone) = oneshot::channel::<()>();
        let push_number = |n: i64| {
            let done = done.clone();
            async move { done.send(n).unwrap() }
        };
        let slow = push_number(1);
        lanes.push(lane(1), async move {
            gone.await.unwrap();
            slow.await;
        });
        lanes.push(lane(2), push_number(2));
        let joined = done.clone();
        lanes.join(lane(1), lane(2), move |_| joined.send(3).unwrap());
        lanes.push(lane(2), push_number(4));
        assert_eq!(seen.recv().await, Some(2), "earlier jobs wait for nothing");
        go.send(()).unwrap();
        assert_eq!((seen.recv().await, seen.recv().await, seen.recv().await), (Some(1), Some(3), Some(4)));
    }

    #[tokio::test]
    async fn slow_lane_delays_no_other() {
        let lanes = Lanes::new(Clock::real());
        let (done, mut seen) = mpsc::unbounded_channel();
        lanes.push(lane(1), std::future::pending());
        lanes.push(lane(2), async move { done.send(2).unwrap() });
        assert_eq!(seen.recv().await, Some(2));
    }
}
