//! Segments and lists of people, which the operator defined. A list is named `list:NAME`. Must be
//! granted.

use crate::host;
use crate::types::{ContactId, Refusal};

/// Members, and the start of the next page in `next`.
pub use crate::bindings::imports::segments::SegmentPage;

/// Whether the contact belongs to the segment now.
pub fn contains(segment: &str, contact: &str) -> Result<bool, Refusal> {
    host::segments::contains(segment, contact)
}

/// Up to `limit` members (maximum 500) after `after`, in the order in which they became known. A
/// page may have fewer, or none, and not be the last: go on until `next` is `None`, or use
/// [`members`].
pub fn page(segment: &str, after: Option<&str>, limit: u32) -> Result<SegmentPage, Refusal> {
    host::segments::page(segment, after, limit)
}

/// All members, read page by page. Of a large segment, remember where you are and go on in another
/// event: a handling has limits.
pub fn members(segment: &str) -> Members {
    Members { segment: segment.to_owned(), page: Vec::new().into_iter(), next: Some(None) }
}

/// The iterator of [`members`]. It ends after a refusal.
pub struct Members {
    segment: String,
    page: std::vec::IntoIter<ContactId>,
    /// Where the next page starts; none if there is none.
    next: Option<Option<String>>,
}

impl Iterator for Members {
    type Item = Result<ContactId, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(contact) = self.page.next() {
                return Some(Ok(contact));
            }
            let after = self.next.take()?;
            match page(&self.segment, after.as_deref(), 500) {
                Ok(page) => {
                    self.page = page.contacts.into_iter();
                    self.next = page.next.map(Some);
                }
                Err(refusal) => return Some(Err(refusal)),
            }
        }
    }
}
