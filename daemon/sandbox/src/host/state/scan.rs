//! Listings: what the store has, with this call's own writes laid over it.
//!
//! The store is read until there is certainly enough: `limit` entries and one more for each key that this call may have
//! deleted. So the merged listing ends before the stretch that was read does, and a key that this call wrote behind that
//! stretch cannot come too early.

use super::{Overlay, Pending, counted, text};
use crate::abi::latest::state::Entry;
use crate::abi::latest::types as wit;
use crate::host::{HostState, No, scope};
use crate::limits;
use beadle_model::effect::StateRead;
use beadle_model::{Refusal, Scope, Timestamp};
use std::collections::BTreeMap;

/// Entries that are asked of the store at once: with the largest values 16 MiB.
const CHUNK: usize = 64;

/// A stretch of the store.
struct Stretch {
    entries: Vec<(String, Vec<u8>, i64)>,
    /// The last key, where there may be more behind it.
    until: Option<String>,
}

impl HostState {
    pub(super) fn scan_state(
        &mut self,
        about: wit::Scope,
        prefix: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Entry>, No> {
        self.has_state()?;
        let about = scope(about)?;
        let limit = (limit as usize).min(limits::SCAN_ENTRIES);
        if limit == 0 {
            return Ok(vec![]);
        }
        let deleted = self
            .task
            .overlay
            .writes
            .values()
            .filter(|pending| matches!(pending, Pending::Gone | Pending::Value(_, Some(_))))
            .count();
        let stretch = self.stretch(about, prefix, after.as_deref(), limit + deleted)?;
        self.saw(stretch.entries.len() + 1)?;
        let now = self.senses.now();
        let listing = self.task.overlay.over(&stretch, about, prefix, after.as_deref(), now)?;
        self.task.effects.reads.push(StateRead::Scan {
            scope: about,
            prefix: prefix.into(),
            after,
            seen: stretch.entries.into_iter().map(|(key, _, version)| (key, version)).collect(),
            until: stretch.until,
        });
        Ok(listing.into_iter().take(limit).map(|(key, value)| Entry { key, value }).collect())
    }

    fn stretch(&self, scope: Scope, prefix: &str, after: Option<&str>, most: usize) -> Result<Stretch, No> {
        let mut entries: Vec<(String, Vec<u8>, i64)> = Vec::new();
        let (mut bytes, state) = (0, self.facts.state.get());
        loop {
            let chunk = CHUNK.min(most - entries.len());
            let behind = entries.last().map(|last| last.0.as_str()).or(after);
            let found = self.facts.reader.state_scan(state, scope, prefix, behind, chunk, self.senses.now())?;
            let ended = found.len() < chunk;
            bytes += found.iter().map(|(key, value, _)| key.len() + value.len()).sum::<usize>();
            entries.extend(found);
            if bytes > limits::SCAN_BYTES {
                let most = limits::SCAN_BYTES;
                return Err(Refusal::new("scan-too-large", format!("These entries are more than {most} bytes."))
                    .instead("Ask with a smaller limit, and again from behind the last key.")
                    .into());
            }
            if ended {
                return Ok(Stretch { entries, until: None });
            }
            if entries.len() >= most {
                let until = entries.last().map(|last| last.0.clone());
                return Ok(Stretch { entries, until });
            }
        }
    }
}

impl Overlay {
    /// The stretch with this call's writes over it, in key order.
    fn over(
        &self,
        stretch: &Stretch,
        about: Scope,
        prefix: &str,
        after: Option<&str>,
        now: Timestamp,
    ) -> Result<BTreeMap<String, Vec<u8>>, No> {
        let mut listing: BTreeMap<String, Vec<u8>> =
            stretch.entries.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
        for ((scope, key), pending) in &self.writes {
            let listed = *scope == about
                && key.starts_with(prefix)
                && after.is_none_or(|after| key.as_str() > after)
                && stretch.until.as_ref().is_none_or(|until| key <= until);
            if !listed {
                continue;
            }
            match pending {
                Pending::Value(value, at) if at.is_none_or(|at| at > now) => {
                    listing.insert(key.clone(), value.clone());
                }
                Pending::Value(..) | Pending::Gone => {
                    listing.remove(key);
                }
                Pending::More(more) => {
                    let sum = counted(listing.get(key).map(Vec::as_slice), *more)?;
                    listing.insert(key.clone(), text(sum));
                }
            }
        }
        Ok(listing)
    }
}
