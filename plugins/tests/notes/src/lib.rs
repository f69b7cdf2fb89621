//! Notes, first revision: counts what is written in each conversation, as a number. `notes-2` is the second. For the
//! scenarios; it is not installed anywhere.

use beadle_plugin::prelude::*;

/// Values that one text which begins with `fill` leaves besides, so that there is much to bring over: nearly as many as an
/// event may have effects.
const FILL: u64 = 90;

#[derive(Default)]
struct Notes;

impl OnMessage for Notes {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        let count = state::get::<u64>(&event.conversation, "count")?.unwrap_or(0) + 1;
        state::set(&event.conversation, "count", &count)?;
        if text.starts_with("fill") {
            (0..FILL).try_for_each(|n| state::set(&event.conversation, &format!("fill {count}.{n}"), &n))?;
        }
        event.reply(format!("v1 {count} {text}"))?;
        Ok(Disposition::Claimed)
    }
}

plugin!(Notes: OnMessage);
