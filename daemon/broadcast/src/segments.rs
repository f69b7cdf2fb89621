//! The interface to the crate that evaluates segments and lists.

use beadle_model::{ContactId, Timestamp};
use beadle_store::StoreError;

/// A page of the people of a segment or list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentPage {
    /// In the order of their ids. A page that is not the last may have few of them, or none.
    pub members: Vec<ContactId>,
    /// Where the next page begins. None: this is the last one.
    pub next: Option<ContactId>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SegmentProblem {
    /// There is no such segment, or it cannot be evaluated.
    #[error("{0}")]
    Unusable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Evaluates segments and lists. Blocks.
pub trait SegmentReader: Send + Sync {
    /// The people of a segment at a time, after this one.
    ///
    /// # Errors
    /// If there is no such segment, or the store fails.
    fn page(
        &self,
        name: &str,
        now: Timestamp,
        after: Option<ContactId>,
        limit: usize,
    ) -> Result<SegmentPage, SegmentProblem>;
}
