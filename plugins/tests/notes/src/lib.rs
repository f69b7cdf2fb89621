//! Notes, first revision: counts what is written in each conversation, as a number. `notes-2` is the second. For the
//! scenarios; it is not installed anywhere.

use beadle_plugin::prelude::*;

#[derive(Default)]
struct Notes;

impl OnMessage for Notes {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let count = state::get::<u64>(&event.conversation, "count")?.unwrap_or(0) + 1;
        state::set(&event.conversation, "count", &count)?;
        event.reply(format!("v1 {count} {text}"))?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Notes: OnMessage);
