//! Notes, second revision: keeps a record where the first revision kept a number, and migrates it.
//! A scenario patches [`REVISION`] in the file to select a fault. Not installed anywhere.

use beadle_plugin::migration::{Migration, Next, Page};
use beadle_plugin::prelude::*;
use serde::{Deserialize, Serialize};

/// A scenario patches this text, up to the first dot. `v2` has no fault; `v2!boom` traps at a text
/// with "boom" in it, `v2!fail` gives up at the last page of its migration, `v2!trap` traps there,
/// `v2!spin` never ends, `v2!grow` exceeds its quota, `v2!slow` takes some time for each page.
static REVISION: &[u8; 48] = b"probe-revision:................................ ";

fn wrong() -> &'static str {
    // Not constant for the compiler, because the file is patched later.
    let bytes: &'static [u8] = std::hint::black_box(REVISION);
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split('.').next().and_then(|patched| patched.split_once('!')).map_or("", |(_, wrong)| wrong)
}

/// The state of a conversation.
#[derive(Serialize, Deserialize)]
struct Tally {
    count: u64,
}

#[derive(Default)]
struct Notes;

impl OnMessage for Notes {
    fn on_message(&self, event: MessageEvent) -> Result<Disposition, Failure> {
        let Some(text) = event.text() else { return Ok(Disposition::Pass) };
        if wrong() == "boom" && text.contains("boom") {
            std::process::abort();
        }
        let count = state::get::<Tally>(&event.conversation, "tally")?.map_or(0, |tally| tally.count) + 1;
        state::set(&event.conversation, "tally", &Tally { count })?;
        event.reply(format!("v2 {count} {text}"))?;
        Ok(Disposition::Claimed)
    }
}

impl Migration for Notes {
    const VERSION: u32 = 1;

    fn migrate(&self, page: Page) -> Result<Next, Failure> {
        match wrong() {
            "fail" if page.last => return Err(Failure::GiveUp("it fails, as configured".into())),
            "trap" if page.last => std::process::abort(),
            "grow" => {
                let value = "x".repeat(250 << 10);
                (0..5).try_for_each(|n| state::set(Scope::Plugin, &format!("large {n}"), &value))?;
            }
            "spin" => turn(u64::MAX),
            // About ten milliseconds, well below the limit of a page.
            "slow" => turn(40_000_000),
            _ => {}
        }
        for entry in page.entries.into_iter().filter(|entry| entry.key == "count") {
            state::set(entry.scope.clone(), "tally", &Tally { count: entry.value()? })?;
            state::delete(entry.scope, "count")?;
        }
        Ok(Next::More)
    }
}

fn turn(turns: u64) {
    (0..turns).for_each(|turn| _ = std::hint::black_box(turn));
}

plugin!(Notes: Migration, OnMessage);

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_plugin::testing::Host;

    #[test]
    fn count_of_the_first_revision_is_continued() {
        let host = Host::new();
        let ana = host.person("Ana");
        let asked = host.text(&ana, "hello");
        state::set(&asked.conversation, "count", &4_u64).unwrap();
        host.migrate(&Notes, 0).unwrap();
        assert_eq!(state::get::<u64>(&asked.conversation, "count"), Ok(None));
        Notes.on_message(asked).unwrap();
        assert_eq!(host.sent(), ["v2 5 hello"]);
    }
}
