//! How much CPU a call has used, by the clock of the thread it runs on.
//!
//! Many calls share a guest thread and take turns, so only the time inside a call's own polls is its own. A call that
//! ends before the first tick costs no system call for it: its time is read from the monotonic clock, which needs none,
//! and is never less than the CPU it used. From the first tick on the thread's CPU clock is read at each turn.

use rustix::time::{ClockId, clock_gettime};
use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;

thread_local! {
    /// What this thread's CPU clock said when it was last read: no call of this thread began its turn with less.
    static LAST_READ_NS: Cell<u64> = const { Cell::new(0) };
}

/// Counts for one call at a time. Atomics only because the epoch's callback and the poll both reach it; they never run
/// at once.
#[derive(Debug, Default)]
pub struct Meter {
    used_ns: AtomicU64,
    /// Where the running turn is counted from, on the clock that `by_cpu` says.
    mark_ns: AtomicU64,
    by_cpu: AtomicBool,
}

/// What a panic left behind, as text.
#[derive(Debug)]
pub struct Panicked(pub String);

impl Meter {
    /// Runs `work`, counting from zero. A panic in it comes back as an error.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Panicked> {
        self.used_ns.store(0, Relaxed);
        self.by_cpu.store(false, Relaxed);
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.resume();
            // What the work had in its hands may be half done after a panic; the caller throws its store away.
            let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
            self.charge();
            match polled {
                Ok(polled) => polled.map(Ok),
                Err(payload) => Poll::Ready(Err(Panicked(panic_text(payload.as_ref())))),
            }
        })
        .await
    }

    /// What was used until now, in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns.load(Relaxed)
    }

    /// At a tick, inside a poll: what was used until now, in nanoseconds.
    pub fn tick(&self) -> u64 {
        if self.by_cpu.load(Relaxed) {
            self.charge();
        } else {
            // Two upper bounds of this turn: the time that passed, and all that this thread did since it was last asked.
            let by_thread = LAST_READ_NS.get();
            let cpu = cpu_ns();
            let passed = monotonic_ns().saturating_sub(self.mark_ns.load(Relaxed));
            self.used_ns.fetch_add(passed.min(cpu.saturating_sub(by_thread)), Relaxed);
            self.by_cpu.store(true, Relaxed);
            self.mark_ns.store(cpu, Relaxed);
        }
        self.used_ns()
    }

    fn resume(&self) {
        self.mark_ns.store(self.now_ns(), Relaxed);
    }

    fn charge(&self) {
        let now = self.now_ns();
        let mark = self.mark_ns.swap(now, Relaxed);
        self.used_ns.fetch_add(now.saturating_sub(mark), Relaxed);
    }

    fn now_ns(&self) -> u64 {
        if self.by_cpu.load(Relaxed) { cpu_ns() } else { monotonic_ns() }
    }
}

/// A system call, some hundred nanoseconds.
fn cpu_ns() -> u64 {
    let now = nanos(ClockId::ThreadCPUTime);
    LAST_READ_NS.set(now);
    now
}

/// No system call (vDSO), some twenty nanoseconds.
fn monotonic_ns() -> u64 {
    nanos(ClockId::Monotonic)
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks start at zero and neither reaches 2^64 ns in five hundred years.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What `panic!` said, where it said text.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(ns: u64) {
        let start = cpu_ns();
        while cpu_ns() - start < ns {}
    }

    #[tokio::test]
    async fn only_the_call_s_own_polls_count() {
        let meter = Meter::default();
        let used = meter.run(async {
            meter.tick();
            burn(3_000_000);
            tokio::task::yield_now().await;
            burn(2_000_000);
            meter.tick()
        });
        let other = async { burn(50_000_000) };
        let (used, ()) = tokio::join!(used, other);
        let used = used.unwrap();
        assert!((5_000_000..40_000_000).contains(&used), "{used}");
    }

    #[tokio::test]
    async fn waiting_costs_nothing_once_it_ticked() {
        let meter = Meter::default();
        let slept = meter.run(async {
            meter.tick();
            std::thread::sleep(std::time::Duration::from_millis(30));
            meter.tick()
        });
        let used = slept.await.unwrap();
        assert!(used < 20_000_000, "{used}");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_its_words_are_kept() {
        let meter = Meter::default();
        let ended: Result<(), Panicked> = meter.run(async { panic!("number {}", 7) }).await;
        assert_eq!(ended.unwrap_err().0, "number 7");
        assert_eq!(meter.run(async { 1 }).await.unwrap(), 1);
    }
}
