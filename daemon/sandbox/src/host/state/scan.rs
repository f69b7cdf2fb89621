//! `scan`: entries of the store, with the writes of this call applied.
//!
//! The store is read until there are certainly enough entries: `limit`, and one for each key that
//! this call may have deleted. So the result ends before the range that was read does, and a key
//! that this call wrote after that range is not returned too early.

use crate::bindings::latest::state::Entry;
use crate::bindings::latest::types as wit;
use crate::host::answer::HostError;
use crate::host::host_state::{HostState, check_key, scope};
use crate::host::overlay::{Overlay, Written, decimal, sum};
use crate::limits;
use beadle_model::effect::StateRead;
use beadle_model::{Effects, Refusal, Scope, Timestamp};
use std::collections::BTreeMap;

/// A prefix or a start key is no longer than a key. Both are kept until the commit.
fn check_bound(text: &str) -> Result<(), Refusal> {
    if text.is_empty() { Ok(()) } else { check_key(text) }
}

/// Entries read from the store at once: 16 MiB with the largest values.
const CHUNK: usize = 64;

/// A range of the store.
struct Range {
    entries: Vec<(String, Vec<u8>, i64)>,
    /// The last key, if there may be more entries after it.
    until: Option<String>,
}

impl HostState {
    pub fn scan_state(
        &mut self,
        owner: wit::Scope,
        prefix: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Entry>, HostError> {
        self.require_state()?;
        let owner = scope(owner)?;
        check_bound(prefix)?;
        after.as_deref().map_or(Ok(()), check_bound)?;
        let limit = (limit as usize).min(limits::SCAN_ENTRIES);
        if limit == 0 {
            return Ok(vec![]);
        }
        let deleted = self
            .task
            .overlay
            .writes
            .values()
            .filter(|pending| {
                matches!(pending.value(&self.task.effects), Written::Deleted | Written::Value(_, Some(_)))
            })
            .count();
        let range = self.read_range(owner, prefix, after.as_deref(), limit + deleted)?;
        self.count_reads(range.entries.len() + 1)?;
        let now = self.inputs.now();
        let listing = self.task.overlay.apply(&self.task.effects, &range, owner, prefix, after.as_deref(), now)?;
        self.task.effects.reads.push(StateRead::Scan {
            scope: owner,
            prefix: prefix.into(),
            after,
            seen: range.entries.into_iter().map(|(key, _, version)| (key, version)).collect(),
            until: range.until,
        });
        Ok(listing.into_iter().take(limit).map(|(key, value)| Entry { key, value }).collect())
    }

    fn read_range(&self, scope: Scope, prefix: &str, after: Option<&str>, count: usize) -> Result<Range, HostError> {
        let mut entries: Vec<(String, Vec<u8>, i64)> = Vec::new();
        let (mut bytes, state) = (0, self.facts.state.get());
        loop {
            let chunk = CHUNK.min(count - entries.len());
            let behind = entries.last().map(|last| last.0.as_str()).or(after);
            let found = self.facts.reader.state_scan(state, scope, prefix, behind, chunk, self.inputs.now())?;
            let ended = found.len() < chunk;
            bytes += found.iter().map(|(key, value, _)| key.len() + value.len()).sum::<usize>();
            entries.extend(found);
            if bytes > limits::SCAN_BYTES {
                let message = format!("These entries have more than {} bytes.", limits::SCAN_BYTES);
                return Err(Refusal::new("scan-too-large", message)
                    .instead("Use a smaller limit, and continue after the last key.")
                    .into());
            }
            if ended {
                return Ok(Range { entries, until: None });
            }
            if entries.len() >= count {
                let until = entries.last().map(|last| last.0.clone());
                return Ok(Range { entries, until });
            }
        }
    }
}

impl Overlay {
    /// The range with the writes of this call applied, in key order.
    fn apply(
        &self,
        effects: &Effects,
        range: &Range,
        owner: Scope,
        prefix: &str,
        after: Option<&str>,
        now: Timestamp,
    ) -> Result<BTreeMap<String, Vec<u8>>, HostError> {
        let mut listing: BTreeMap<String, Vec<u8>> =
            range.entries.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
        for ((scope, key), pending) in &self.writes {
            let listed = *scope == owner
                && key.starts_with(prefix)
                && after.is_none_or(|after| key.as_str() > after)
                && range.until.as_ref().is_none_or(|until| key <= until);
            if !listed {
                continue;
            }
            match pending.value(effects) {
                Written::Value(value, at) if at.is_none_or(|at| at > now) => {
                    listing.insert(key.clone(), value.to_vec());
                }
                Written::Value(..) | Written::Deleted => {
                    listing.remove(key);
                }
                Written::Added(delta) => {
                    let counter = sum(listing.get(key).map(Vec::as_slice), delta)?;
                    listing.insert(key.clone(), decimal(counter));
                }
            }
        }
        Ok(listing)
    }
}
