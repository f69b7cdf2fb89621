//! Catches a panic in one piece of work, where its owner knows what was left undone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs this to its end. `Err`: it panicked, with this message; the panic hook has reported where.
///
/// What it left half done in memory is for the caller to know: here nothing outlives a handling but
/// locks, which do not poison, and guards, which are dropped.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(text(&*panic))),
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_after_a_wait_is_returned() {
        let failed = caught(async {
            tokio::task::yield_now().await;
            panic!("on purpose {}", 1);
        });
        assert_eq!(failed.await, Err::<(), _>("on purpose 1".into()));
        assert_eq!(caught(async { 2 }).await, Ok(2));
    }
}
