//! Pages by time of change. An offset alone would skip a contact whenever an earlier one of the
//! list changes and moves to its end.

use crate::port::Record;

/// Where a page starts: at a time, after so many contacts of exactly that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Milliseconds since 1970.
    pub since_ms: i64,
    /// Contacts to skip.
    pub offset: usize,
}

impl Place {
    /// From the arguments of `Changes`.
    pub fn read(since: &str, page: Option<&str>) -> Self {
        let (since, offset) = page.and_then(|page| page.split_once('|')).unwrap_or((since, "0"));
        Self { since_ms: since.parse().unwrap_or_default(), offset: offset.parse().unwrap_or_default() }
    }

    /// The page after these contacts, if they fill one.
    pub fn after(self, records: &[Record], limit: usize) -> Option<String> {
        let last_ms = records.last()?.updated_at_ms?;
        if records.len() < limit {
            return None;
        }
        let same = records.iter().rev().take_while(|record| record.updated_at_ms == Some(last_ms)).count();
        // The time of a page is rounded to what the system can be asked for.
        let is_same_place = last_ms == self.since_ms && same == records.len();
        let offset = if is_same_place { self.offset + same } else { same };
        Some(format!("{last_ms}|{offset}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(times: &[i64]) -> Vec<Record> {
        times.iter().map(|at| Record { updated_at_ms: Some(*at), ..Record::default() }).collect()
    }

    #[test]
    fn the_next_page_starts_at_the_last_time() {
        let first = Place::read("5", None);
        assert_eq!(first.after(&records(&[5, 6, 7, 7]), 4).as_deref(), Some("7|2"));
        assert_eq!(first.after(&records(&[5, 6]), 4), None);
        let second = Place::read("5", Some("7|2"));
        assert_eq!(second, Place { since_ms: 7, offset: 2 });
        assert_eq!(second.after(&records(&[7, 7, 7, 7]), 4).as_deref(), Some("7|6"));
        assert_eq!(second.after(&records(&[7, 8, 8, 8]), 4).as_deref(), Some("8|3"));
        assert_eq!(second.after(&[], 4), None);
    }
}
