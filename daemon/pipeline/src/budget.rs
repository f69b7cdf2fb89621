//! Bounds the effects that wait for their commit, in bytes of all handlings together.
//!
//! The number of steps before the writer is bounded by the store, but a call may return 8 MiB. A
//! call whose effects do not fit is run again when they fit: its effects are dropped meanwhile, so
//! that a waiting call holds nothing that others wait for, and nothing of a dropped call takes
//! effect. Small effects are free; the number of events in flight bounds them.

use beadle_model::Effects;
use beadle_model::effect::{BroadcastWrite, NewRequest, StateWrite, TimerWrite};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Eight calls at their limit. A commit holds its effects about three times: as they are, as a step
/// of the store, as JSON.
const KIB: u32 = 64 << 10;

/// The memory for all effects that wait. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EffectBudget(Arc<Semaphore>);

/// A share of the budget for the effects of one call, returned when dropped.
pub(crate) struct Reserved {
    kib: u32,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The effects do not fit into the budget now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget {
    kib: u32,
}

impl Default for EffectBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KIB as usize)))
    }
}

impl EffectBudget {
    /// Reserves effects of this size: from the share that was waited for, if it is large enough,
    /// else from what is free now.
    pub fn reserve(&self, waited_for: Option<Reserved>, bytes: usize) -> Result<Reserved, OverBudget> {
        let kib = u32::try_from(bytes / 1024).unwrap_or(KIB).min(KIB);
        if let Some(reserved) = waited_for.filter(|reserved| reserved.kib >= kib) {
            return Ok(reserved);
        }
        let permit = match kib {
            0 => None,
            kib => Some(Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_| OverBudget { kib })?),
        };
        Ok(Reserved { kib, _permit: permit })
    }

    /// Waits until they fit, first come first served. The caller holds no share and no effects.
    pub async fn wait(&self, OverBudget { kib }: OverBudget) -> Reserved {
        // It is never closed.
        Reserved { kib, _permit: Arc::clone(&self.0).acquire_many_owned(kib).await.ok() }
    }
}

/// What a change of a contact takes, about: the longest texts in it have some hundred characters.
const CONTACT_WRITE_BYTES: usize = 1024;

/// The bytes of effects in memory.
pub(crate) fn effect_bytes(effects: &Effects) -> usize {
    let state = effects.state.iter().map(|write| match write {
        StateWrite::Set { key, value, .. } => key.len() + value.len(),
        StateWrite::Delete { key, .. } | StateWrite::Add { key, .. } => key.len(),
    });
    let timers = effects.timers.iter().map(|write| match write {
        TimerWrite::Set { key, payload, .. } => key.len() + payload.len(),
        _ => 0,
    });
    let sends = effects.sends.iter().map(|send| send.body.json_bytes());
    // Tags, attributes and wordings are short.
    let contacts = effects.contacts.len() * CONTACT_WRITE_BYTES;
    let broadcasts = effects.broadcasts.iter().map(|write| match write {
        BroadcastWrite::Create(definition) => serde_json::to_vec(definition).map_or(0, |json| json.len()),
        _ => write.name().len(),
    });
    let requests = effects.requests.iter().map(NewRequest::bytes);
    state.chain(timers).chain(sends).chain(broadcasts).chain(requests).sum::<usize>() + contacts
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn effects_that_do_not_fit_wait_for_the_budget() {
        let budget = EffectBudget::default();
        let mut held: Vec<_> = (0..8).map(|_| budget.reserve(None, 8 * MIB).ok()).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(budget.reserve(None, 1000).is_ok(), "small effects are free");
        let over_budget = budget.reserve(None, 2 * MIB).err().unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.wait(over_budget).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        held.pop();
        let reserved = waiting.await.unwrap();
        // The next run asks for more than it waited for.
        let reserved = budget.reserve(Some(reserved), MIB).ok().unwrap();
        assert!(budget.reserve(Some(reserved), 3 * MIB).is_ok(), "the rest is free");
        assert_eq!(budget.0.available_permits(), 8 << 10, "all of it came back");
    }
}
