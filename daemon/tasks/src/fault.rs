//! Faults on purpose, for tests. This module exists in debug builds only.
//!
//! A fault strikes inside the task's own stack, at its next beat or while it is idle, so that a
//! test sees what a real panic there would do.

use crate::kind::TaskKind;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It panics once.
    Panic,
    /// Its heartbeats are lost until it is restarted.
    Silence,
}

const NONE: u8 = 0;
const PANIC: u8 = 1;
const SILENCE: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Injected {
    fault: AtomicU8,
    changed: Notify,
}

impl Injected {
    pub fn inject(&self, fault: Fault) {
        let fault = match fault {
            Fault::Panic => PANIC,
            Fault::Silence => SILENCE,
        };
        self.fault.store(fault, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Panics if that is the fault. Returns whether the beat is lost.
    #[expect(clippy::panic, reason = "that is the fault")]
    pub fn strikes(&self, kind: TaskKind) -> bool {
        if self.fault.compare_exchange(PANIC, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            panic!("injected fault in `{kind}`");
        }
        self.fault.load(Ordering::SeqCst) == SILENCE
    }

    /// `wait`, interrupted by a fault.
    pub async fn interrupt<T>(&self, kind: TaskKind, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        loop {
            let changed = self.changed.notified();
            self.strikes(kind);
            tokio::select! {
                done = &mut wait => return done,
                () = changed => {}
            }
        }
    }
}
