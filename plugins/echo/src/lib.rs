//! Replies to a text with the same text.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Echo;

impl OnMessage for Echo {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        event.reply(text)?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Echo: OnMessage);
