//! Notes, first revision: counts the messages of each conversation as a number. `notes-2` is the
//! second revision. For scenarios of migration. Not installed anywhere.

use beadle_plugin::prelude::*;

/// Values that a text starting with `fill` adds, so that there is much to migrate: close to the
/// limit of effects.
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
