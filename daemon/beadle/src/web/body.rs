//! Reading request bodies of unknown peers within a budget of memory.
//!
//! A body takes from the budget as it arrives, not as it is announced, so a peer holds no more than
//! it has sent. When the budget is used up the request is refused at once; the platform sends it
//! again.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much of a body that is too large is discarded before the connection is closed, and for how
/// long. Real time.
const DISCARD_BYTES: usize = 16 << 20;
const DISCARD_WITHIN: Duration = Duration::from_secs(2);

/// The unit of the budget.
const KIB: usize = 1024;

/// Memory for the bodies of all requests in progress.
#[derive(Clone, Debug)]
pub struct BodyBudget(Arc<Semaphore>);

/// A whole body. Its memory goes back to the budget when it is dropped.
#[derive(Debug)]
pub struct WholeBody {
    /// The bytes.
    pub bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// It took too long.
    TimedOut,
    /// The budget is used up.
    OverBudget,
    /// The connection broke.
    Broken,
}

impl BodyBudget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / KIB)))
    }

    /// Reads a body of at most `limit` bytes, in the given time.
    pub async fn read(&self, mut body: Body, limit: usize, within: Duration) -> Result<WholeBody, BodyError> {
        let read = tokio::time::timeout(within, self.read_all(&mut body, limit)).await;
        let read = read.unwrap_or(Err(BodyError::TimedOut));
        if read.as_ref().is_err_and(|error| *error == BodyError::TooLarge) {
            discard(body).await;
        }
        read
    }

    async fn read_all(&self, body: &mut Body, limit: usize) -> Result<WholeBody, BodyError> {
        let announced = http_body::Body::size_hint(body).lower();
        if usize::try_from(announced).unwrap_or(usize::MAX) > limit {
            return Err(BodyError::TooLarge);
        }
        // Most bodies arrive in one piece, which is not copied.
        let (mut first, mut rest) = (Bytes::new(), Vec::new());
        let mut permit: Option<OwnedSemaphorePermit> = None;
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            length += data.len();
            if length > limit {
                return Err(BodyError::TooLarge);
            }
            self.take(&mut permit, length)?;
            if first.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
        }
        let bytes = if rest.is_empty() { first } else { rest.into() };
        Ok(WholeBody { bytes, _permit: permit })
    }

    /// Raises what a body holds to its length.
    fn take(&self, permit: &mut Option<OwnedSemaphorePermit>, length: usize) -> Result<(), BodyError> {
        let held = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.div_ceil(KIB).saturating_sub(held);
        let more = u32::try_from(more).map_err(|_| BodyError::OverBudget)?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| BodyError::OverBudget)?;
        match permit {
            Some(permit) => permit.merge(taken),
            None => *permit = Some(taken),
        }
        Ok(())
    }
}

/// Discards the rest of a body, so that its sender reads the answer instead of finding the
/// connection broken.
async fn discard(mut body: Body) {
    let discarding = async {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, Bytes::len);
            if length > DISCARD_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_WITHIN, discarding).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    const LONG: Duration = Duration::from_secs(60);

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<Result<Bytes, Infallible>> = sizes.iter().map(|size| Ok(vec![b'x'; *size].into())).collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn bodies_in_progress_share_the_budget() {
        let budget = BodyBudget::new(8 * KIB);
        let first = budget.read(chunks(&[KIB, 2 * KIB, 1]), 8 * KIB, LONG).await.unwrap();
        assert_eq!((first.bytes.len(), budget.0.available_permits()), (3 * KIB + 1, 4));
        let second = budget.read(chunks(&[4 * KIB, 1]), 8 * KIB, LONG).await;
        assert_eq!(second.unwrap_err(), BodyError::OverBudget);
        assert_eq!(budget.0.available_permits(), 4, "a refused body holds nothing");
        drop(first);
        assert_eq!(budget.read(chunks(&[8 * KIB]), 8 * KIB, LONG).await.unwrap().bytes.len(), 8 * KIB);
    }

    #[tokio::test]
    async fn body_over_the_limit_is_refused_whether_announced_or_not() {
        let budget = BodyBudget::new(1 << 20);
        for body in [Body::from("12345"), chunks(&[2, 2, 1])] {
            assert_eq!(budget.read(body, 4, LONG).await.unwrap_err(), BodyError::TooLarge);
        }
    }

    #[tokio::test]
    async fn body_that_does_not_arrive_is_given_up() {
        let budget = BodyBudget::new(1 << 20);
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(budget.read(never, 4, Duration::from_millis(10)).await.unwrap_err(), BodyError::TimedOut);
    }
}
