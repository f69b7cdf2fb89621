//! `timers`: what `on-timer` delivers later.

use super::answer::{Answer, HostError, answer};
use super::host_state::{HostState, check_key, scope as scope_of};
use crate::bindings::latest::timers::Host;
use crate::bindings::latest::types as wit;
use crate::limits;
use beadle_model::effect::TimerWrite;
use beadle_model::{EventKind, Refusal, Scope, Timestamp};

impl Host for HostState {
    async fn set(&mut self, scope: wit::Scope, key: String, due_at: i64, payload: Vec<u8>) -> Answer<()> {
        self.enter()?;
        answer(self.set_timer(scope, key, due_at, payload))
    }

    async fn move_(&mut self, scope: wit::Scope, key: String, due_at: i64) -> Answer<()> {
        self.enter()?;
        answer(self.write_timer(scope, key, |scope, key| TimerWrite::Move { scope, key, due_at: Timestamp(due_at) }))
    }

    async fn cancel(&mut self, scope: wit::Scope, key: String) -> Answer<()> {
        self.enter()?;
        answer(self.write_timer(scope, key, |scope, key| TimerWrite::Cancel { scope, key }))
    }
}

impl HostState {
    pub fn set_timer(
        &mut self,
        scope: wit::Scope,
        key: String,
        due_at: i64,
        payload: Vec<u8>,
    ) -> Result<(), HostError> {
        if payload.len() > limits::TIMER_PAYLOAD_BYTES {
            let (max, bytes) = (limits::TIMER_PAYLOAD_BYTES, payload.len());
            let message = format!("The payload of a timer may have {max} bytes; this one has {bytes}.");
            return Err(Refusal::new("value-too-large", message)
                .instead("Keep the value in `state`, and its key in the payload.")
                .into());
        }
        if !self.facts.subscriptions.contains(&EventKind::Timer) {
            let message = "This plugin does not export `on-timer`, so the timer would have no effect.";
            return Err(Refusal::new("no-timer-handler", message).into());
        }
        let owner = scope_of(scope)?;
        check_key(&key)?;
        self.check_timer_quota(owner, &key, payload.len())?;
        let bytes = key.len() + payload.len();
        let due_at = Timestamp(due_at);
        self.effect(bytes)?.timers.push(TimerWrite::Set { scope: owner, key, due_at, payload });
        Ok(())
    }

    fn write_timer(
        &mut self,
        owner: wit::Scope,
        key: String,
        write: impl FnOnce(Scope, String) -> TimerWrite,
    ) -> Result<(), HostError> {
        let owner = scope_of(owner)?;
        check_key(&key)?;
        self.effect(key.len())?.timers.push(write(owner, key));
        Ok(())
    }
}
