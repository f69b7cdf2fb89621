//! `state`: persistent key-value state.
//!
//! Writes are recorded. Reads see them first and then the store. What was read from the store is
//! recorded with its version, and the commit checks that it still holds. `add` reads too, to refuse
//! with `not-a-counter` at once, but records no read: it never conflicts.

use super::{Answer, HostError, HostState, answer, check_key, scope};
use crate::bindings::latest::state::{Entry, Host};
use crate::bindings::latest::types as wit;
use crate::limits;
use beadle_model::effect::{StateRead, StateWrite};
use beadle_model::{Effects, Refusal, Scope, Timestamp};
use std::collections::BTreeMap;

mod scan;

/// The writes of this call by key: what a read returns before it asks the store.
#[derive(Default)]
pub struct Overlay {
    writes: BTreeMap<(Scope, String), Pending>,
    /// The number of entries and versions that this call read from the store.
    read: usize,
    /// The size of the plugin's state in the store, once it was read.
    stored_bytes: Option<u64>,
}

/// The future value of a key.
enum Pending {
    /// What the effect with this index sets. Values may be large, so they are kept once.
    Set(usize),
    /// A counter, set in this call and added to, with its expiry.
    Counter(Vec<u8>, Option<Timestamp>),
    Deleted,
    /// The stored counter plus this.
    Added(i64),
}

impl Host for HostState {
    async fn get(&mut self, scope: wit::Scope, key: String) -> Answer<Option<Vec<u8>>> {
        self.enter()?;
        answer(self.get_state(scope, key))
    }

    async fn set(&mut self, scope: wit::Scope, key: String, value: Vec<u8>, expires_at: Option<i64>) -> Answer<()> {
        self.enter()?;
        answer(self.set_state(scope, key, value, expires_at.map(Timestamp)))
    }

    async fn delete(&mut self, scope: wit::Scope, key: String) -> Answer<()> {
        self.enter()?;
        answer(self.delete_state(scope, key))
    }

    async fn scan(
        &mut self,
        scope: wit::Scope,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<Entry>> {
        self.enter()?;
        answer(self.scan_state(scope, &prefix, after, limit))
    }

    async fn add(&mut self, scope: wit::Scope, key: String, delta: i64) -> Answer<()> {
        self.enter()?;
        answer(self.add_state(scope, key, delta))
    }
}

impl HostState {
    fn get_state(&mut self, owner: wit::Scope, key: String) -> Result<Option<Vec<u8>>, HostError> {
        self.require_state()?;
        let owner = scope(owner)?;
        check_key(&key)?;
        let now = self.inputs.now();
        let name = (owner, key);
        let task = &self.task;
        let added = match task.overlay.writes.get(&name).map(|pending| pending.value(&task.effects)) {
            Some(Written::Value(value, expires_at)) => {
                return Ok(expires_at.is_none_or(|at| at > now).then(|| value.to_vec()));
            }
            Some(Written::Deleted) => return Ok(None),
            Some(Written::Added(delta)) => Some(delta),
            None => None,
        };
        let stored = self.read(name.0, name.1)?;
        match added {
            Some(delta) => Ok(Some(decimal(sum(stored.as_deref(), delta)?))),
            None => Ok(stored),
        }
    }

    /// Reads from the store and records the version.
    fn read(&mut self, scope: Scope, key: String) -> Result<Option<Vec<u8>>, HostError> {
        self.count_reads(1)?;
        let found = self.facts.reader.state_get(self.facts.state.get(), scope, &key, self.inputs.now())?;
        let (value, version) = found.unzip();
        self.task.effects.reads.push(StateRead::Key { scope, key, version });
        Ok(value)
    }

    fn count_reads(&mut self, entries: usize) -> Result<(), Refusal> {
        let overlay = &mut self.task.overlay;
        overlay.read += entries;
        if overlay.read <= limits::READ_ENTRIES {
            return Ok(());
        }
        let message = format!("A plugin may read {} entries of state per event.", limits::READ_ENTRIES);
        Err(Refusal::new("too-many-reads", message).instead("Keep a summary under one key, or continue with a timer."))
    }

    fn set_state(
        &mut self,
        owner: wit::Scope,
        key: String,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Result<(), HostError> {
        self.require_state()?;
        let owner = scope(owner)?;
        check_key(&key)?;
        let max = self.facts.limits.value_bytes();
        if value.len() > max {
            let (bytes, plugin) = (value.len(), &self.facts.name);
            let message = format!("A value may have {max} bytes; this one has {bytes}.");
            return Err(Refusal::new("value-too-large", message)
                .instead(format!("Split the value, or raise `[plugins.{plugin}] limits.value_kib`."))
                .into());
        }
        self.check_quota(owner, &key, value.len())?;
        let effects = self.state_effect(key.len() + value.len())?;
        let index = effects.state.len();
        effects.state.push(StateWrite::Set { scope: owner, key: key.clone(), value, expires_at });
        self.task.overlay.writes.insert((owner, key), Pending::Set(index));
        Ok(())
    }

    fn delete_state(&mut self, owner: wit::Scope, key: String) -> Result<(), HostError> {
        let owner = scope(owner)?;
        check_key(&key)?;
        self.state_effect(key.len())?.state.push(StateWrite::Delete { scope: owner, key: key.clone() });
        self.task.overlay.writes.insert((owner, key), Pending::Deleted);
        Ok(())
    }

    fn add_state(&mut self, owner: wit::Scope, key: String, delta: i64) -> Result<(), HostError> {
        self.require_state()?;
        let owner = scope(owner)?;
        check_key(&key)?;
        let now = self.inputs.now();
        let name = (owner, key);
        let stored = || self.facts.reader.state_get(self.facts.state.get(), owner, &name.1, now);
        let task = &self.task;
        let pending = match task.overlay.writes.get(&name).map(|pending| pending.value(&task.effects)) {
            Some(Written::Value(value, at)) if at.is_none_or(|at| at > now) => {
                Pending::Counter(decimal(sum(Some(value), delta)?), at)
            }
            Some(Written::Value(..) | Written::Deleted) => Pending::Counter(decimal(delta), None),
            Some(Written::Added(before)) => {
                let added = before.checked_add(delta).ok_or_else(overflow)?;
                sum(stored()?.map(|found| found.0).as_deref(), added)?;
                Pending::Added(added)
            }
            None => {
                sum(stored()?.map(|found| found.0).as_deref(), delta)?;
                Pending::Added(delta)
            }
        };
        self.check_quota(owner, &name.1, COUNTER_BYTES)?;
        self.state_effect(name.1.len())?.state.push(StateWrite::Add { scope: owner, key: name.1.clone(), delta });
        self.task.overlay.writes.insert(name, pending);
        Ok(())
    }

    /// Checks that one more value fits into the plugin's quota. Only near the quota the values that are
    /// replaced are subtracted, which costs a read each.
    fn check_quota(&mut self, scope: Scope, key: &str, value_bytes: usize) -> Result<(), HostError> {
        let stored = match self.task.overlay.stored_bytes {
            Some(stored) => stored,
            None => self.facts.reader.state_bytes(self.facts.state.get())?,
        };
        self.task.overlay.stored_bytes = Some(stored);
        let mut after = stored.saturating_add((key.len() + value_bytes) as u64);
        for ((_, key), pending) in &self.task.overlay.writes {
            after = after.saturating_add(pending.value(&self.task.effects).bytes(key));
        }
        // During a migration old and new values may exist at the same time.
        let quota = self.facts.limits.state_bytes() * if self.task.migrating { 2 } else { 1 };
        if after <= quota {
            return Ok(());
        }
        let freed = self.freed(scope, key)?;
        if after.saturating_sub(freed) <= quota {
            return Ok(());
        }
        let (plugin, max) = (&self.facts.name, self.facts.limits.state_mib);
        Err(Refusal::new("over-quota", format!("This plugin's state would exceed its {max} MiB."))
            .instead(format!("Delete values, or raise `[plugins.{plugin}] limits.state_mib`."))
            .into())
    }

    /// The bytes that the writes of this call, and one to this key, free.
    fn freed(&self, scope: Scope, key: &str) -> Result<u64, HostError> {
        let now = self.inputs.now();
        let mut freed = 0;
        let written = self.task.overlay.writes.keys().map(|(scope, key)| (*scope, key.as_str()));
        for (owner, name) in written.filter(|name| *name != (scope, key)).chain([(scope, key)]) {
            if let Some((value, _)) = self.facts.reader.state_get(self.facts.state.get(), owner, name, now)? {
                freed += (name.len() + value.len()) as u64;
            }
        }
        let again = self.task.overlay.writes.get(&(scope, key.to_owned()));
        Ok(freed + again.map_or(0, |pending| pending.value(&self.task.effects).bytes(key)))
    }
}

/// The longest counter: a sign and nineteen digits.
const COUNTER_BYTES: usize = 20;

/// [`Pending`] with its value at hand.
enum Written<'a> {
    Value(&'a [u8], Option<Timestamp>),
    Deleted,
    Added(i64),
}

impl Pending {
    fn value<'a>(&'a self, effects: &'a Effects) -> Written<'a> {
        match self {
            Pending::Set(index) => match effects.state.get(*index) {
                Some(StateWrite::Set { value, expires_at, .. }) => Written::Value(value, *expires_at),
                _ => Written::Deleted,
            },
            Pending::Counter(value, expires_at) => Written::Value(value, *expires_at),
            Pending::Deleted => Written::Deleted,
            Pending::Added(delta) => Written::Added(*delta),
        }
    }
}

impl Written<'_> {
    fn bytes(&self, key: &str) -> u64 {
        match self {
            Written::Value(value, _) => (key.len() + value.len()) as u64,
            Written::Added(_) => (key.len() + COUNTER_BYTES) as u64,
            Written::Deleted => 0,
        }
    }
}

/// Adds to a counter as it is stored: decimal text. A missing counter is 0.
fn sum(stored: Option<&[u8]>, delta: i64) -> Result<i64, Refusal> {
    let Some(stored) = stored else { return Ok(delta) };
    let number: Option<i64> = str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| {
        Refusal::new("not-a-counter", "The value of this key is not an integer in decimal text.")
            .instead("Use another key, or `set` this one to a number first.")
    })?;
    number.checked_add(delta).ok_or_else(overflow)
}

fn overflow() -> Refusal {
    Refusal::new("counter-overflow", "The counter would exceed 64 bits.")
}

fn decimal(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_must_be_decimal_text() {
        assert_eq!(sum(None, 5), Ok(5));
        assert_eq!(sum(Some(b"-3"), 5), Ok(2));
        for bad in [&b""[..], b"1.0", b" 1", b"\xff", b"99999999999999999999"] {
            assert_eq!(sum(Some(bad), 1).unwrap_err().code, "not-a-counter");
        }
        assert_eq!(sum(Some(b"9223372036854775807"), 1).unwrap_err().code, "counter-overflow");
    }
}
