//! `state`: persistent key-value state.
//!
//! Writes are recorded. Reads see them first and then the store. What was read from the store is
//! recorded with its version, and the commit checks that it still holds. `add` reads too, to refuse
//! with `not-a-counter` at once, but records no read: it never conflicts.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, check_key, scope};
use super::overlay::{COUNTER_BYTES, Pending, Written, decimal, overflow, sum};
use crate::bindings::latest::state::{Entry, Host};
use crate::bindings::latest::types as wit;
use crate::limits;
use beadle_model::effect::{StateRead, StateWrite};
use beadle_model::{Refusal, Scope, Timestamp};
use beadle_store::TIMER_ROW_BYTES;

mod scan;

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
    pub fn get_state(&mut self, owner: wit::Scope, key: String) -> Result<Option<Vec<u8>>, HostError> {
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

    pub fn set_state(
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

    pub fn add_state(&mut self, owner: wit::Scope, key: String, delta: i64) -> Result<(), HostError> {
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

    /// Checks that one more value fits into the plugin's quota.
    fn check_quota(&mut self, scope: Scope, key: &str, value_bytes: usize) -> Result<(), HostError> {
        self.check_bytes((key.len() + value_bytes) as u64, |host| host.freed(scope, key))
    }

    /// Checks that one more timer fits into the plugin's quota.
    pub(super) fn check_timer_quota(&mut self, scope: Scope, key: &str, payload: usize) -> Result<(), HostError> {
        let bytes = (key.len() + payload + TIMER_ROW_BYTES) as u64;
        let (reader, plugin) = (self.facts.reader.clone(), self.facts.no);
        self.check_bytes(bytes, |_| Ok(reader.timer_bytes(plugin, scope, key)?))?;
        self.task.overlay.timer_bytes += bytes;
        Ok(())
    }

    /// Checks that this many bytes fit into the plugin's quota. Only near the quota what they
    /// replace is subtracted, which costs reads. The commit checks again, with what other calls
    /// have stored meanwhile.
    fn check_bytes(&mut self, more: u64, freed: impl FnOnce(&Self) -> Result<u64, HostError>) -> Result<(), HostError> {
        let stored = match self.task.overlay.stored_bytes {
            Some(stored) => stored,
            None => self.facts.reader.quota_bytes(self.facts.no, self.facts.state.get())?,
        };
        self.task.overlay.stored_bytes = Some(stored);
        let mut after = stored.saturating_add(more).saturating_add(self.task.overlay.timer_bytes);
        for ((_, key), pending) in &self.task.overlay.writes {
            after = after.saturating_add(pending.value(&self.task.effects).bytes(key));
        }
        // During a migration old and new values may exist at the same time.
        let quota = self.facts.limits.state_bytes() * if self.task.migrating { 2 } else { 1 };
        if after <= quota || after.saturating_sub(freed(self)?) <= quota {
            return Ok(());
        }
        let (plugin, max) = (&self.facts.name, self.facts.limits.state_mib);
        Err(Refusal::new("over-quota", format!("This plugin's state and timers would exceed their {max} MiB."))
            .instead(format!("Delete values or timers, or raise `[plugins.{plugin}] limits.state_mib`."))
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
