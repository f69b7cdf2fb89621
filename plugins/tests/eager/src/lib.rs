//! Answers with `messages`, a capability that must be granted. For scenarios. Not installed
//! anywhere.

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
