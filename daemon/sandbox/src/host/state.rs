//! `state`: the plugin's memory that lasts.
//!
//! Writes are written down; reads see them first, then the store. What was read from the store is remembered with its
//! version, so that the commit can tell whether it still holds. `add` looks, to answer "not a counter" at once, but
//! remembers nothing: it never conflicts.

use super::{Answer, HostState, No, answer, check_key, scope};
use crate::abi::latest::state::{Entry, Host};
use crate::abi::latest::types as wit;
use crate::limits;
use beadle_model::effect::{StateRead, StateWrite};
use beadle_model::{Refusal, Scope, Timestamp};
use std::collections::BTreeMap;

mod scan;

/// What this call has written, by key: what a read finds before it asks the store.
#[derive(Default)]
pub struct Overlay {
    writes: BTreeMap<(Scope, String), Pending>,
    /// Entries and versions that this call knows from the store.
    seen: usize,
    /// The plugin's state in the store, once it was asked.
    stored_bytes: Option<u64>,
}

/// What a key will be.
enum Pending {
    Value(Vec<u8>, Option<Timestamp>),
    Gone,
    /// The stored counter, and so much more.
    More(i64),
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
    fn get_state(&mut self, about: wit::Scope, key: String) -> Result<Option<Vec<u8>>, No> {
        self.has_state()?;
        let about = scope(about)?;
        check_key(&key)?;
        let now = self.senses.now();
        let name = (about, key);
        let more = match self.task.overlay.writes.get(&name) {
            Some(Pending::Value(value, expires_at)) => {
                return Ok(expires_at.is_none_or(|at| at > now).then(|| value.clone()));
            }
            Some(Pending::Gone) => return Ok(None),
            Some(Pending::More(more)) => Some(*more),
            None => None,
        };
        let stored = self.read(name.0, name.1)?;
        match more {
            Some(more) => Ok(Some(text(counted(stored.as_deref(), more)?))),
            None => Ok(stored),
        }
    }

    /// From the store, with its version remembered.
    fn read(&mut self, scope: Scope, key: String) -> Result<Option<Vec<u8>>, No> {
        self.saw(1)?;
        let found = self.facts.reader.state_get(self.facts.state.get(), scope, &key, self.senses.now())?;
        let (value, version) = found.unzip();
        self.task.effects.reads.push(StateRead::Key { scope, key, version });
        Ok(value)
    }

    fn saw(&mut self, entries: usize) -> Result<(), Refusal> {
        let overlay = &mut self.task.overlay;
        overlay.seen += entries;
        if overlay.seen <= limits::READ_ENTRIES {
            return Ok(());
        }
        let most = limits::READ_ENTRIES;
        Err(Refusal::new("too-many-reads", format!("In one event {most} entries of state can be read, not more."))
            .instead("Keep a sum of what is needed under one key, or go on with a timer."))
    }

    fn set_state(
        &mut self,
        about: wit::Scope,
        key: String,
        value: Vec<u8>,
        expires_at: Option<Timestamp>,
    ) -> Result<(), No> {
        self.has_state()?;
        let about = scope(about)?;
        check_key(&key)?;
        let limits = self.facts.limits;
        if value.len() > limits.value_bytes() {
            let (most, has, plugin) = (limits.value_bytes(), value.len(), &self.facts.name);
            return Err(Refusal::new(
                "value-too-large",
                format!("A value has {most} bytes at most; this one has {has}."),
            )
            .instead(format!("Keep it in parts, or raise `[plugins.{plugin}] limits.value_kib`."))
            .into());
        }
        self.check_quota(about, &key, value.len())?;
        let write = StateWrite::Set { scope: about, key: key.clone(), value: value.clone(), expires_at };
        self.state_effect()?.state.push(write);
        self.task.overlay.writes.insert((about, key), Pending::Value(value, expires_at));
        Ok(())
    }

    fn delete_state(&mut self, about: wit::Scope, key: String) -> Result<(), No> {
        let about = scope(about)?;
        check_key(&key)?;
        self.state_effect()?.state.push(StateWrite::Delete { scope: about, key: key.clone() });
        self.task.overlay.writes.insert((about, key), Pending::Gone);
        Ok(())
    }

    fn add_state(&mut self, about: wit::Scope, key: String, delta: i64) -> Result<(), No> {
        self.has_state()?;
        let about = scope(about)?;
        check_key(&key)?;
        let now = self.senses.now();
        let name = (about, key);
        let stored = || self.facts.reader.state_get(self.facts.state.get(), about, &name.1, now);
        let pending = match self.task.overlay.writes.get(&name) {
            Some(Pending::Value(value, at)) if at.is_none_or(|at| at > now) => {
                Pending::Value(text(counted(Some(value), delta)?), *at)
            }
            Some(Pending::Value(..) | Pending::Gone) => Pending::Value(text(delta), None),
            Some(Pending::More(more)) => {
                let more = more.checked_add(delta).ok_or_else(overflow)?;
                counted(stored()?.map(|found| found.0).as_deref(), more)?;
                Pending::More(more)
            }
            None => {
                counted(stored()?.map(|found| found.0).as_deref(), delta)?;
                Pending::More(delta)
            }
        };
        self.state_effect()?.state.push(StateWrite::Add { scope: about, key: name.1.clone(), delta });
        self.task.overlay.writes.insert(name, pending);
        Ok(())
    }

    /// Whether the plugin's state has room for one more value. Near the limit it is counted what the values that are
    /// replaced leave free.
    fn check_quota(&mut self, scope: Scope, key: &str, value_bytes: usize) -> Result<(), No> {
        let stored = match self.task.overlay.stored_bytes {
            Some(stored) => stored,
            None => self.facts.reader.state_bytes(self.facts.state.get())?,
        };
        self.task.overlay.stored_bytes = Some(stored);
        let mut after = stored.saturating_add((key.len() + value_bytes) as u64);
        for ((_, key), pending) in &self.task.overlay.writes {
            after = after.saturating_add(pending.bytes(key));
        }
        // While it is brought over, what is new may stand beside what is to go.
        let quota = self.facts.limits.state_bytes() * if self.task.migrating { 2 } else { 1 };
        if after <= quota {
            return Ok(());
        }
        let freed = self.freed(scope, key)?;
        if after.saturating_sub(freed) <= quota {
            return Ok(());
        }
        let (plugin, most) = (&self.facts.name, self.facts.limits.state_mib);
        Err(Refusal::new("over-quota", format!("This plugin's state would be more than its {most} MiB."))
            .instead(format!("Delete what is not needed, or raise `[plugins.{plugin}] limits.state_mib`."))
            .into())
    }

    /// What this key and those written before take now, and will not then.
    fn freed(&self, scope: Scope, key: &str) -> Result<u64, No> {
        let now = self.senses.now();
        let mut freed = 0;
        let written = self.task.overlay.writes.iter().map(|((scope, key), _)| (*scope, key.as_str()));
        for (about, name) in written.filter(|name| *name != (scope, key)).chain([(scope, key)]) {
            if let Some((value, _)) = self.facts.reader.state_get(self.facts.state.get(), about, name, now)? {
                freed += (name.len() + value.len()) as u64;
            }
        }
        let again = self.task.overlay.writes.get(&(scope, key.to_owned()));
        Ok(freed + again.map_or(0, |pending| pending.bytes(key)))
    }
}

impl Pending {
    fn bytes(&self, key: &str) -> u64 {
        match self {
            Pending::Value(value, _) => (key.len() + value.len()) as u64,
            Pending::Gone | Pending::More(_) => 0,
        }
    }
}

/// A counter as it is kept: decimal text. What is missing is 0.
fn counted(stored: Option<&[u8]>, more: i64) -> Result<i64, Refusal> {
    let Some(stored) = stored else { return Ok(more) };
    let number: Option<i64> = str::from_utf8(stored).ok().and_then(|text| text.parse().ok());
    let number = number.ok_or_else(|| {
        Refusal::new("not-a-counter", "The value under this key is not a whole number in decimal text.")
            .instead("Use another key, or `set` this one to a number first.")
    })?;
    number.checked_add(more).ok_or_else(overflow)
}

fn overflow() -> Refusal {
    Refusal::new("counter-overflow", "The counter would not fit into 64 bits.")
}

fn text(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_decimal_text_and_nothing_else() {
        assert_eq!(counted(None, 5), Ok(5));
        assert_eq!(counted(Some(b"-3"), 5), Ok(2));
        for bad in [&b""[..], b"1.0", b" 1", b"\xff", b"99999999999999999999"] {
            assert_eq!(counted(Some(bad), 1).unwrap_err().code, "not-a-counter");
        }
        assert_eq!(counted(Some(b"9223372036854775807"), 1).unwrap_err().code, "counter-overflow");
    }
}
