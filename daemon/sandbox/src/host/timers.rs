//! `timers`: what `on-timer` will bring back.

use super::{Answer, HostState, No, answer, check_key, scope};
use crate::abi::latest::timers::Host;
use crate::abi::latest::types as wit;
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
    fn set_timer(&mut self, scope: wit::Scope, key: String, due_at: i64, payload: Vec<u8>) -> Result<(), No> {
        if payload.len() > limits::TIMER_PAYLOAD_BYTES {
            let (most, has) = (limits::TIMER_PAYLOAD_BYTES, payload.len());
            return Err(Refusal::new(
                "value-too-large",
                format!("A timer brings back {most} bytes at most, not {has}."),
            )
            .instead("Keep it in `state`, and let the timer bring the key.")
            .into());
        }
        if !self.facts.subscriptions.contains(&EventKind::Timer) {
            let why = "This plugin does not export `on-timer`, so nobody would hear of it.";
            return Err(Refusal::new("no-timer-handler", why).into());
        }
        self.write_timer(scope, key, |scope, key| TimerWrite::Set { scope, key, due_at: Timestamp(due_at), payload })
    }

    fn write_timer(
        &mut self,
        about: wit::Scope,
        key: String,
        write: impl FnOnce(Scope, String) -> TimerWrite,
    ) -> Result<(), No> {
        let about = scope(about)?;
        check_key(&key)?;
        self.effect()?.timers.push(write(about, key));
        Ok(())
    }
}
