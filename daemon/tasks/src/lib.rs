//! Supervision of every long-lived task and thread of the daemon.
//!
//! A task is spawned under its [`TaskKind`]. When it panics or returns an error, the kind's policy
//! decides: it is started again after a growing pause, or the daemon shuts down and gives the
//! reason. Each task has a [`Heartbeat`]; one that stays silent is reported as stuck.
//!
//! Invariants: a failure is logged under the name of its kind; the factory of a restarted task
//! creates it again from shared or durable state, so that nothing is lost with the old one.
//!
//! Work that ends by itself (one handling, one request, one connection) is not spawned here. Its
//! owner handles its failure, because only the owner knows what was left undone.

#[cfg(debug_assertions)]
mod fault;
mod heartbeat;
mod kind;

#[cfg(debug_assertions)]
pub use fault::Fault;
pub use heartbeat::Heartbeat;
pub use kind::{OnFailure, Policy, TaskKind};

use heartbeat::{Slot, Status};
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle as ThreadHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Codes of [`TaskProblem`] and [`TaskFailure`].
pub const CODES: [&str; 3] = ["task-failed", "task-restarting", "task-stuck"];

/// The pause before the first restart; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between restarts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A task that ran this long has recovered; its next failure is a first one.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

tokio::task_local! {
    static CURRENT: TaskKind;
}

/// The kind of the supervised task that runs the caller, for a panic hook.
pub fn current() -> Option<TaskKind> {
    CURRENT.try_with(|kind| *kind).ok()
}

/// The supervisor. Cheap to clone; clones supervise the same tasks.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tasks: Mutex<Vec<Supervised>>,
    counts: Mutex<BTreeMap<TaskKind, Counts>>,
    failure: watch::Sender<Option<TaskFailure>>,
}

#[derive(Debug)]
struct Supervised {
    slot: Arc<Slot>,
    /// None for a thread, which ends by itself.
    supervisor: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    panics: u64,
    restarts: u64,
}

/// The failure that shuts the daemon down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task `{kind}` failed: {reason}")]
pub struct TaskFailure {
    /// Which kind of task.
    pub kind: TaskKind,
    /// Its panic message or error.
    pub reason: String,
}

/// A task that does not work at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskProblem {
    /// Which kind of task.
    pub kind: TaskKind,
    /// One of [`CODES`].
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
}

/// How the tasks of one kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    /// Which kind of task.
    pub kind: TaskKind,
    /// Whether all of them work.
    pub healthy: bool,
    /// Panics since the start.
    pub panics: u64,
    /// Restarts since the start.
    pub restarts: u64,
    /// The time since the last beat; zero while it is idle.
    pub silence: Duration,
}

/// What a task returns.
pub trait TaskOutcome: Send + 'static {
    /// Why it failed; none if it ended because it was asked to.
    fn failure(self) -> Option<String>;
}

impl TaskOutcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display + Send + 'static> TaskOutcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// How one run of a task ended, if not as it was asked to.
enum Failure {
    Panic(String),
    Error(String),
}

impl Default for Tasks {
    fn default() -> Self {
        Self(Arc::new(Inner { tasks: Mutex::default(), counts: Mutex::default(), failure: watch::Sender::new(None) }))
    }
}

impl Tasks {
    /// Runs a task. `make` is called for every run; what a run needs from the one before it must be
    /// shared or durable.
    pub fn spawn<F, T>(&self, kind: TaskKind, make: F)
    where
        F: FnMut(Heartbeat) -> T + Send + 'static,
        T: Future<Output: TaskOutcome> + Send + 'static,
    {
        let slot = Arc::new(Slot::new(kind));
        // Before the task can end, so that its end finds it.
        let mut tasks = self.0.tasks.lock();
        let supervisor = tokio::spawn(supervise(Arc::clone(&self.0), Arc::clone(&slot), make));
        tasks.push(Supervised { slot, supervisor: Some(supervisor) });
    }

    /// Runs a task that cannot be restarted; its kind's policy must be [`OnFailure::Shutdown`].
    pub fn spawn_once<F, T>(&self, kind: TaskKind, make: F)
    where
        F: FnOnce(Heartbeat) -> T + Send + 'static,
        T: Future<Output: TaskOutcome> + Send + 'static,
    {
        debug_assert_eq!(kind.policy().on_failure, OnFailure::Shutdown);
        let mut make = Some(make);
        self.spawn(kind, move |heartbeat| {
            let run = make.take().map(|make| make(heartbeat));
            async move {
                match run {
                    Some(run) => run.await.failure().map_or(Ok(()), Err),
                    None => Err("cannot be restarted".into()),
                }
            }
        });
    }

    /// Runs a thread of its own. `body` is called for every run.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn thread<F, O>(&self, kind: TaskKind, name: &str, mut body: F) -> io::Result<ThreadHandle<()>>
    where
        F: FnMut(&Heartbeat) -> O + Send + 'static,
        O: TaskOutcome,
    {
        let slot = Arc::new(Slot::new(kind));
        let inner = Arc::clone(&self.0);
        let heartbeat = Heartbeat(Arc::clone(&slot));
        let mut tasks = self.0.tasks.lock();
        let handle = thread::Builder::new().name(name.into()).spawn(move || {
            loop {
                heartbeat.0.begin();
                let began = Instant::now();
                let run = || CURRENT.sync_scope(kind, || body(&heartbeat));
                let failure = match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(outcome) => outcome.failure().map(Failure::Error),
                    Err(panic) => Some(Failure::Panic(panic_text(&*panic))),
                };
                match failure.and_then(|failure| inner.failed(&heartbeat.0, failure, began)) {
                    Some(pause) => block_for(pause),
                    None => break,
                }
            }
            inner.ended(&heartbeat.0);
        })?;
        tasks.push(Supervised { slot, supervisor: None });
        Ok(handle)
    }

    /// How each kind is of which a task runs.
    pub fn reports(&self) -> Vec<TaskReport> {
        let (counts, now) = (self.0.counts.lock().clone(), Instant::now());
        let mut reports: BTreeMap<TaskKind, TaskReport> = BTreeMap::new();
        for task in self.0.tasks.lock().iter() {
            let kind = task.slot.kind;
            let Counts { panics, restarts } = counts.get(&kind).copied().unwrap_or_default();
            let healthy = problem(&task.slot, now).is_none();
            let silence = task.slot.silence(now);
            let report = reports.entry(kind).or_insert(TaskReport { kind, healthy, panics, restarts, silence });
            report.healthy &= healthy;
            report.silence = report.silence.max(silence);
        }
        reports.into_values().collect()
    }

    /// What does not work at the moment.
    pub fn problems(&self) -> Vec<TaskProblem> {
        self.problems_at(Instant::now())
    }

    fn problems_at(&self, now: Instant) -> Vec<TaskProblem> {
        let mut problems: Vec<_> = self.0.tasks.lock().iter().filter_map(|task| problem(&task.slot, now)).collect();
        problems.sort_by_key(|problem| problem.kind);
        problems
    }

    /// Whether the tasks without which there is no daemon make progress: for a watchdog that
    /// restarts the process, which helps no other task.
    pub fn is_alive(&self) -> bool {
        is_alive(&self.problems())
    }

    /// Waits for the failure that shuts the daemon down.
    pub async fn failure(&self) -> TaskFailure {
        let mut failure = self.0.failure.subscribe();
        match failure.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(failure)) => failure.clone(),
            // The sender lives in `self`.
            _ => std::future::pending().await,
        }
    }

    /// Shuts the daemon down for a reason that work outside of the tasks of this kind met.
    pub fn fail(&self, kind: TaskKind, reason: String) {
        self.0.shut_down(kind, reason);
    }

    /// Ends the tasks of these kinds and returns when they have ended. Threads end by themselves.
    pub async fn stop(&self, kinds: &[TaskKind]) {
        let stopped: Vec<Supervised> = {
            let mut tasks = self.0.tasks.lock();
            tasks.extract_if(.., |task| task.supervisor.is_some() && kinds.contains(&task.slot.kind)).collect()
        };
        for task in &stopped {
            task.slot.cancelled.send_replace(true);
        }
        for supervisor in stopped.into_iter().filter_map(|task| task.supervisor) {
            // An error means that it has ended already.
            let _ = supervisor.await;
        }
    }

    /// Has a fault strike every task of a kind. Returns whether there is one.
    #[cfg(debug_assertions)]
    pub fn inject(&self, kind: TaskKind, fault: Fault) -> bool {
        let tasks = self.0.tasks.lock();
        let mut of_kind = tasks.iter().filter(|task| task.slot.kind == kind).peekable();
        let found = of_kind.peek().is_some();
        of_kind.for_each(|task| task.slot.fault.inject(fault));
        found
    }
}

fn is_alive(problems: &[TaskProblem]) -> bool {
    !problems.iter().any(|problem| problem.kind.policy().on_failure == OnFailure::Shutdown)
}

/// Runs one task until it ends as it was asked to, is stopped, or shuts the daemon down.
async fn supervise<F, T>(inner: Arc<Inner>, slot: Arc<Slot>, mut make: F)
where
    F: FnMut(Heartbeat) -> T + Send,
    T: Future<Output: TaskOutcome> + Send + 'static,
{
    loop {
        slot.begin();
        let began = Instant::now();
        let made = catch_unwind(AssertUnwindSafe(|| make(Heartbeat(Arc::clone(&slot)))));
        let failure = match made {
            Err(panic) => Some(Failure::Panic(panic_text(&*panic))),
            Ok(run) => {
                let mut run = tokio::spawn(CURRENT.scope(slot.kind, run));
                tokio::select! {
                    biased;
                    ended = &mut run => match ended {
                        Ok(outcome) => outcome.failure().map(Failure::Error),
                        Err(error) => error.try_into_panic().ok().map(|panic| Failure::Panic(panic_text(&*panic))),
                    },
                    () = slot.cancelled() => {
                        run.abort();
                        let _ = run.await;
                        None
                    }
                }
            }
        };
        let Some(pause) = failure.and_then(|failure| inner.failed(&slot, failure, began)) else { break };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = slot.cancelled() => break,
        }
    }
    inner.ended(&slot);
}

impl Inner {
    /// Applies the policy of a task that failed. Returns the pause before it is started again; none
    /// where the daemon shuts down.
    fn failed(&self, slot: &Slot, failure: Failure, began: Instant) -> Option<Duration> {
        let kind = slot.kind;
        let (how, reason) = match failure {
            Failure::Panic(reason) => ("panic", reason),
            Failure::Error(reason) => ("error", reason),
        };
        let on_failure = kind.policy().on_failure;
        {
            let mut counts = self.counts.lock();
            let counts = counts.entry(kind).or_default();
            counts.panics += u64::from(how == "panic");
            counts.restarts += u64::from(on_failure == OnFailure::Restart);
        }
        let mut state = slot.state.lock();
        state.failures = if began.elapsed() >= RECOVERED_AFTER { 1 } else { state.failures.saturating_add(1) };
        state.error = Some(reason.clone());
        match on_failure {
            OnFailure::Restart => {
                let pause = pause_after(state.failures);
                state.status = Status::Restarting(Instant::now() + pause);
                let (failures, restart_in_ms) = (state.failures, pause.as_millis());
                tracing::error!(task = %kind, %how, error = %reason, failures, restart_in_ms, "task failed, restarting");
                Some(pause)
            }
            OnFailure::Shutdown => {
                state.status = Status::Failed;
                self.shut_down(kind, reason);
                None
            }
        }
    }

    /// The first reason counts.
    fn shut_down(&self, kind: TaskKind, reason: String) {
        tracing::error!(task = %kind, error = %reason, "task failed, shutting down");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(TaskFailure { kind, reason });
            first
        });
    }

    /// Forgets a task that has ended, unless it failed.
    fn ended(&self, slot: &Arc<Slot>) {
        if slot.state.lock().status != Status::Failed {
            self.tasks.lock().retain(|task| !Arc::ptr_eq(&task.slot, slot));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a supervised thread pauses before its restart")]
fn block_for(pause: Duration) {
    thread::sleep(pause);
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

fn problem(slot: &Slot, now: Instant) -> Option<TaskProblem> {
    let kind = slot.kind;
    let state = slot.state.lock();
    let error = state.error.as_deref().unwrap_or("unknown error");
    let (code, message) = match state.status {
        Status::Failed => ("task-failed", format!("task `{kind}` failed: {error}")),
        Status::Restarting(at) => {
            let secs = at.saturating_duration_since(now).as_secs();
            let failures = state.failures;
            let times = if failures == 1 { "once".into() } else { format!("{failures} times in a row") };
            let when = if secs == 0 { "now".into() } else { format!("in {secs} s") };
            ("task-restarting", format!("task `{kind}` failed {times} and restarts {when}: {error}"))
        }
        Status::Running => {
            let silence = slot.silence(now);
            if silence <= kind.policy().stuck_after {
                return None;
            }
            ("task-stuck", format!("task `{kind}` has made no progress for {} s", silence.as_secs()))
        }
    };
    Some(TaskProblem { kind, code, message })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".into())
}

#[cfg(test)]
mod tests;
