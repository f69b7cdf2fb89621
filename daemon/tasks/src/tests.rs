//! What follows a failure, and how it is reported.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;
use tokio::task::yield_now;

fn fail(text: &str) {
    panic!("{text}");
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

fn report(tasks: &Tasks, kind: TaskKind) -> TaskReport {
    tasks.reports().into_iter().find(|report| report.kind == kind).unwrap()
}

#[tokio::test]
async fn task_that_panics_is_restarted() {
    let tasks = Tasks::default();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    tasks.spawn(TaskKind::Windows, move |_| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            assert!(!first, "no windows");
            std::future::pending::<()>().await;
        }
    });
    until(|| runs.load(Ordering::SeqCst) == 2).await;
    let report = report(&tasks, TaskKind::Windows);
    assert_eq!((report.healthy, report.panics, report.restarts), (true, 1, 1));
}

#[test]
fn pauses_grow_up_to_a_minute() {
    let pauses = [1, 2, 3, 10, 11, 1000].map(|failures| pause_after(failures).as_millis());
    assert_eq!(pauses, [100, 200, 400, 51_200, 60_000, 60_000]);
}

#[tokio::test]
async fn task_in_its_pause_is_reported_with_its_error() {
    let tasks = Tasks::default();
    tasks.spawn(TaskKind::Retention, |_| async { Err::<(), _>("the disk is gone") });
    until(|| !tasks.problems().is_empty()).await;
    let problem = tasks.problems().remove(0);
    assert_eq!((problem.kind, problem.code), (TaskKind::Retention, "task-restarting"));
    assert_eq!(problem.message, "task `retention` failed once and restarts now: the disk is gone");
    assert!(tasks.is_alive(), "a process restart would help no more than the task's own");
}

#[tokio::test]
async fn failed_essential_task_shuts_the_daemon_down_with_its_reason() {
    let tasks = Tasks::default();
    tasks.spawn_once(TaskKind::Dispatch, |_| async { fail("no lanes") });
    let failure = tasks.failure().await;
    assert_eq!(failure.to_string(), "task `dispatch` failed: no lanes");
    assert_eq!(tasks.problems()[0].code, "task-failed");
    assert!(!tasks.is_alive());
}

#[tokio::test]
async fn first_failure_is_the_reason() {
    let tasks = Tasks::default();
    tasks.spawn_once(TaskKind::Dispatch, |_| async { Err::<(), _>("first") });
    tasks.failure().await;
    tasks.spawn_once(TaskKind::Outbox, |_| async { Err::<(), _>("second") });
    until(|| tasks.problems().len() == 2).await;
    assert_eq!(tasks.failure().await.reason, "first");
}

#[tokio::test]
async fn factory_that_panics_counts_as_a_task_that_does() {
    let tasks = Tasks::default();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    tasks.spawn(TaskKind::Media, move |_| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "not yet");
        std::future::pending::<()>()
    });
    until(|| calls.load(Ordering::SeqCst) == 2).await;
    assert_eq!(report(&tasks, TaskKind::Media).panics, 1);
}

#[tokio::test]
async fn silent_task_is_stuck_unless_it_is_idle() {
    let tasks = Tasks::default();
    let (go_on, gone_on) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (waited_for, counted) = (Arc::clone(&go_on), Arc::clone(&gone_on));
    tasks.spawn(TaskKind::Dispatch, move |heartbeat| {
        let (waited_for, counted) = (Arc::clone(&waited_for), Arc::clone(&counted));
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            heartbeat.idle(waited_for.notified()).await;
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    });
    until(|| gone_on.load(Ordering::SeqCst) == 1).await;
    assert_eq!(tasks.problems_at(Instant::now() + Duration::from_secs(3600)), []);
    go_on.notify_one();
    until(|| gone_on.load(Ordering::SeqCst) == 2).await;
    let problems = tasks.problems_at(Instant::now() + Duration::from_millis(16_500));
    assert_eq!(problems[0].code, "task-stuck");
    assert_eq!(problems[0].message, "task `dispatch` has made no progress for 16 s");
    assert!(!is_alive(&problems));
}

#[tokio::test]
async fn task_that_ends_as_asked_is_forgotten() {
    let tasks = Tasks::default();
    tasks.spawn(TaskKind::Documents, |_| async {});
    until(|| tasks.reports().is_empty()).await;
    assert_eq!(tasks.problems(), []);
}

#[tokio::test]
async fn stop_returns_when_the_tasks_of_a_kind_have_ended() {
    struct Held(Arc<AtomicU32>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let tasks = Tasks::default();
    let held = Arc::new(AtomicU32::new(0));
    for kind in [TaskKind::Windows, TaskKind::Windows, TaskKind::Media] {
        let held = Arc::clone(&held);
        tasks.spawn(kind, move |_| {
            held.fetch_add(1, Ordering::SeqCst);
            let held = Held(Arc::clone(&held));
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
        });
    }
    until(|| held.load(Ordering::SeqCst) == 3).await;
    tasks.stop(&[TaskKind::Windows]).await;
    assert_eq!(held.load(Ordering::SeqCst), 1);
    assert_eq!(tasks.reports().len(), 1);
}

#[test]
fn thread_that_panics_is_restarted() {
    let tasks = Tasks::default();
    let mut runs = 0;
    let thread = tasks.thread(TaskKind::Checkpoint, "test", move |_| {
        runs += 1;
        assert!(runs > 1, "the first run fails");
    });
    thread.unwrap().join().unwrap();
    assert_eq!(tasks.0.counts.lock()[&TaskKind::Checkpoint].panics, 1);
    assert_eq!(tasks.reports(), []);
}

#[tokio::test]
async fn thread_that_must_not_fail_shuts_the_daemon_down() {
    let tasks = Tasks::default();
    let thread = tasks.thread(TaskKind::StoreWriter, "test", |_| fail("no disk"));
    thread.unwrap().join().unwrap();
    assert_eq!(tasks.failure().await.to_string(), "task `store-writer` failed: no disk");
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn faults_strike_idle_tasks_of_their_kind() {
    let tasks = Tasks::default();
    tasks.spawn(TaskKind::Schedules, |heartbeat| async move { heartbeat.idle(std::future::pending::<()>()).await });
    assert!(!tasks.inject(TaskKind::Windows, Fault::Panic));
    assert!(tasks.inject(TaskKind::Schedules, Fault::Panic));
    until(|| report(&tasks, TaskKind::Schedules).panics == 1).await;
    until(|| report(&tasks, TaskKind::Schedules).healthy).await;
}

#[tokio::test]
async fn panic_hook_can_ask_which_task_runs() {
    let tasks = Tasks::default();
    let (kinds, mut received) = tokio::sync::mpsc::channel(1);
    tasks.spawn(TaskKind::Reload, move |_| {
        let kinds = kinds.clone();
        async move { kinds.send(current()).await.unwrap() }
    });
    assert_eq!(received.recv().await, Some(Some(TaskKind::Reload)));
    assert_eq!(current(), None);
}
