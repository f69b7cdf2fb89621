//! Eager: answers with `messages`, a right that the operator has to give. For the scenarios; it is not installed anywhere.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Eager;

impl OnMessage for Eager {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        messages::send(&event.sender.id, format!("eager: {text}"))?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Eager: OnMessage);
