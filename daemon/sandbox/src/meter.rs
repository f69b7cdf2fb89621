//! The CPU time of a call, measured with the clock of its thread.
//!
//! Calls share guest threads and take turns, so only the time inside a call's own polls counts.
//! Most calls end within their first turn, before the first tick, and reading the thread's CPU
//! clock for each would be a system call each. So the first turn is measured with the monotonic
//! clock, which needs none. If it took longer than a tick, the CPU clock is read after all and
//! compared with its last reading on this thread, at most a tick ago: a thread that the system
//! suspended is not mistaken for one that worked. From the first tick on, the CPU clock is read at
//! every turn.

use crate::limits;
use rustix::time::{ClockId, clock_gettime};
use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;

thread_local! {
    /// When this thread's CPU clock was last read (monotonic), and its value.
    static LAST_READ: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A tick in nanoseconds.
const TICK_NS: u64 = limits::TICK_MS * 1_000_000;

/// Measures one call at a time. Atomic only because the epoch's callback and the poll both use it;
/// they never run at the same time.
#[derive(Debug, Default)]
pub struct Meter {
    used_ns: AtomicU64,
    /// The start of the current turn, on the clock that `by_cpu` selects.
    mark_ns: AtomicU64,
    by_cpu: AtomicBool,
}

/// The message of a panic.
#[derive(Debug)]
pub struct Panicked(pub String);

impl Meter {
    /// Runs `work`, measuring from zero. A panic in it is returned as an error.
    pub fn run<F: Future>(&self, mut work: Pin<&mut F>) -> impl Future<Output = Result<F::Output, Panicked>> {
        self.used_ns.store(0, Relaxed);
        self.by_cpu.store(false, Relaxed);
        poll_fn(move |cx| {
            self.resume();
            // After a panic the work's data may be inconsistent; the caller drops its store.
            let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
            self.charge();
            match polled {
                Ok(polled) => polled.map(Ok),
                Err(payload) => Poll::Ready(Err(Panicked(panic_text(payload.as_ref())))),
            }
        })
    }

    /// CPU time so far in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns.load(Relaxed)
    }

    /// CPU time so far in nanoseconds, at a tick inside a poll.
    pub fn tick(&self) -> u64 {
        self.charge();
        if !self.by_cpu.swap(true, Relaxed) {
            self.mark_ns.store(cpu_ns(), Relaxed);
        }
        self.used_ns()
    }

    fn resume(&self) {
        let mark = if self.by_cpu.load(Relaxed) {
            cpu_ns()
        } else {
            let now = nanos(ClockId::Monotonic);
            if now.saturating_sub(LAST_READ.get().0) > TICK_NS {
                cpu_ns();
            }
            now
        };
        self.mark_ns.store(mark, Relaxed);
    }

    /// Adds the time since the mark, and moves the mark.
    fn charge(&self) {
        if self.by_cpu.load(Relaxed) {
            let now = cpu_ns();
            self.used_ns.fetch_add(now.saturating_sub(self.mark_ns.swap(now, Relaxed)), Relaxed);
            return;
        }
        let now = nanos(ClockId::Monotonic);
        let passed = now.saturating_sub(self.mark_ns.swap(now, Relaxed));
        let before = LAST_READ.get().1;
        let used = if passed > TICK_NS { passed.min(cpu_ns().saturating_sub(before)) } else { passed };
        self.used_ns.fetch_add(used, Relaxed);
    }
}

/// The thread's CPU clock: a system call, about a hundred nanoseconds.
fn cpu_ns() -> u64 {
    let cpu = nanos(ClockId::ThreadCPUTime);
    LAST_READ.set((nanos(ClockId::Monotonic), cpu));
    cpu
}

/// The monotonic clock needs no system call (vDSO), about twenty nanoseconds.
fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks start at zero and reach 2^64 ns after five hundred years.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The message of a panic, if it is text.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    async fn run<F: Future>(meter: &Meter, work: F) -> Result<F::Output, Panicked> {
        meter.run(pin!(work)).await
    }

    fn burn(ns: u64) {
        let start = cpu_ns();
        while cpu_ns() - start < ns {}
    }

    #[tokio::test]
    async fn only_polls_of_the_call_count() {
        let meter = Meter::default();
        let used = run(&meter, async {
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
    #[expect(clippy::disallowed_methods, reason = "a sleeping thread must use no CPU")]
    async fn sleeping_thread_uses_no_cpu() {
        let meter = Meter::default();
        let slept = run(&meter, async { std::thread::sleep(std::time::Duration::from_millis(50)) });
        slept.await.unwrap();
        assert!(meter.used_ns() < 20_000_000, "{}", meter.used_ns());
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a sleeping thread must use no CPU")]
    async fn sleeping_thread_uses_no_cpu_after_a_tick() {
        let meter = Meter::default();
        let slept = run(&meter, async {
            meter.tick();
            std::thread::sleep(std::time::Duration::from_millis(30));
            meter.tick()
        });
        let used = slept.await.unwrap();
        assert!(used < 20_000_000, "{used}");
    }

    #[tokio::test]
    async fn panic_is_returned_with_its_message() {
        let meter = Meter::default();
        let ended: Result<(), Panicked> = run(&meter, async { panic!("number {}", 7) }).await;
        assert_eq!(ended.unwrap_err().0, "number 7");
        assert_eq!(run(&meter, async { 1 }).await.unwrap(), 1);
    }
}
